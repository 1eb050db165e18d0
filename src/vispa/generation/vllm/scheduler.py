"""vLLM for many requests at once: it batches them by itself, and one thread hands it their rows and tells of them."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any

from vispa.errors import VispaError
from vispa.generation.calls import answer_calls
from vispa.generation.scheduling import WAITING, Load, Schedules, engine_error
from vispa.generation.tickets import Ticket
from vispa.generation.vllm.engine import VllmEngine


class VllmScheduler(Schedules):
    """What `vispa.generation.scheduler.Scheduler` is, for vLLM, which batches by itself.

    Each call is answered by itself too: vLLM makes up its own passes.

    Args:
        engine: whose vLLM writes; requests may come with others over the same one.
        waiting: most rows that may be at work or wait.
    """

    def __init__(self, engine: VllmEngine, *, waiting: int = WAITING) -> None:
        self._running = engine.running
        self._new: deque[Ticket] = deque()
        self._rows: dict[Ticket, dict[int, str]] = {}  # Rows at work: number → name.
        super().__init__(engine.loaded, waiting, "vispa-vllm")

    def load(self) -> Load:
        """See `Schedules.load`; vLLM's own waiting rows count as running."""
        with self._changed:
            # The thread that works adds to them and takes from them meanwhile.
            rows = [
                row for ticket, numbers in self._rows.items() for row in map(ticket.rows.__getitem__, list(numbers))
            ]
            held = sum(len(row.row.prompt.ids) + len(row.ids) for row in rows)
            return Load(self._waiting, len(rows), len(self._rows), held, self._tokens, self._steps, self._faults)

    @property
    def _waiting(self) -> int:
        return sum(len(ticket.rows) for ticket in self._new)

    def _check_engine(self, engine: Any) -> None:
        if engine.running is not self._running:
            raise ValueError("The engine is not one of the scheduler's.")

    @property
    def _pending(self) -> int:
        return self._waiting + sum(map(len, self._rows.values()))

    def _queue(self, ticket: Ticket) -> None:
        self._new.append(ticket)

    def _abandon(self) -> list[Ticket]:
        tickets = [*self._new, *self._rows]
        self._new.clear()
        return tickets

    def _has_work(self) -> bool:
        return bool(self._new or self._calls or self._rows or self._busy)

    def _work(self) -> None:
        """Rows leave, rows come, something else is done, and all go on by a token."""
        with self._changed:
            new, calls = list(self._new), self._calls.clear()
            self._new.clear()
            self._rows.update((ticket, {}) for ticket in new)
        for ticket in new:
            try:
                self._begin(ticket)
            except Exception as error:
                if not isinstance(error, VispaError):
                    self._count_fault(error)
                ticket.fail(error if isinstance(error, VispaError) else engine_error(error))
        for ticket in [ticket for ticket in self._rows if ticket.done()]:
            self._leave(ticket)
        for call in calls:
            answer_calls([call])
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

    def _restart(self, error: Exception) -> None:
        """After a fault in a step, what was at work fails."""
        self._count_fault(error)
        for ticket in list(self._rows):
            ticket.fail(engine_error(error))
            self._leave(ticket)

    def _end(self) -> None:
        super()._end()
        for ticket in list(self._rows):
            self._leave(ticket)
