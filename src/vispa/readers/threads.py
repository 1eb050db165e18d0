"""Many jobs in a few threads that never outlive the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import TypeVar

from vispa.readers.base import Progress

T = TypeVar("T")
_Outcome = tuple[int, T | None, BaseException | None]


def run_jobs(jobs: Sequence[Callable[[Event], T]], threads: int, progress: Progress | None) -> list[T]:
    """Results in the order of the jobs; the first error ends all, and so does Ctrl-C, at once.

    The threads are daemons: a job that still waits for a server holds neither this call nor the
    end of the process, as those of `concurrent.futures` would.

    Args:
        jobs: each is given an event that is set when its result is no longer wanted.
        threads: how many jobs run at the same time.
        progress: told of finished jobs.
    """
    stop, lock = Event(), Lock()
    due = iter(range(len(jobs)))
    outcomes: SimpleQueue[_Outcome[T]] = SimpleQueue()

    def work() -> None:
        while not stop.is_set():
            with lock:
                place = next(due, None)
            if place is None:
                return
            try:
                outcomes.put((place, jobs[place](stop), None))
            except BaseException as error:
                outcomes.put((place, None, error))

    results: dict[int, T] = {}
    try:
        for number in range(min(threads, len(jobs))):
            Thread(target=work, daemon=True, name=f"vispa-reader-{number}").start()
        for _ in jobs:
            place, result, error = outcomes.get()
            if error is not None:
                raise error
            results[place] = result  # type: ignore[assignment]
            if progress is not None:
                progress(1)
    finally:
        stop.set()
    return [results[place] for place in range(len(jobs))]
