"""One model for many requests at once: their rows share forward passes, and join and leave between two tokens."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from traceback import clear_frames
from typing import Any

from vispa.errors import NumericalError, VispaError
from vispa.generation.admission import Line, Place
from vispa.generation.cache import has_windows, new_cache, takes_more_rows
from vispa.generation.calls import answer_calls
from vispa.generation.pace import Pace
from vispa.generation.running import RunningBatch, Writing
from vispa.generation.scheduling import WAITING, Load, Schedules, engine_error
from vispa.generation.tickets import Ticket
from vispa.models.batching import DECODING, Budget, reading_budget
from vispa.models.loading import LoadedModel

_logger = logging.getLogger(__name__)


class Scheduler(Schedules):
    """Continuous batching: the rows of all requests that run at the same time are one batch.

    A row's text is what `TransformersEngine.generate` gives for it alone. New rows are taken in turns, one of each
    request, so that many rows of one do not keep out one of another; they read their prompts in a pass of their own
    and join between two steps. Models that keep more of the past than keys and values (recurrent ones) write one
    request after the other.

    Its thread holds the model for a step at a time, so that other threads may use it too (`LoadedModel.passes`).

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
        empty = new_cache(loaded.model.config)
        self._joins = takes_more_rows(empty)
        if not self._joins:
            _logger.warning("%s writes one request after the other: rows cannot join those that run.", loaded.name)
        # A window counts places, gaps included; rows that come later would widen them.
        self._gaps = not (self._joins and has_windows(empty))
        self._line = Line(running)
        reading = reading_budget(loaded.device)
        # Where rows cannot join, all of a request begin together or wait for each other.
        self._beginning = Pace(reading) if self._joins else Pace(running, float("inf"))
        self._reading = _joining(reading)
        self._step_seconds = 0.0  # That the last step took.
        self._batch: RunningBatch | None = None
        self._owners: dict[Writing, tuple[Ticket, int]] = {}
        super().__init__(loaded, waiting, "vispa-scheduler")

    @property
    def reading(self) -> Budget:
        """See `Schedules.reading`."""
        return self._reading

    def load(self) -> Load:
        """See `Schedules.load`."""
        with self._changed:
            batch, owners = self._batch, list(self._owners.values())
            running, held = (len(batch.rows), batch.held) if batch else (0, 0)
            requests = len({id(ticket) for ticket, _ in owners})
            waiting = self._line.waiting
            return Load(waiting, running, requests, held, self._tokens, self._steps, self._faults)

    def _check_engine(self, engine: Any) -> None:
        if engine.loaded is not self._loaded:
            raise ValueError("The engine is not one of the scheduler's model.")

    @property
    def _pending(self) -> int:
        return self._line.waiting

    def _queue(self, ticket: Ticket) -> None:
        self._line.add(ticket)

    def _abandon(self) -> list[Ticket]:
        tickets = [*self._line.tickets, *(ticket for ticket, _ in self._owners.values())]
        self._batch, self._owners = None, {}
        self._line.clear()
        return tickets

    def _has_work(self) -> bool:
        return bool(self._line or self._calls or self._batch or self._busy)

    def _work(self) -> None:
        # Rows join before each of the longer passes, so that a new request's first token waits for one of them at most.
        self._take_in()
        began = time.monotonic()
        while self._answer():
            self._take_in()
            # Beside rows that write readings have about half of the time, and at least one a turn.
            if self._batch is not None and time.monotonic() - began >= self._step_seconds:
                break
        self._step()

    def _answer(self) -> bool:
        """The next call, and others that can be answered with it; whether there was one."""
        with self._changed:
            calls = self._calls.next(self._reading)
        answer_calls(calls)
        return bool(calls)

    def _take_in(self) -> None:
        """Rows leave, and rows join."""
        self._leave()
        with self._changed:
            running = [] if self._batch is None else self._batch.rows
            places = self._line.next(running, self._joins, self._beginning.budget)
        # From here on all of them are answered for, whatever happens.
        self._owners.update({place.writing: (place.ticket, place.number) for place in places})
        began = time.monotonic()
        for group in _by_engine(places):
            self._admit(group)
        if places:
            longest = max(len(place.writing.row.prompt.ids) for place in places)
            self._beginning.took(len(places) * longest, time.monotonic() - began)

    def _step(self) -> None:
        """All rows go on by a token."""
        if self._batch is not None:
            began = time.monotonic()
            rows = list(self._batch.rows)
            self._batch.step()
            self._advance(rows)
            self._step_seconds = time.monotonic() - began

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
                # Else what the failed pass held would stand beside each of those that follow.
                clear_frames(error.__traceback__)
                for writing in rows:
                    writing.reset()
                for ticket in tickets.values():
                    self._admit([place for place in places if place.ticket is ticket])
                return
            if not isinstance(error, NumericalError):
                self._count_fault(error)
            places[0].ticket.fail(error if isinstance(error, VispaError) else engine_error(error))
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
            ticket.fail(engine_error(error))


def _joining(reading: Budget) -> Budget:
    """What readings of several requests are joined up to: half of a pass, as a new request's prompt waits for it."""
    return reading if reading.tokens is None else replace(reading, tokens=max(1, reading.tokens // 2))


def _by_engine(places: Sequence[Place]) -> list[list[Place]]:
    groups: dict[int, list[Place]] = {}
    for place in places:
        groups.setdefault(id(place.ticket.engine), []).append(place)
    return list(groups.values())
