"""Who may use a model: one thread at a time, in the order in which they came."""

from __future__ import annotations

from collections import deque
from threading import Lock, get_ident
from types import TracebackType


class Turns:
    """A re-entrant lock that goes to whoever has waited longest.

    A plain lock goes back to the thread that has just released it, so that a thread with many
    batches would keep all others out until it has finished.

    Example:
        >>> turns = Turns()
        >>> with turns, turns:
        ...     print(turns.is_mine)
        True
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._waiting: deque[Lock] = deque()
        self._owner: int | None = None
        self._depth = 0

    @property
    def is_mine(self) -> bool:
        """Whether the calling thread holds the lock."""
        return self._depth > 0 and self._owner == get_ident()

    def __enter__(self) -> None:
        if not self.is_mine:
            self._take()
            self._owner = get_ident()
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
            self._hand_over()

    def __reduce__(self) -> tuple[type[Turns], tuple[()]]:
        # A copy of a model is another model.
        return Turns, ()

    def _take(self) -> None:
        turn = Lock()
        turn.acquire()
        with self._guard:
            self._waiting.append(turn)
            if len(self._waiting) == 1:
                return
        try:
            # Released by the one before.
            turn.acquire()
        except BaseException:
            self._give_up(turn)
            raise

    def _hand_over(self) -> None:
        """The first of the queue leaves it, and the next one goes on."""
        with self._guard:
            self._waiting.popleft()
            if self._waiting:
                self._waiting[0].release()

    def _give_up(self, turn: Lock) -> None:
        """Leave the queue after an interrupt; a turn that has come already goes to the next."""
        with self._guard:
            if self._waiting[0] is not turn:
                self._waiting.remove(turn)
                return
        self._hand_over()
