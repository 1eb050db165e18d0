"""Memory that requests have let go of goes back to the operating system, not at every tick."""

from __future__ import annotations

import asyncio
import time

import pytest

from vispa.serving.memory import Memory


class Counted:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self, _: int) -> int:
        self.times += 1
        return 1


async def ticks(memory: Memory, seconds: float, *, busy: bool) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        memory.tidy(busy=busy)
        await asyncio.sleep(0.01)


def test_free_memory_is_given_back_once_after_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vispa.serving.memory._IDLE", 0.1)
    monkeypatch.setattr("vispa.serving.memory._BUSY", 1000.0)
    memory, trim = Memory(), Counted()
    memory._trim = trim

    async def visit() -> list[int]:
        seen = []
        await ticks(memory, 0.2, busy=False)
        seen.append(trim.times)
        memory.use()
        await ticks(memory, 0.3, busy=False)
        seen.append(trim.times)
        memory.use()
        await ticks(memory, 0.3, busy=True)
        seen.append(trim.times)
        await ticks(memory, 0.3, busy=False)
        return [*seen, trim.times]

    assert asyncio.run(visit()) == [0, 1, 1, 2]


def test_where_the_library_cannot_nothing_happens() -> None:
    memory = Memory()
    memory._trim = None
    memory.use()
    memory.tidy(busy=False)
