"""What shares one engine among requests: they come from any thread, and one thread of its own does their work."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Thread
from traceback import clear_frames
from typing import Any, Self, TypeVar

from vispa.errors import BusyError, ClosedError, EngineError, kind_and_place
from vispa.generation.calls import Call, Calls
from vispa.generation.rows import Row, Sampling
from vispa.generation.running import Writing
from vispa.generation.tickets import OnRow, OnText, Ticket
from vispa.models.batching import Budget
from vispa.models.context import check_context
from vispa.models.loading import LoadedModel

_logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Most rows that may wait.
WAITING = 4096


@dataclass(frozen=True)
class Load:
    """How much there is to do, and what was done.

    Attributes:
        waiting: rows that are in no batch yet.
        running: rows that write.
        requests: whose rows write.
        places: in the cache of what writes, padding included.
        tokens: written so far.
        steps: forward passes that wrote them, those over prompts included.
        faults: of the engine so far.
    """

    waiting: int
    running: int
    requests: int
    places: int
    tokens: int
    steps: int
    faults: int


class Schedules(ABC):
    """Takes rows and calls of many requests, and answers them on one thread, which costs nothing while there is none.

    Everything public may be called from any thread. A kind of it sets up what it works with before this does, since
    its work may begin at once.

    Args:
        loaded: the model, with which the engines of all requests work.
        waiting: most rows that may wait.
        name: of the thread.
    """

    def __init__(self, loaded: LoadedModel, waiting: int, name: str) -> None:
        self._loaded, self._limit = loaded, waiting
        self._calls = Calls()
        self._tokens = self._steps = self._faults = 0
        self._callers = 0
        self._busy = self._closed = self._ended = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(
        self,
        engine: Any,
        rows: Sequence[Row],
        sampling: Sampling,
        *,
        on_text: OnText | None = None,
        on_row: OnRow | None = None,
        begun: bool = False,
    ) -> Ticket:
        """Have rows written; returns at once.

        Args:
            engine: of the scheduler's model, with the bank and recipe of these rows.
            rows: that belong together; where one fails all do.
            sampling: how to decode them.
            on_text: called with a row's number and its next piece of text, on the scheduler's thread: it has to be
                quick (`loop.call_soon_threadsafe`). The pieces of a row together are its text; see `TextStream`.
            on_row: called with a row's number and its whole text when it has ended.
            begun: whether it is within `asking`.

        Raises:
            InputError: a steer whose value, estimator or block the bank does not have.
            ContextError: a row's prompt and text are longer than the model's context.
            BusyError: too many rows wait.
            ClosedError: it is closed.
        """
        self._check_engine(engine)
        for row in rows:
            check_context(self._loaded, len(row.prompt.ids), sampling.max_new_tokens)
        ticket = Ticket(engine, [Writing(row, sampling) for row in rows], engine.plan(rows), on_text, on_row)
        if not rows:
            ticket.set_result([])
            return ticket
        with self._changed:
            self._check_open(begun)
            waiting = self._pending
            if waiting and waiting + len(rows) > self._limit:
                raise BusyError(waiting, self._limit)
            self._queue(ticket)
            self._changed.notify_all()
        return ticket

    def call(self, function: Callable[[], T], *, begun: bool = False) -> Future[T]:
        """Have something else done with the model, on the scheduler's thread, between two steps; in their order.

        Args:
            function: what to do.
            begun: whether it is within `asking`.

        Raises:
            ClosedError: it is closed.
        """
        return self.read(Call.of(function), begun=begun)

    def read(self, call: Call, *, begun: bool = False) -> Future[Any]:
        """Have prompts read likewise, in one pass with those of other calls of the same key.

        Args:
            call: which prompts, and how.
            begun: whether it is within `asking`.

        Raises:
            ClosedError: it is closed.
        """
        with self._changed:
            self._check_open(begun)
            self._calls.add(call)
            self._changed.notify_all()
        return call.future

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Somebody asks several times for one answer: closing waits until the context ends, and takes what it asks.

        Raises:
            ClosedError: it is closed.
        """
        with self._changed:
            self._check_open()
            self._callers += 1
        try:
            yield
        finally:
            with self._changed:
                self._callers -= 1
                self._changed.notify_all()

    @property
    def reading(self) -> Budget:
        """What one pass over prompts that are read and not continued may hold now; no more is handed over at once."""
        return Budget()

    @abstractmethod
    def load(self) -> Load:
        """How much there is to do now."""

    def close(self, drain_seconds: float = 0.0) -> None:
        """Take nothing more, finish what there is within a time, and end; what is left fails with `ClosedError`."""
        deadline = time.monotonic() + drain_seconds
        with self._changed:
            self._closed = True
            self._changed.wait_for(
                lambda: not (self._has_work() or self._callers), max(0.0, deadline - time.monotonic())
            )
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self, begun: bool = False) -> None:
        if self._ended or (self._closed and not begun):
            raise ClosedError("Nothing more is taken: what answers is ending. Ask again when it has started anew.")

    def _count_fault(self, error: Exception) -> None:
        """Count and log a fault of the engine."""
        self._faults += 1
        _logger.error("The engine failed: %s.", kind_and_place(error))
        # Else the tensors of what failed stay for as long as somebody keeps the error.
        clear_frames(error.__traceback__)

    # ---------------------------------------------------------------- of each kind, with the lock held but for the last

    @abstractmethod
    def _check_engine(self, engine: Any) -> None:
        """Refuse an engine that is not over what is shared, with a `ValueError`."""

    @property
    @abstractmethod
    def _pending(self) -> int:
        """Rows that count toward the most that may wait."""

    @abstractmethod
    def _queue(self, ticket: Ticket) -> None:
        """Let a request wait."""

    @abstractmethod
    def _has_work(self) -> bool:
        """Whether there is anything to do, or being done."""

    @abstractmethod
    def _abandon(self) -> list[Ticket]:
        """Forget the requests that wait or write, and return them."""

    @abstractmethod
    def _work(self) -> None:
        """Do the next of it, without the lock."""

    @abstractmethod
    def _restart(self, error: Exception) -> None:
        """After a fault of `_work`, without the lock."""

    # ---------------------------------------------------------------- the thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._ended or self._has_work())
                if self._ended:
                    break
                self._busy = True
            try:
                self._work()
            except Exception as error:
                self._restart(error)
        self._end()

    def _end(self) -> None:
        """What is left fails."""
        error = ClosedError("The text was not finished: what answers has ended.")
        with self._changed:
            tickets, calls = self._abandon(), self._calls.clear()
        for ticket in tickets:
            ticket.fail(error)
        for call in calls:
            if call.future.set_running_or_notify_cancel():
                call.future.set_exception(error)


def engine_error(fault: Exception) -> EngineError:
    """What a request is told of a fault of the engine.

    It has none of the fault's words: they may quote the text of one request, and all that ran with it are told. They
    are in the cause, for whoever's own process it is.
    """
    told = EngineError(f"The engine failed ({type(fault).__name__}). Ask again.")
    told.__cause__ = fault
    return told
