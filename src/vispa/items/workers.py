"""Workers over Ray: chunks are answered in several processes, on this machine or many, in the order of the chunks.

A worker is a whole pipeline. Chunks are those of a run in one process, and what meets in a chunk decides the last
bits of batched arithmetic, so the answers are the same bytes. The driver alone writes.

The driver begins dead workers anew, and only one that is ready has a chunk: no chunk waits for a machine that is gone.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from vispa.errors import InputError, VispaError
from vispa.items.cluster import Died, check_installed, connect, free_places, given, shared_out
from vispa.items.differing import differences
from vispa.items.worker import Work, Worker
from vispa.versions import package_version

__all__ = ["Work", "Workers"]

A = TypeVar("A")

_logger = logging.getLogger(__name__)

# Seconds after which it is said that workers are not ready.
_PATIENCE = 120.0
#: How often a chunk is begun anew because its worker died; then each of its items is asked alone.
RETRIES = 3
#: How many chunks for each worker may be answered while an earlier one is not.
_AHEAD = 4


@dataclass
class _Seat:
    """A worker and those that follow it when it dies.

    Attributes:
        worker: Ray's handle.
        place: the machine that it is on, once it is ready.
        deaths: how often it died while it made ready, since it last was.
    """

    worker: Any = None
    place: str = ""
    deaths: int = 0


@dataclass
class _Asked(Generic[A]):
    """A chunk that is being answered: as a whole, or item by item once it took worker after worker with it.

    Attributes:
        place: in the order of the chunks.
        chunk: its items.
        deaths: how many workers died over what is asked next.
        alone: whether one item is asked at a time.
        answers: to its first items.
    """

    place: int
    chunk: Sequence[Any]
    deaths: int = 0
    alone: bool = False
    answers: list[A] = field(default_factory=list)

    @property
    def following(self) -> Sequence[Any]:
        """What is asked next."""
        return self.chunk[len(self.answers) :][:1] if self.alone else self.chunk

    def answered(self, answers: Sequence[A]) -> None:
        """Take the answers to what was asked."""
        self.answers.extend(answers)
        self.deaths = 0

    def died(self, failed: Callable[[str], A]) -> None:
        """Take it that its worker died."""
        self.deaths += 1
        if self.deaths <= RETRIES:
            return
        if self.alone or len(self.chunk) == 1:
            self.answered([failed(f"Its worker died {RETRIES + 1} times.")])
        self.alone, self.deaths = True, 0


class Workers(Generic[A]):
    """A context in which workers live; they and a local cluster end with it.

    Args:
        make: called in each worker with its number of processor threads; makes what answers.
        address: of a Ray cluster as `ray.init` takes it, or `local` for one of this process's own.
        count: number of workers; by default one a GPU, or without any one for every four cores.
        failed: makes an answer of what is wrong with an item.

    Raises:
        InputError: Ray is not installed, the cluster cannot be reached, or has no room for so many workers.
    """

    def __init__(
        self, make: Callable[[int], Work[A]], address: str, count: int | None, failed: Callable[[str], A]
    ) -> None:
        check_installed()
        self._make, self._failed, self._joined = make, failed, address != "local"
        # Of a successor too, hours later.
        self._folder = str(Path.cwd())
        self._starting: dict[Any, _Seat] = {}
        self._free: list[_Seat] = []
        # When it is said that workers are not ready; None once it was.
        self._late: float | None = None
        self._first: tuple[str, Any, Any] | None = None
        cores = connect(address, count)
        try:
            self._places = shared_out(count, cores)
            self._seats = self._places.count
            if self._joined:
                self._say_room()
            for _ in range(self._places.count):
                self._begin(_Seat())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, and the cluster where it is this process's own."""
        import ray

        ray.shutdown()

    def about(self, ready: int = 1) -> tuple[Any, Any]:
        """What the answers hang on, and what the driver is told, once workers are ready; others may load yet.

        Args:
            ready: number of workers that must be.

        Raises:
            VispaError: what a worker raised, that they died, or that they differ.
        """
        while len(self._free) < min(ready, self._seats) or self._first is None:
            self._welcome(self._ended(self._starting))
        _, about, told = self._first
        return about, told

    @property
    def places(self) -> list[str]:
        """The machines of the workers that are ready and free."""
        return [seat.place for seat in self._free]

    def answers(self, kind: str, chunks: Iterable[Sequence[Any]]) -> Iterator[Sequence[A]]:
        """The answers to chunks, in their order.

        A chunk whose worker dies is begun anew by another, or by its successor. One that takes worker after worker
        with it is asked item by item, and those that still do so fail.

        Args:
            kind: of work.
            chunks: are taken as workers become free.

        Raises:
            VispaError: what a worker raised, that all died, or that one answers with another model.
        """
        waiting, again = self._asked(chunks), deque[_Asked[A]]()
        busy: dict[Any, tuple[_Seat, _Asked[A]]] = {}
        done: dict[int, Sequence[A]] = {}
        following = 0
        try:
            while True:
                while self._free and (one := self._next(waiting, again, len(done))) is not None:
                    seat = self._free.pop()
                    busy[seat.worker.answer.remote(kind, one.following)] = seat, one
                if not busy:
                    # All may have died over the last chunk, after which nobody is needed.
                    if self._free or (one := self._next(waiting, again, len(done))) is None:
                        return
                    again.append(one)
                ended = self._ended([*busy, *self._starting])
                if ended in self._starting:
                    self._welcome(ended)
                    continue
                seat, one = busy.pop(ended)
                self._take(ended, seat, one)
                if len(one.answers) < len(one.chunk):
                    again.append(one)
                else:
                    done[one.place] = one.answers
                while following in done:
                    yield done.pop(following)
                    following += 1
        finally:
            self._free.extend(seat for seat, _ in busy.values())

    def _asked(self, chunks: Iterable[Sequence[Any]]) -> Iterator[_Asked[A]]:
        for place, chunk in enumerate(chunks):
            yield _Asked(place, chunk)

    def _next(self, waiting: Iterator[_Asked[A]], again: deque[_Asked[A]], done: int) -> _Asked[A] | None:
        """What a free worker is asked; what was begun already goes first, for what is done waits for it."""
        if again:
            return again.popleft()
        return next(waiting, None) if done < _AHEAD * self._places.count else None

    def _take(self, ended: Any, seat: _Seat, one: _Asked[A]) -> None:
        """Take what a worker gave to what it was asked."""
        found = given(ended)
        if isinstance(found, Died):
            _logger.warning("--ray: the worker on %s died (%s). Its chunk is begun anew.", seat.place, found.why)
            one.died(self._failed)
            self._begin(seat)
            return
        self._free.append(seat)
        if isinstance(found, Exception):
            raise self._placed(found, seat.place)
        one.answered(found)

    # ---------------------------------------------------------------- workers

    def _begin(self, seat: _Seat) -> None:
        """Start a seat's worker, or its successor."""
        import ray

        if seat.worker is not None:
            # One that is only out of reach would keep its place.
            ray.kill(seat.worker)
        actor = ray.remote(Worker).options(num_cpus=1, num_gpus=self._places.devices, scheduling_strategy="SPREAD")
        make = ray.cloudpickle.dumps(self._make)
        seat.worker = actor.remote(make, self._places.threads, package_version(), self._folder)
        self._starting[seat.worker.about.remote()] = seat
        self._late = time.monotonic() + _PATIENCE

    def _welcome(self, ended: Any) -> None:
        """Take a worker that is ready, if it is of the same run as the others.

        Raises:
            InputError: it cannot begin there.
            VispaError: what it raised, that it and all others died, or that it differs.
        """
        seat = self._starting.pop(ended)
        found = given(ended)
        if isinstance(found, Died):
            self._mourn(seat, found)
            return
        seat.place, ready = found
        if isinstance(ready, Exception):
            raise self._placed(ready, seat.place)
        seat.deaths = 0
        if self._first is None:
            self._first = (seat.place, *ready)
        elif unlike := differences(self._first[1], ready[0]):
            raise VispaError(
                f"--ray: the workers on {self._first[0]} and {seat.place} differ in what determines answers: {unlike}. "
                "Make it the same everywhere, and repeat the command to go on."
            )
        _logger.info("a worker is ready on %s", seat.place)
        self._free.append(seat)

    def _mourn(self, seat: _Seat, found: Died) -> None:
        """Begin a worker anew that died while it made ready; after the last time the others go on without it."""
        where = f" on {found.machine}" if self._joined and found.machine else ""
        if found.at_once:
            advice = "Install there what is installed here, in the environment that Ray was started in."
            raise InputError("--ray", f"a worker{where} could not begin ({found.why}).", advice)
        seat.deaths += 1
        if seat.deaths <= RETRIES:
            self._begin(seat)
            return
        self._seats -= 1
        problem = f"--ray: a worker{where} died while it made ready ({found.why})"
        if not self._seats:
            raise VispaError(f"{problem}. It needs memory for a model of its own; --workers takes fewer.")
        _logger.warning("%s %d times; %d go on.", problem, seat.deaths, self._seats)

    def _placed(self, error: Exception, place: str) -> Exception:
        """What a worker raised, with the machine that it is on where there may be several."""
        if self._joined:
            error.args = (f"{error} So says the worker on {place}.",)
        return error

    # ---------------------------------------------------------------- waiting

    def _ended(self, asked: Iterable[Any]) -> Any:
        """The first that ends; once workers have not been ready for long, it is said."""
        import ray

        waited = list(asked)
        while True:
            left = None if self._late is None or not self._starting else self._late - time.monotonic()
            if left is not None and left <= 0:
                self._late = None
                self._say_late()
                continue
            ended, _ = ray.wait(waited, num_returns=1, timeout=left)
            if ended:
                return ended[0]

    def _say_room(self) -> None:
        free = free_places(self._places)
        if free < self._places.count:
            _logger.warning(
                "--ray: the cluster has room for only %d of %d workers now; the rest begin when there is more (`ray "
                "status`).",
                free,
                self._places.count,
            )

    def _say_late(self) -> None:
        _logger.warning(
            "--ray: %d of %d workers are not ready yet: they load their models, or the cluster has no free place for "
            "them (it has room for %d more; `ray status`).",
            len(self._starting),
            self._places.count,
            free_places(self._places),
        )
