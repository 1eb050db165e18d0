"""One function for callers in many threads: what they ask at the same time is done in one pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any

from vispa.models.batching import Budget


@dataclass(eq=False)
class _Asked:
    """What one caller asks.

    Attributes:
        items: of the function.
        woken: set once it is answered, or once it is this caller's turn to do a pass.
        is_done: it is answered.
        is_gone: its caller was interrupted; nobody waits for it.
        results: one an item.
        error: instead of results.
    """

    items: Sequence[Any]
    woken: Event = field(default_factory=Event)
    is_done: bool = False
    is_gone: bool = False
    results: Any = None
    error: Exception | None = None

    def settle(self, results: Any = None, error: Exception | None = None) -> None:
        self.results, self.error, self.is_done = results, error, True


class Gathering:
    """A function whose callers share passes; it has no thread of its own.

    Who comes when nothing is done does a pass. Others wait meanwhile, and the first of them then does the next pass
    for all that fit into it. Who fills a pass alone waits for nobody. Where a pass of several callers fails, each
    of them is answered alone.

    Args:
        function: gives one result an item, in their order, as a sequence or an array.
        budget: rows of a pass, one an item.

    Example:
        >>> lengths = Gathering(lambda texts: [len(text) for text in texts], Budget(rows=64))
        >>> lengths(["one", "three"])
        [3, 5]
    """

    def __init__(self, function: Callable[[Sequence[Any]], Any], budget: Budget) -> None:
        self._function, self._budget = function, budget
        self._waiting = deque[_Asked]()
        self._busy, self._lock = False, Lock()

    def __call__(self, items: Sequence[Any]) -> Any:
        """What the function gives for these items; what it raises for them."""
        if not self._budget.holds(len(items) + 1, 0):
            return self._function(items)
        asked = _Asked(items)
        with self._lock:
            self._waiting.append(asked)
            waits, self._busy = self._busy, True
        if waits:
            try:
                asked.woken.wait()
            except BaseException:
                self._go(asked)
                raise
        if not asked.is_done:
            self._do_pass()
        if asked.error is not None:
            raise asked.error
        return asked.results

    def _do_pass(self) -> None:
        """For the first who waits, the caller itself, and the next ones."""
        with self._lock:
            taken, count = [self._waiting.popleft()], 0
            while self._waiting:
                count += len(taken[-1].items)
                if not self._budget.holds(count + len(self._waiting[0].items), 0):
                    break
                taken.append(self._waiting.popleft())
        try:
            self._answer(taken)
        finally:
            # Interrupted is this caller alone: others do again what was not done for them.
            with self._lock:
                self._waiting.extendleft(asked for asked in reversed(taken[1:]) if not (asked.is_done or asked.is_gone))
                self._hand_on()
            for asked in taken:
                if asked.is_done:
                    asked.woken.set()

    def _hand_on(self) -> None:
        """The first who waits does the next pass; called with the lock held."""
        self._busy = bool(self._waiting)
        if self._waiting:
            self._waiting[0].woken.set()

    def _go(self, asked: _Asked) -> None:
        """A caller was interrupted while it waited: nobody is to wait for a pass of its own."""
        with self._lock:
            asked.is_gone = True
            if asked in self._waiting:
                self._waiting.remove(asked)
                if asked.woken.is_set():
                    self._hand_on()

    def _answer(self, taken: Sequence[_Asked]) -> None:
        try:
            results = self._function([item for asked in taken for item in asked.items])
        except Exception as error:
            if len(taken) > 1:
                for asked in taken:
                    self._answer([asked])
                return
            for asked in taken:
                asked.settle(error=error)
            return
        begin = 0
        for asked in taken:
            begin, own = begin + len(asked.items), results[begin : begin + len(asked.items)]
            asked.settle(own)
