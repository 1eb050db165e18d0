"""What other threads tell an event loop: it is woken once for all that comes before it has looked."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary


class Post:
    """What waits to be taken in by one event loop.

    A step of the model says something of each of its rows. Waking the loop for every one of them would cost a system
    call each, at each of which the loop takes the interpreter from the model's thread.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[Any], None], Any]] = []
        self._lock = Lock()

    def send(self, loop: AbstractEventLoop, take: Callable[[Any], None], thing: Any) -> None:
        """Have something taken in by the loop, after all that was sent before; from any thread.

        Args:
            loop: whose post it is.
            take: called there with the thing; raises nothing.
            thing: that is told.

        Raises:
            RuntimeError: the loop is closed.
        """
        with self._lock:
            # A loop that was woken and closed before it looked leaves what waited.
            if not self._waiting or loop.is_closed():
                loop.call_soon_threadsafe(self._deliver)
            self._waiting.append((take, thing))

    def _deliver(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for take, thing in waiting:
            take(thing)


# It is not held by what belongs to it: a loop that has gone takes its post with it.
_posts: WeakKeyDictionary[AbstractEventLoop, Post] = WeakKeyDictionary()
_making = Lock()


def post_of(loop: AbstractEventLoop) -> Post:
    """The post of a loop; everybody who sends to it has the same."""
    with _making:
        return _posts.setdefault(loop, Post())
