"""vLLM for many requests at once: it batches them by itself, and one thread hands it their rows and tells of them."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from threading import Condition, Thread
from typing import Any, TypeVar

from vispa.errors import BusyError, ClosedError, EngineError, VispaError, first_line
from vispa.generation.calls import Call
from vispa.generation.rows import Row, Sampling
from vispa.generation.running import Writing
from vispa.generation.scheduler import WAITING, Load
from vispa.generation.tickets import OnRow, OnText, Ticket
from vispa.generation.vllm.engine import VllmEngine
from vispa.models.context import check_context

_logger = logging.getLogger(__name__)

T = TypeVar("T")


class VllmScheduler:
    """What `vispa.generation.scheduler.Scheduler` is, for vLLM; everything here may be called from any thread.

    Args:
        engine: whose vLLM writes; requests may come with others over the same one.
        waiting: most rows that may be at work or wait.
    """

    def __init__(self, engine: VllmEngine, *, waiting: int = WAITING) -> None:
        self._running, self._limit = engine.running, waiting
        self._new: deque[Ticket] = deque()
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._rows: dict[Ticket, dict[int, str]] = {}  # Rows at work: number → name.
        self._tokens = self._steps = self._faults = 0
        self._callers = 0
        self._busy = self._closed = self._ended = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="vispa-vllm", daemon=True)
        self._thread.start()

    def submit(
        self,
        engine: VllmEngine,
        rows: Sequence[Row],
        sampling: Sampling,
        *,
        on_text: OnText | None = None,
        on_row: OnRow | None = None,
        begun: bool = False,
    ) -> Ticket:
        """Have rows written; see `Scheduler.submit`.

        Raises:
            InputError, ContextError, BusyError, ClosedError: see there.
        """
        if engine.running is not self._running:
            raise ValueError("The engine is not one of the scheduler's.")
        for row in rows:
            check_context(engine.loaded, len(row.prompt.ids), sampling.max_new_tokens)
        ticket = Ticket(engine, [Writing(row, sampling) for row in rows], engine.plan(rows), on_text, on_row)
        if not rows:
            ticket.set_result([])
            return ticket
        with self._changed:
            self._check_open(begun)
            waiting = self._waiting + sum(map(len, self._rows.values()))
            if waiting and waiting + len(rows) > self._limit:
                raise BusyError(waiting, self._limit)
            self._new.append(ticket)
            self._changed.notify_all()
        return ticket

    def call(self, function: Callable[[], T], *, begun: bool = False) -> Future[T]:
        """Have something else done with the model, between two steps; see `Scheduler.call`.

        Raises:
            ClosedError: it is closed.
        """
        future: Future[T] = Future()
        with self._changed:
            self._check_open(begun)
            self._calls.append((future, function))
            self._changed.notify_all()
        return future

    def read(self, call: Call, *, begun: bool = False) -> Future[Any]:
        """Have prompts read likewise, each call by itself: vLLM makes up its own passes; see `Scheduler.read`.

        Raises:
            ClosedError: it is closed.
        """
        return self.call(lambda: list(call.function(call.items)), begun=begun)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Closing waits until the context ends, and takes what it asks; see `Scheduler.asking`.

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

    def load(self) -> Load:
        """How much there is to do now; vLLM's own waiting rows count as running."""
        with self._changed:
            rows = [row for ticket, numbers in self._rows.items() for row in map(ticket.rows.__getitem__, numbers)]
            held = sum(len(row.row.prompt.ids) + len(row.ids) for row in rows)
            return Load(self._waiting, len(rows), len(self._rows), held, self._tokens, self._steps, self._faults)

    def close(self, drain_seconds: float = 0.0) -> None:
        """Take nothing more, finish what there is within a time, and end; what is left fails with `ClosedError`."""
        deadline = time.monotonic() + drain_seconds
        with self._changed:
            self._closed = True
            left = max(0.0, deadline - time.monotonic())
            self._changed.wait_for(lambda: not (self._has_work() or self._callers), left)
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    @property
    def _waiting(self) -> int:
        return sum(len(ticket.rows) for ticket in self._new)

    def _check_open(self, begun: bool = False) -> None:
        if self._ended or (self._closed and not begun):
            raise ClosedError("Nothing more is taken: what answers is ending. Ask again when it has started anew.")

    def _has_work(self) -> bool:
        return bool(self._new or self._calls or self._rows or self._busy)

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
                self._turn()
            except Exception as error:
                self._fail(error)
        self._end()

    def _turn(self) -> None:
        """Rows leave, rows come, something else is done, and all go on by a token."""
        with self._changed:
            new, calls = list(self._new), list(self._calls)
            self._new.clear()
            self._calls.clear()
            self._rows.update((ticket, {}) for ticket in new)
        for ticket in new:
            try:
                self._begin(ticket)
            except Exception as error:
                ticket.fail(error if isinstance(error, VispaError) else _fault(error))
        for ticket in [ticket for ticket in self._rows if ticket.done()]:
            self._leave(ticket)
        for future, function in calls:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:
                    future.set_exception(error)
        if self._rows:
            self._running.step()
            self._steps += 1

    def _begin(self, ticket: Ticket) -> None:
        for number, writing in enumerate(ticket.rows):
            params = ticket.engine.begun(writing)
            told = partial(self._advance, ticket, number, params)
            self._rows[ticket][number] = self._running.begin(writing.row.prompt.ids, params, told)

    def _advance(self, ticket: Ticket, number: int, params: Any, output: Any) -> None:
        """A row has a token more, or has ended."""
        writing = ticket.rows[number]
        before = len(writing.ids)
        try:
            ticket.engine.advance(writing, params, output)
            self._tokens += len(writing.ids) - before
            if writing.done:
                del self._rows[ticket][number]
            if not ticket.done():
                ticket.advanced(number)
        except Exception as error:
            ticket.fail(error)
        if not self._rows[ticket]:
            self._leave(ticket)

    def _leave(self, ticket: Ticket) -> None:
        """The rows of a request that is done, cancelled or has failed go."""
        with self._changed:
            names = self._rows.pop(ticket)
        self._running.cancel(list(names.values()))
        ticket.release()

    def _fail(self, error: Exception) -> None:
        """After a fault in a step, what was at work fails."""
        self._faults += 1
        _logger.error("vLLM failed: %s: %s.", type(error).__name__, first_line(error))
        for ticket in list(self._rows):
            ticket.fail(_fault(error))
            self._leave(ticket)

    def _end(self) -> None:
        """What is left fails."""
        error = ClosedError("The text was not finished: what answers has ended.")
        with self._changed:
            tickets, calls = [*self._new, *self._rows], list(self._calls)
            self._new.clear()
            self._calls.clear()
        for ticket in tickets:
            ticket.fail(error)
            if ticket in self._rows:
                self._leave(ticket)
        for future, _ in calls:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)


def _fault(error: Exception) -> EngineError:
    return EngineError(f"The engine failed ({type(error).__name__}: {first_line(error)}). Ask again.")
