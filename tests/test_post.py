"""What threads tell an event loop: all of it comes, in order, and wakes the loop once."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from vispa.live.calls import Call
from vispa.live.events import Unsteered
from vispa.live.post import post_of
from vispa.live.tasks import Watch


@pytest.mark.parametrize(("watches", "pieces"), [(1, 5), (2, 1), (3, 40)])
def test_what_is_told_while_the_loop_does_not_look_wakes_it_once(
    watches: int, pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a step of the model has something to say of each of its rows."""

    async def heard() -> tuple[int, list[list[str]]]:
        loop = asyncio.get_running_loop()
        wake, woken, ended = loop.call_soon_threadsafe, [], threading.Event()

        def work(_: Call) -> None:
            ended.wait(60)

        found = [Watch(work) for _ in range(watches)]

        def counted(call: Callable[..., object], *given: object) -> object:
            woken.append(call)
            return wake(call, *given)

        def step() -> None:
            for number in range(pieces):
                for watch in found:
                    watch.call.tell(Unsteered(text=f"{number} "))

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        # The loop stands still meanwhile.
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
        monkeypatch.undo()
        ended.set()
        texts: list[list[str]] = []
        for watch in found:
            texts.append([])
            while (event := await watch.event()) is not None:
                assert isinstance(event, Unsteered)
                texts[-1].append(event.text)
        return len(woken), texts

    woken, texts = asyncio.run(heard())
    assert texts == [[f"{number} " for number in range(pieces)]] * watches
    assert woken == 1


@pytest.mark.parametrize("threads", [2, 8])
def test_nothing_is_lost_or_comes_after_the_end(threads: int) -> None:
    """A thread that finds the loop about to be woken ends before the one that wakes it goes on."""

    async def heard() -> list[list[str]]:
        def work(call: Call) -> None:
            for number in range(30):
                call.tell(Unsteered(text=str(number)))

        with ThreadPoolExecutor(threads) as pool:

            async def texts() -> list[str]:
                found, watch = [], Watch(work, pool)
                while (event := await watch.event()) is not None:
                    assert isinstance(event, Unsteered)
                    found.append(event.text)
                return found

            return await asyncio.gather(*(texts() for _ in range(threads * 20)))

    assert asyncio.run(heard()) == [[str(number) for number in range(30)]] * threads * 20


@pytest.mark.parametrize("waits", [False, True])
def test_a_call_whose_loop_has_gone_is_stopped(waits: bool) -> None:
    loop, calls = asyncio.new_event_loop(), list[Call]()

    async def begun() -> None:
        watch = Watch(lambda _: None)
        await watch.result()
        calls.append(watch.call)

    loop.run_until_complete(begun())
    if waits:
        # Woken, but closed before it looked.
        calls[0].tell(Unsteered(text="I"))
    loop.close()
    calls[0].tell(Unsteered(text=" lied"))
    assert calls[0].is_stopped


def test_a_loop_and_its_post_go_together() -> None:
    async def made() -> weakref.ref[object]:
        return weakref.ref(post_of(asyncio.get_running_loop()))

    gone = asyncio.run(made())
    gc.collect()
    assert gone() is None
