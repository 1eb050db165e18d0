"""One model for many requests at once: their rows share forward passes, and join and leave between two tokens."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Any, TypeVar

from vispa.errors import BusyError, ClosedError, EngineError, NumericalError, VispaError, first_line
from vispa.generation.admission import Line, Place
from vispa.generation.cache import has_windows, new_cache, takes_more_rows
from vispa.generation.calls import Call, Calls, answer_calls
from vispa.generation.rows import Row, Sampling
from vispa.generation.running import RunningBatch, Writing
from vispa.generation.tickets import OnRow, OnText, Ticket
from vispa.generation.transformers import TransformersEngine
from vispa.models.batching import DECODING, Budget, reading_budget
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


class Scheduler:
    """Continuous batching: the rows of all requests that run at the same time are one batch.

    A row's text is what `TransformersEngine.generate` gives for it alone. New rows are taken in turns, one of each
    request, so that many rows of one do not keep out one of another; they read their prompts in a pass of their own
    and join between two steps. Models that keep more of the past than keys and values (recurrent ones) write one
    request after the other.

    One thread does all the work and costs nothing while there is none. It holds the model for a step at a time, so
    that other threads may use it too (`LoadedModel.passes`). Everything here may be called from any thread.

    Args:
        loaded: the model, with which the engines of all requests work.
        running: what the batch may hold: rows, and tokens of prompts and longest texts.
        waiting: most rows that may wait.

    Example:
        >>> with Scheduler(loaded) as scheduler:
        ...     ticket = scheduler.submit(engine, rows, Sampling(60), on_text=lambda row, text: print(row, text))
        ...     texts = ticket.result()
    """

    def __init__(self, loaded: LoadedModel, *, running: Budget = DECODING, waiting: int = WAITING) -> None:
        self._loaded, self._limit = loaded, waiting
        empty = new_cache(loaded.model.config)
        self._joins = takes_more_rows(empty)
        if not self._joins:
            _logger.warning("%s writes one request after the other: rows cannot join those that run.", loaded.name)
        # A window counts places, gaps included; rows that come later would widen them.
        self._gaps = not (self._joins and has_windows(empty))
        reading = reading_budget(loaded.device)
        self._line, self._calls = Line(running, reading if self._joins else running), Calls(reading)
        self._batch: RunningBatch | None = None
        self._owners: dict[Writing, tuple[Ticket, int]] = {}
        self._tokens = self._steps = self._faults = 0
        self._callers = 0
        self._busy = self._closed = self._ended = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="vispa-scheduler", daemon=True)
        self._thread.start()

    def submit(
        self,
        engine: TransformersEngine,
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
        if engine.loaded is not self._loaded:
            raise ValueError("The engine is not one of the scheduler's model.")
        for row in rows:
            check_context(self._loaded, len(row.prompt.ids), sampling.max_new_tokens)
        ticket = Ticket(engine, [Writing(row, sampling) for row in rows], engine.plan(rows), on_text, on_row)
        if not rows:
            ticket.set_result([])
            return ticket
        with self._changed:
            self._check_open(begun)
            waiting = self._line.waiting
            if waiting and waiting + len(rows) > self._limit:
                raise BusyError(waiting, self._limit)
            self._line.add(ticket)
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

    def load(self) -> Load:
        """How much there is to do now."""
        with self._changed:
            batch, owners = self._batch, list(self._owners.values())
            running, held = (len(batch.rows), batch.held) if batch else (0, 0)
            requests = len({id(ticket) for ticket, _ in owners})
            waiting = self._line.waiting
            return Load(waiting, running, requests, held, self._tokens, self._steps, self._faults)

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

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self, begun: bool = False) -> None:
        if self._ended or (self._closed and not begun):
            raise ClosedError("Nothing more is taken: what answers is ending. Ask again when it has started anew.")

    def _has_work(self) -> bool:
        return bool(self._line or self._calls or self._batch or self._busy)

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
                self._answer()
                self._turn()
            except Exception as error:
                self._restart(error)
        self._end()

    def _answer(self) -> None:
        """The next call, and others that can be answered with it."""
        with self._changed:
            calls = self._calls.next()
        answer_calls(calls)

    def _turn(self) -> None:
        """Rows leave, rows join, and all go on by a token."""
        self._leave()
        with self._changed:
            places = self._line.next([] if self._batch is None else self._batch.rows, self._joins)
        # From here on all of them are answered for, whatever happens.
        self._owners.update({place.writing: (place.ticket, place.number) for place in places})
        for group in _by_engine(places):
            self._admit(group)
        if self._batch is not None:
            rows = list(self._batch.rows)
            self._batch.step()
            self._advance(rows)

    def _leave(self) -> None:
        """Rows of requests that are cancelled or have failed go."""
        with self._changed:
            tickets = self._line.leave()
        gone = [writing for writing, (ticket, _) in self._owners.items() if ticket.done()]
        tickets += [self._owners.pop(writing)[0] for writing in gone]
        for ticket in tickets:
            ticket.release()
        if gone and self._batch is not None:
            self._batch.drop(gone)
        self._forget_empty()

    def _admit(self, places: Sequence[Place]) -> None:
        """Read the prompts of new rows of one engine, and let them join; where that fails, each request by itself."""
        engine = places[0].ticket.engine
        tickets = {id(place.ticket): place.ticket for place in places}
        rows = [place.writing for place in places]
        try:
            plan = places[0].ticket.plan if len(tickets) == 1 else engine.plan([writing.row for writing in rows])
            new = engine.begun(rows, plan, gaps=self._gaps)
        except Exception as error:
            if len(tickets) > 1:
                for writing in rows:
                    writing.reset()
                for ticket in tickets.values():
                    self._admit([place for place in places if place.ticket is ticket])
                return
            if not isinstance(error, NumericalError):
                self._count_fault(error)
            places[0].ticket.fail(error if isinstance(error, VispaError) else _fault(error))
            return
        if new.rows:
            if self._batch is None:
                self._batch = new
            else:
                self._batch.join(new)
        self._advance(rows)

    def _advance(self, rows: Sequence[Writing]) -> None:
        """Tell of a token more in each of the rows."""
        self._steps += 1
        self._tokens += len(rows)
        for writing in rows:
            ticket, number = self._owners[writing]
            if writing.done:
                del self._owners[writing]
            if ticket.done():
                continue
            try:
                ticket.advanced(number)
            except Exception as error:
                ticket.fail(error)
        self._forget_empty()

    def _forget_empty(self) -> None:
        if self._batch is not None and not self._batch.rows:
            self._batch = None

    def _restart(self, error: Exception) -> None:
        """After a fault in a step: what was in the batch fails, and the next rows begin a new one."""
        self._count_fault(error)
        self._batch = None
        owners, self._owners = self._owners, {}
        for ticket, _ in owners.values():
            ticket.fail(_fault(error))

    def _count_fault(self, error: Exception) -> None:
        self._faults += 1
        _logger.error("The engine failed and starts again: %s: %s.", type(error).__name__, first_line(error))

    def _end(self) -> None:
        """What is left fails."""
        error = ClosedError("The text was not finished: what answers has ended.")
        with self._changed:
            tickets = [*self._line.tickets, *(ticket for ticket, _ in self._owners.values())]
            calls, self._batch, self._owners = self._calls.clear(), None, {}
            self._line.clear()
        for ticket in tickets:
            ticket.fail(error)
        for call in calls:
            if call.future.set_running_or_notify_cancel():
                call.future.set_exception(error)


def _by_engine(places: Sequence[Place]) -> list[list[Place]]:
    groups: dict[int, list[Place]] = {}
    for place in places:
        groups.setdefault(id(place.ticket.engine), []).append(place)
    return list(groups.values())


def _fault(error: Exception) -> EngineError:
    return EngineError(f"The engine failed ({type(error).__name__}: {first_line(error)}) and goes on anew. Ask again.")
