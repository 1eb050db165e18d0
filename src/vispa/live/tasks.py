"""Work in threads, for whoever must not wait: nobody's event loop stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Generic, TypeVar

from vispa.live.calls import Call, StoppedError
from vispa.live.events import Answered, Event
from vispa.live.post import post_of
from vispa.once import once
from vispa.records import Response

T = TypeVar("T")

#: Calls that are answered at the same time; others wait.
THREADS = 64


class Watch(Generic[T]):
    """Work in a thread: its events as they come, and what it gives.

    Args:
        work: what to do; is given the call that it tells.
        pool: of threads.

    Attributes:
        call: what the work tells.
        future: what the work gives.
    """

    def __init__(self, work: Callable[[Call], T], pool: Executor | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._post = post_of(self._loop)
        self.call = Call(self._heard)
        self.future: asyncio.Future[T] = self._loop.create_future()
        self.future.add_done_callback(_heard_of)
        self._working = self._loop.run_in_executor(pool or _threads(), work, self.call)
        self._working.add_done_callback(self._ended)

    def _heard(self, event: Event) -> None:
        try:
            self._post.send(self._loop, self._events.put_nowait, event)
        except RuntimeError:
            # The loop has gone, and everybody who listened.
            self.call.stop()

    def _ended(self, working: asyncio.Future[T]) -> None:
        if working.cancelled():
            self.future.cancel()
        elif (error := working.exception()) is not None:
            self._fail(error)
        elif not self.future.done():
            self.future.set_result(working.result())
        self._events.put_nowait(None)

    def _fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    async def event(self, patience: float | None = None) -> Event | None:
        """The next event; None after the last.

        Args:
            patience: seconds to wait.

        Raises:
            TimeoutError: none came in that time.
        """
        async with asyncio.timeout(patience):
            return await self._events.get()

    def more(self) -> list[Event]:
        """The events that have come meanwhile, without waiting."""
        found: list[Event] = []
        while not self._events.empty():
            event = self._events.get_nowait()
            if event is None:
                # It stays for `event`, as nothing comes after it.
                self._events.put_nowait(None)
                break
            found.append(event)
        return found

    async def result(self) -> T:
        """What the work gives; who stops waiting stops the work."""
        try:
            return await asyncio.shield(self.future)
        finally:
            self.stop()

    def stop(self) -> None:
        """Let go of work that is not done."""
        if not self.future.done():
            self.call.stop()

    def give_up(self) -> None:
        """Stop, and let those who wait go with a `StoppedError`, though the thread is held up by something else.

        On the loop's thread.
        """
        self.stop()
        self._fail(StoppedError())
        self._events.put_nowait(None)

    @property
    def is_working(self) -> bool:
        """Whether its thread has not come to the end, as far as the loop has heard."""
        return not self._working.done()


async def streamed(work: Callable[[Call], Response]) -> AsyncIterator[Event]:
    """The events of work, its answer last; who stops listening stops the work."""
    watch = Watch(work)
    try:
        while (event := await watch.event()) is not None:
            yield event
        yield Answered(answer=await watch.result())
    finally:
        watch.stop()


def _heard_of(future: asyncio.Future[T]) -> None:
    """Ask for an error, or the loop would log one that nobody waits for any more, words and all."""
    if not future.cancelled():
        future.exception()


@once
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="vispa-call")
