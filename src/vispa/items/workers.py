"""Workers over Ray: chunks are answered in several processes, on this machine or many, in the order of the chunks.

A worker is a whole pipeline. Chunks are those of a run in one process, and what meets in a chunk decides the last
bits of batched arithmetic, so the answers are the same bytes. The driver alone writes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from vispa.errors import InputError, VispaError
from vispa.files.visible import first_line

A = TypeVar("A")

_logger = logging.getLogger(__name__)

# Seconds that a cluster's machine is given to answer at all.
_REACHED = 5.0
# Address of a machine, on which Ray waits for many minutes where nothing is there; IPv6 ones are in brackets.
_MACHINE = re.compile(r"(?:ray://)?(?:\[(?P<six>[^]/]+)\]|(?P<host>[^/:]+)):(?P<port>\d{1,5})")
# Seconds after which it is said that no worker is ready.
_PATIENCE = 120.0
#: How often a chunk is begun anew because its worker died; then each of its items is asked alone.
RETRIES = 3
#: How many chunks for each worker may be answered while an earlier one is not.
_AHEAD = 4
#: How often a local cluster is tried to start.
_STARTS = 3
#: Objects that wait between processes, in bytes: a chunk's requests and answers are small.
_OBJECT_STORE = 200 * 2**20


@dataclass(frozen=True)
class Work(Generic[A]):
    """What a worker has made ready.

    Attributes:
        about: all that determines its answers; workers that differ in it are not of one run.
        answer: kind of work (a method's name) and chunk in, an answer to each item out.
        told: what the driver must know beside.
    """

    about: Any
    answer: Callable[[str, Sequence[Any]], Sequence[A]]
    told: Any = None


class _Worker(Generic[A]):
    """Lives in a process of its own. What it raises is given back: Ray would log it, texts included."""

    def __init__(self, make: Callable[[int], Work[A]], threads: int) -> None:
        self._make, self._threads = make, threads
        self._work: Work[A] | None = None

    def about(self) -> tuple[Any, Any, str] | Exception:
        """What its answers hang on, what the driver is told, and a digest of the first."""
        try:
            work = self._ready()
        except Exception as error:
            return _plain(error)
        return work.about, work.told, _digest(work.about)

    def answer(self, kind: str, chunk: Sequence[Any]) -> tuple[str, Sequence[A]] | Exception:
        """The digest of what the answers hang on, and the answers."""
        try:
            work = self._ready()
            return _digest(work.about), work.answer(kind, chunk)
        except Exception as error:
            return _plain(error)

    def _ready(self) -> Work[A]:
        if self._work is None:
            # The cluster's cores are shared out, of which this machine may have fewer.
            self._work = self._make(min(self._threads, os.cpu_count() or 1))
        return self._work


@dataclass(frozen=True)
class _Died:
    why: str


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
        _check_installed()
        self._make, self._failed = make, failed
        self._cores = _connect(address, count)
        try:
            self._workers = self._started(count)
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

    def about(self) -> tuple[Any, Any]:
        """What the answers hang on, and what the driver is told, once the first worker is ready; others may load yet.

        Raises:
            VispaError: what a worker raised, or that it died.
        """
        import ray

        asked = [worker.about.remote() for worker in self._workers]
        first, _ = ray.wait(asked, num_returns=1, timeout=_PATIENCE)
        if not first:
            words = "--ray: no worker is ready yet: it loads its model, or the cluster has no free place (`ray status`)"
            _logger.warning(words)
            first, _ = ray.wait(asked, num_returns=1)
        found = self._got(first[0])
        if isinstance(found, _Died):
            raise VispaError(
                f"--ray: a worker died while it made ready ({found.why}). It needs the packages that are installed "
                "here, and memory for a model of its own; --workers takes fewer."
            )
        about, told, self._digest = found
        return about, told

    def answers(self, kind: str, chunks: Iterable[Sequence[Any]]) -> Iterator[Sequence[A]]:
        """The answers to chunks, in their order; after `about`.

        A chunk whose worker dies is begun anew by its successor, or on another machine. One that takes
        worker after worker with it is asked item by item, and those that still do so fail.

        Args:
            kind: of work.
            chunks: are taken as workers become free.

        Raises:
            VispaError: what a worker raised, or that one answers with another model.
        """
        import ray

        waiting, free = enumerate(chunks), list(self._workers)
        busy: dict[Any, tuple[int, Any, Sequence[Any]]] = {}
        done: dict[int, Sequence[A]] = {}
        following = 0
        while True:
            while free and len(done) < _AHEAD * len(self._workers) and (one := next(waiting, None)) is not None:
                worker = free.pop()
                busy[worker.answer.remote(kind, one[1])] = (one[0], worker, one[1])
            if not busy:
                return
            ready, _ = ray.wait(list(busy), num_returns=1)
            place, worker, chunk = busy.pop(ready[0])
            done[place] = self._checked(ready[0], worker, kind, chunk)
            free.append(worker)
            while following in done:
                yield done.pop(following)
                following += 1

    def _checked(self, asked: Any, worker: Any, kind: str, chunk: Sequence[Any]) -> Sequence[A]:
        """The answers that a worker gave, one by one where the chunk took it with it."""
        found = self._got(asked)
        if isinstance(found, _Died) and len(chunk) == 1:
            return [self._failed(f"Its worker died {RETRIES + 1} times.")]
        if isinstance(found, _Died):
            return [self._checked(worker.answer.remote(kind, [item]), worker, kind, [item])[0] for item in chunk]
        digest, answers = found
        if digest != self._digest:
            raise VispaError(
                "--ray: workers differ in what determines answers (model, bank, versions of libraries). "
                "Install the same everywhere, and repeat the command to go on."
            )
        return answers  # type: ignore[no-any-return]

    def _got(self, asked: Any) -> Any:
        """What a worker gave; `_Died` where it did so again and again."""
        import ray

        try:
            found = ray.get(asked)
        except ray.exceptions.RayActorError as error:
            return _Died(str(error).strip().splitlines()[-1])
        except ray.exceptions.RayError as error:
            raise VispaError(f"--ray: {type(error).__name__}. Repeat the command to go on.") from error
        if isinstance(found, Exception):
            raise found
        return found

    def _started(self, count: int | None) -> list[Any]:
        import ray

        cores, devices = (int(ray.cluster_resources().get(name, 0)) for name in ("CPU", "GPU"))
        count = count or devices or max(1, cores // 4)
        what, most = ("GPUs", devices) if devices else ("cores", cores)
        if count > most:
            raise InputError("--workers", f"are {count}, and the cluster has {most} {what}.", f"Take at most {most}.")
        worker = ray.remote(_Worker).options(
            num_cpus=1,
            num_gpus=devices // count,
            max_restarts=-1,
            max_task_retries=RETRIES,
            scheduling_strategy="SPREAD",
        )
        threads = max(1, self._cores // count)
        return [worker.remote(self._make, threads) for _ in range(count)]


def _check_installed() -> None:
    if find_spec("ray") is None:
        raise InputError("--ray", "needs Ray, which is not installed.", "pip install 'vispa[ray]'")


def _connect(address: str, count: int | None) -> int:
    """Join a cluster or begin one, without telling anyone else or showing what workers print.

    Returns:
        Number of processor cores that the workers share.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        cores = os.cpu_count() or 1
        # Workers may share a core: places are counted so that there is one for each.
        _start(num_cpus=max(cores, count or 1), object_store_memory=_OBJECT_STORE, include_dashboard=False, **quiet)
        return cores
    try:
        _reach(os.environ.get("RAY_ADDRESS") or address if address == "auto" else address)
        ray.init(address, **quiet)
    except (OSError, OverflowError, ValueError, RuntimeError) as error:
        advice = "Give the address of a running cluster (`ray start --head` prints it), auto, or local."
        raise InputError("--ray", f"{address!r} cannot be reached: {first_line(error)}.", advice) from error
    return int(ray.cluster_resources().get("CPU", 1))


def _reach(address: str) -> None:
    """Find out whether anything listens at a machine's address; names such as `auto` are left to Ray.

    Raises:
        OSError, OverflowError, ValueError: nothing does, or there is no such machine or port.
    """
    found = _MACHINE.fullmatch(address)
    if found is not None:
        socket.create_connection((found["six"] or found["host"], int(found["port"])), timeout=_REACHED).close()


def _start(**how: Any) -> None:
    """Begin a cluster; Ray waits half a minute for its own processes, which is short on a busy machine.

    Raises:
        VispaError: it does not start.
    """
    import ray

    for left in reversed(range(_STARTS)):
        try:
            ray.init("local", **how)
            return
        except Exception as error:
            # Ray has no kind of its own for this.
            ray.shutdown()
            if not left:
                problem = f"no local cluster could be started ({first_line(error)})"
                raise VispaError(f"--ray: {problem}. Try again when the machine is less busy.") from error


def _plain(error: Exception) -> Exception:
    """What was raised, if it is ours; else its kind alone, for its words may be a text's."""
    return error if isinstance(error, VispaError) else VispaError(f"--ray: a worker failed ({type(error).__name__}).")


def _digest(about: Any) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
