"""Timing sides in turn, and counting memory."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile

Result = TypeVar("Result")
Clock = Literal["wall", "cpu"]


@dataclass(frozen=True)
class Spread:
    """A median with the lowest and highest number beside it."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """The spread of at least one number."""
        return cls(statistics.median(numbers), min(numbers), max(numbers))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.lowest:.3g}..{self.highest:.3g})"


@dataclass(frozen=True)
class Times:
    """Seconds of each side in each round.

    Attributes:
        seconds: side → one number a round; the sides of a round ran one after the other.
    """

    seconds: dict[str, tuple[float, ...]]

    def ratio(self, numerator: str, denominator: str) -> Spread:
        """How many times as long one side took as another, taken within each round."""
        pairs = zip(self.seconds[numerator], self.seconds[denominator], strict=True)
        return Spread.of([above / below for above, below in pairs])

    def of(self, side: str) -> Spread:
        """Seconds of a side."""
        return Spread.of(self.seconds[side])


@dataclass(frozen=True)
class Timer:
    """Runs sides in turn.

    Attributes:
        rounds: how many timed rounds.
        device: whose queue must be empty before a clock is read.
        clock: `wall`, or `cpu`: processor seconds of this process with all its threads, which other
            programs on the machine disturb less; of no use with a GPU.
    """

    rounds: int
    device: torch.device
    clock: Clock = "wall"

    def alternate(self, sides: Mapping[str, Callable[[], Result]]) -> tuple[Times, dict[str, Result]]:
        """Run all sides once untimed, then in turn for several rounds.

        Every other round goes through the sides backwards, so that none always follows the same one.

        Args:
            sides: name → work.

        Returns:
            The times, and what each side returned in the untimed run.
        """
        results = {side: work() for side, work in sides.items()}
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(self.rounds):
            for side in list(sides)[:: 1 if number % 2 == 0 else -1]:
                started = self._now()
                sides[side]()
                seconds[side].append(self._now() - started)
        return Times({side: tuple(numbers) for side, numbers in seconds.items()}), results

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() if self.clock == "wall" else time.process_time()


def machine_facts(model: torch.nn.Module) -> dict[str, Any]:
    """What the times depend on: cores, load, versions, dtype and device."""
    weight = next(model.parameters())
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "dtype": str(weight.dtype).removeprefix("torch."),
        "device": torch.cuda.get_device_name(weight.device) if weight.is_cuda else str(weight.device),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def peak_allocation(work: Callable[[], object], device: torch.device) -> int:
    """Most bytes of tensors that some work holds at a time, beyond those that were there before.

    On a GPU the allocator keeps count; on a CPU the profiler sees every allocation and release.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return int(torch.cuda.max_memory_allocated(device)) - int(before)
    # The profiler announces itself on stderr otherwise.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    kineto: Any = profiler.profiler.kineto_results
    events = sorted((event.start_ns(), event.nbytes()) for event in kineto.events() if event.name() == "[memory]")
    held = highest = 0
    for _, change in events:
        held += change
        highest = max(highest, held)
    return highest


def peak_resident() -> int:
    """Most bytes of memory that this process has held so far; 0 where the system does not say.

    `getrusage` would also count the parent at the moment it started this process.
    """
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.is_file() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def in_new_process(work: Callable[..., Result], *arguments: Any) -> Result:
    """What a function returns in a fresh interpreter, which holds nothing of this one's."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()
