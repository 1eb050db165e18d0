"""The time that a search has: nothing begins that would leave too little of it for what must follow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Clock:
    """When a search has to end, and how long its comments take.

    Attributes:
        end: by `time.monotonic`.
        seconds: that a comment took, with what it was judged by, when some were last measured; 0 before that.
    """

    end: float
    seconds: float = 0.0

    def latest(self, comments: int) -> float:
        """When that many comments have to begin, by `time.monotonic`."""
        return self.end - comments * self.seconds

    def suffices(self, comments: int) -> bool:
        """Whether there is time for so many comments, as far as is known."""
        return time.monotonic() <= self.latest(comments)

    @contextmanager
    def measuring(self, comments: int) -> Iterator[None]:
        """Learn from so many, at least one, how long one takes: the machine may have more or less to do than before."""
        began = time.monotonic()
        yield
        self.seconds = (time.monotonic() - began) / comments
