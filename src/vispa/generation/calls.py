"""What else is asked of a scheduler's model than texts: readings of prompts, those of several requests in one pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from traceback import clear_frames
from typing import Any

from vispa.models.batching import Budget


@dataclass(eq=False, frozen=True)
class Call:
    """Items that a function is to be applied to.

    Attributes:
        function: gives one result an item, in their order.
        items: of one caller.
        tokens: that reading them takes, padding included.
        key: calls of one key are of one function; None stands alone.
        owner: calls of one owner wait for each other, not those of others for all of them.
        is_one: whether the one item's result is that of the future.
        future: of the results.
    """

    function: Callable[[Sequence[Any]], Sequence[Any]]
    items: Sequence[Any]
    tokens: int = 0
    key: Hashable = None
    owner: Hashable = None
    is_one: bool = False
    future: Future[Any] = field(default_factory=Future)

    @classmethod
    def of(cls, function: Callable[[], Any]) -> Call:
        """A call of a function that takes nothing."""
        return cls(lambda _: [function()], [None], is_one=True)

    def settle(self, results: Sequence[Any]) -> None:
        """With what its items came to."""
        self.future.set_result(results[0] if self.is_one else list(results))


class Calls:
    """Those that wait, the owners in turn: many of one do not keep out one of another.

    Of one owner they come in their order, but that a later one may fill up a pass.
    """

    def __init__(self) -> None:
        self._owners: dict[Hashable, deque[Call]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._owners.values()))

    def add(self, call: Call) -> None:
        """Come in after all others of its owner."""
        self._owners.setdefault(call.owner, deque()).append(call)

    def next(self, reading: Budget) -> list[Call]:
        """The first one, and those of its key that fit into one pass with it; none where none waits.

        Args:
            reading: what one pass over prompts may hold.
        """
        taken: list[Call] = []
        tokens = 0
        for call in self._in_turn():
            # What nobody waits for any more is not read.
            more = 0 if call.future.cancelled() else call.tokens
            if not taken or (call.key is not None and call.key == taken[0].key and reading.holds(1, tokens + more)):
                taken.append(call)
                tokens += more
        for call in taken:
            # Its owner's turn comes again after that of all others.
            rest = self._owners.pop(call.owner)
            rest.remove(call)
            if rest:
                self._owners[call.owner] = rest
        return taken

    def clear(self) -> list[Call]:
        """Forget all, which are returned."""
        calls = self._in_turn()
        self._owners = {}
        return calls

    def _in_turn(self) -> list[Call]:
        rounds = chain.from_iterable(zip_longest(*self._owners.values()))
        return [call for call in rounds if call is not None]


def answer_calls(calls: Sequence[Call]) -> None:
    """Settle calls of one key together; where that fails, each by itself."""
    calls = [call for call in calls if call.future.set_running_or_notify_cancel()]
    if not calls:
        return
    try:
        found = list(calls[0].function([item for call in calls for item in call.items]))
    except Exception as error:
        if len(calls) == 1:
            calls[0].future.set_exception(error)
            return
        # Else what the failed pass held would stand beside each of those that follow.
        clear_frames(error.__traceback__)
        for call in calls:
            try:
                call.settle(call.function(call.items))
            except Exception as own:
                call.future.set_exception(own)
        return
    for call in calls:
        results, found = found[: len(call.items)], found[len(call.items) :]
        call.settle(results)
