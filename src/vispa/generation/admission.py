"""Whose turn it is: rows that wait, taken one of each request in turn, as many as there is room for.

A request of which nothing is written yet goes before the further rows of others, so that it has its first words soon.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

from vispa.generation.running import Writing
from vispa.generation.tickets import Ticket
from vispa.models.batching import Budget

#: Seconds by which a new request goes before the further rows of others; those who waited longer are not passed by.
HEAD_START = 10.0


class Place(NamedTuple):
    """A row of a request, by its number."""

    ticket: Ticket
    number: int

    @property
    def writing(self) -> Writing:
        """The row."""
        return self.ticket.rows[self.number]


class Line:
    """The requests with rows that wait.

    Args:
        running: what the batch may hold, prompts and longest texts.
    """

    def __init__(self, running: Budget) -> None:
        self._running = running
        # By the time since when each has waited for its turn, those of one time in the order in which they came.
        self._tickets: list[tuple[float, int, Ticket]] = []
        self._numbers = count()

    def __bool__(self) -> bool:
        return bool(self._tickets)

    @property
    def tickets(self) -> list[Ticket]:
        """Those with rows that wait, the next one first."""
        return [ticket for *_, ticket in sorted(self._tickets)]

    @property
    def waiting(self) -> int:
        """Rows that wait, of requests that still want them."""
        return sum(len(ticket.waiting) for *_, ticket in self._tickets if not ticket.done())

    def add(self, ticket: Ticket) -> None:
        """Come in after all others of which nothing is written yet."""
        self._push(ticket, ticket.submitted - HEAD_START)

    def leave(self) -> list[Ticket]:
        """Those that are cancelled or have failed go, and are returned."""
        gone = [ticket for *_, ticket in self._tickets if ticket.done()]
        if gone:
            self._tickets = [place for place in self._tickets if not place[-1].done()]
            heapq.heapify(self._tickets)
        return gone

    def clear(self) -> None:
        """Forget all."""
        self._tickets.clear()

    def next(self, running: Sequence[Writing], joins: bool, reading: Budget) -> list[Place]:
        """The rows that begin now, those of one request side by side.

        A row that finds no room keeps its turn, so that long ones are not passed by for ever.

        Args:
            running: rows that write.
            joins: whether rows can join them; if not, the rows of one request begin when all others have ended.
            reading: what one pass over prompts may hold.
        """
        if running and not joins:
            return []
        taken: list[Place] = []
        longest = max((writing.longest for writing in running), default=0)
        prompt = 0
        while self._tickets:
            since, _, ticket = self._tickets[0]
            writing = ticket.rows[ticket.waiting[0]]
            longest, prompt = max(longest, writing.longest), max(prompt, len(writing.row.prompt.ids))
            number = len(taken) + 1
            # One row alone always fits.
            has_room = self._running.holds(len(running) + number, longest) or not (taken or running)
            if not (has_room and (reading.holds(number, prompt) or not taken)):
                break
            if taken and not joins and ticket is not taken[0].ticket:
                break
            taken.append(Place(ticket, ticket.waiting.popleft()))
            heapq.heappop(self._tickets)
            if ticket.waiting:
                self._push(ticket, time.monotonic() if joins else since)
        order = {id(place.ticket): number for number, place in reversed(list(enumerate(taken)))}
        return sorted(taken, key=lambda place: order[id(place.ticket)])

    def _push(self, ticket: Ticket, since: float) -> None:
        heapq.heappush(self._tickets, (since, next(self._numbers), ticket))
