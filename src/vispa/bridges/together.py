"""Many concurrent calls answered by one call of a function that takes many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

import anyio

from vispa.errors import InputError

Given = TypeVar("Given")
Found = TypeVar("Found")

#: Seconds that a batch waits for calls that begin in the same moment.
GATHERING = 0.05


class Together(Generic[Given, Found]):
    """Collects calls that wait at the same time and answers them in a thread, one batch after another.

    Whoever gets the lock answers for all that wait; those who come meanwhile are the next batch.

    Args:
        function: gives the results of N things in their order; never runs twice at once.
    """

    def __init__(self, function: Callable[[Sequence[Given]], Sequence[Found]]) -> None:
        self._function = function
        self._waiting: list[tuple[Given, Future[Found]]] = []
        self._lock = anyio.Lock()

    async def __call__(self, given: Given) -> Found:
        """The function's result for one thing, or what it raises.

        A batch that fails is tried again one by one, unless by an `InputError`, which all would show.
        """
        own: Future[Found] = Future()
        self._waiting.append((given, own))
        async with self._lock:
            if not own.done():
                await anyio.sleep(GATHERING)
                calls, self._waiting = self._waiting, []
                await anyio.to_thread.run_sync(self._answer, calls)
        return own.result()

    def _answer(self, calls: Sequence[tuple[Given, Future[Found]]]) -> None:
        try:
            found = self._function([given for given, _ in calls])
        except Exception as error:
            if len(calls) > 1 and not isinstance(error, InputError):
                for call in calls:
                    self._answer([call])
            else:
                for _, future in calls:
                    future.set_exception(error)
        else:
            for (_, future), result in zip(calls, found, strict=True):
                future.set_result(result)
