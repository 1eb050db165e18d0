"""How fetching and converting say how far they are."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the name of a stage, the number of things just done, and how many there are.
Progress = Callable[[str, int, int], None]


class Steps:
    """Counts a stage's steps and tells of them as they come.

    Args:
        stage: its name.
        total: number of steps.
        progress: told of them; None for silence.
    """

    def __init__(self, stage: str, total: int, progress: Progress | None) -> None:
        self.stage, self.total, self.progress = stage, total, progress
        self.done = 0

    def reach(self, done: int) -> None:
        """So many steps are done by now; never more than there are, never fewer than before."""
        fresh = min(done, self.total) - self.done
        if fresh > 0:
            self.done += fresh
            if self.progress is not None:
                self.progress(self.stage, fresh, self.total)
