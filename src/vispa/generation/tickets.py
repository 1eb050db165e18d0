"""A place in the line: rows that were handed to a scheduler, and what comes of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from vispa.generation.rows import Generated
from vispa.generation.running import Writing
from vispa.generation.streaming import TextStream
from vispa.steering.plan import SteeringPlan

#: Told of a row's new text, by the row's number.
OnText = Callable[[int, str], None]
#: Told of a row's end.
OnRow = Callable[[int, Generated], None]


class Ticket(Future[list[Generated]]):
    """The rows of one request; a future of their texts, in their order.

    Of a future it has `result(timeout)`, `exception(timeout)`, `done()`, `add_done_callback(call)`, and `cancel()`,
    after which its rows leave the batch within one step. `asyncio.wrap_future(ticket)` makes it awaitable, and
    cancelling that cancels the ticket.

    It fails with a `NumericalError` of one of its rows, an `EngineError` where the engine failed while it wrote, a
    `ClosedError` where the scheduler was closed, or what one of its two callbacks raised.

    Its methods beyond those of a future are the scheduler's, on its thread.

    Args:
        engine: whose rows they are.
        rows: that are to be written.
        plan: of their steering.
        on_text: see `Scheduler.submit`.
        on_row: see `Scheduler.submit`.
    """

    def __init__(
        self,
        engine: Any,
        rows: Sequence[Writing],
        plan: SteeringPlan,
        on_text: OnText | None = None,
        on_row: OnRow | None = None,
    ) -> None:
        super().__init__()
        self.engine, self.rows, self.plan = engine, rows, plan
        self.waiting = deque(range(len(rows)))  #: Numbers of the rows that are not in a batch yet.
        self.submitted = time.monotonic()  #: When it came.
        self._on_text, self._on_row = on_text, on_row
        self._streams = [TextStream(engine.loaded, writing.row.prompt) for writing in rows if on_text is not None]
        self._texts: dict[int, Generated] = {}
        self._settled = False

    def advanced(self, number: int) -> None:
        """A row has a token more, or has ended: tell of its text, and settle where it was the last.

        Raises:
            NumericalError: the row has failed.
            Exception: what a callback raised.
        """
        writing = self.rows[number]
        found = self.engine.generated(writing, self.plan) if writing.done else None
        if self._on_text is not None:
            stream = self._streams[number]
            new = stream.grown(writing.ids) if found is None else stream.ended(found.text)
            if new:
                self._on_text(number, new)
        if found is None:
            return
        self._texts[number] = found
        if self._on_row is not None:
            self._on_row(number, found)
        if len(self._texts) == len(self.rows):
            self._settle(lambda: self.set_result([self._texts[place] for place in range(len(self.rows))]))

    def fail(self, error: Exception) -> None:
        """Settle with an error; nothing where it is settled or cancelled."""
        self._settle(lambda: self.set_exception(error))

    def release(self) -> None:
        """Nothing more is done for one that is cancelled; tell those who wait for it."""
        self._settle(lambda: None)

    def _settle(self, settle: Callable[[], None]) -> None:
        if self._settled:
            return
        self._settled = True
        # A future that has begun cannot be cancelled: whoever settles it has the last word.
        if self.set_running_or_notify_cancel():
            settle()
