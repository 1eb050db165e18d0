"""A Ray cluster, joined or begun, and the places that it has for workers."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from vispa.errors import InputError, VispaError
from vispa.files.visible import first_line

_logger = logging.getLogger(__name__)

# Seconds that a cluster's machine is given to take a connection, and to say on it that it is one.
_REACHED, _GREETED = 5.0, 30.0
# What a client of gRPC begins with (HTTP/2 and empty settings), and the kind of frame that every server begins with.
_GREETING, _SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 4
# Address of a machine; IPv6 ones are in brackets.
_MACHINE = re.compile(r"(?:ray://)?(?:\[(?P<six>[^]/]+)\]|(?P<host>[^/:]+)):(?P<port>\d{1,5})")
# Ray's words on a worker that died name its machine in the midst.
_ADDRESS = re.compile(r"\bip[=:] ?([^\s,)]+)")
# How often a local cluster is tried to start.
_STARTS = 3
# Objects that wait between processes, in bytes: a chunk's requests and answers are small.
_OBJECT_STORE = 200 * 2**20


def check_installed() -> None:
    """Refuse to go on without Ray.

    Raises:
        InputError: it is not installed.
    """
    if find_spec("ray") is None:
        raise InputError("--ray", "needs Ray, which is not installed.", "pip install 'vispa[ray]'")


def connect(address: str, count: int | None) -> int:
    """Join a cluster or begin one, without telling anyone else or showing what workers print.

    Args:
        address: of a cluster as `ray.init` takes it, or `local` for one of this process's own.
        count: number of workers that one of this process's own must have a place for.

    Returns:
        Number of processor cores that the workers share.

    Raises:
        InputError: the cluster cannot be reached, or is of another Ray or Python.
        VispaError: a local one does not start.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address != "local":
        # Of 20 tries to reach the cluster, each of which prints a line.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "5")
    import ray

    _mute()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        cores = os.cpu_count() or 1
        # Workers may share a core: places are counted so that there is one for each.
        _start(num_cpus=max(cores, count or 1), object_store_memory=_OBJECT_STORE, include_dashboard=False, **quiet)
        return cores
    try:
        _reach(_sought(address))
        ray.init(address, **quiet)
    except (OSError, OverflowError, ValueError, RuntimeError, ImportError, ray.exceptions.RayError) as error:
        ray.shutdown()
        # Ray's first line may say no more than that versions differ.
        problem = f"{address!r} cannot be reached: {first_line(' '.join(str(error).split()) or error)}."
        advice = (
            "Give the address of a running cluster (`ray start --head` prints it) that this machine is part of "
            "(`ray start --address=…`), auto, or local; where the cluster asks for a token, set RAY_AUTH_MODE=token."
        )
        raise InputError("--ray", problem, advice) from error
    return int(ray.cluster_resources().get("CPU", 1))


@dataclass(frozen=True)
class Places:
    """What the workers take of a cluster.

    Attributes:
        count: number of workers.
        devices: GPUs of each, all on one machine.
        threads: processor threads of each.
    """

    count: int
    devices: int
    threads: int


def shared_out(count: int | None, cores: int) -> Places:
    """How many workers a joined cluster has, and what each takes; GPUs of a worker are on one machine.

    Args:
        count: number of workers; by default one a GPU, or without any one for every four cores.
        cores: that they share.

    Raises:
        InputError: there is no room for so many.
    """
    import ray

    machines = [(int(had.get("CPU", 0)), int(had.get("GPU", 0))) for had in _machines(ray.nodes())]
    devices = sum(of for _, of in machines)
    what, most = ("GPUs", _room(machines, 1)) if devices else ("cores", _room(machines, 0))
    count = count or (max(1, most) if devices else max(1, cores // 4))
    if count > most:
        advice = f"Take at most {most}." if most else f"Add machines that have {what}."
        raise InputError("--workers", f"are {count}, and the cluster has {most} {what} for them.", advice)
    share = devices // count
    while _room(machines, share) < count:
        share -= 1
    return Places(count, share, max(1, cores // count))


def free_places(places: Places) -> int:
    """For how many workers there is room now, as far as Ray knows."""
    import ray

    had = ray.available_resources()
    return _room([(int(had.get("CPU", 0)), int(had.get("GPU", 0)))], places.devices)


@dataclass(frozen=True)
class Died:
    """What became of a worker that was asked.

    Attributes:
        why: Ray's words.
        machine: that it was on, where Ray says so.
        at_once: it could not even begin, and none would on that machine.
    """

    why: str
    machine: str
    at_once: bool


def given(asked: Any) -> Any:
    """What a worker gave; `Died` where it, or its machine with what it gave, is gone.

    Raises:
        VispaError: Ray cannot say, for another reason.
    """
    import ray

    gone = ray.exceptions
    try:
        return ray.get(asked)
    except (gone.RayActorError, gone.ObjectLostError, gone.NodeDiedError, gone.OutOfMemoryError) as error:
        machine, last = _ADDRESS.search(str(error)), first_line(str(error).strip().splitlines()[-1])
        return Died(last, machine[1] if machine else "", getattr(error, "actor_init_failed", False))
    except gone.RayError as error:
        raise VispaError(f"--ray: {type(error).__name__}. Repeat the command to go on.") from error


def _machines(nodes: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    return [node["Resources"] for node in nodes if node["Alive"]]


def _room(machines: Sequence[tuple[int, int]], share: int) -> int:
    """Number of workers that machines of so many cores and GPUs have room for; each takes a core and its share."""
    return sum(min(cores, devices // share) if share else cores for cores, devices in machines)


def _sought(address: str) -> str:
    """The address that Ray goes to; for `auto` it is in the environment, or of a cluster that began on this machine.

    Raises:
        ConnectionError: there is none.
    """
    from ray._private.services import canonicalize_bootstrap_address

    if address != "auto":
        return address
    return os.environ.get("RAY_ADDRESS") or str(canonicalize_bootstrap_address(address))


def _reach(address: str) -> None:
    """Find out whether a machine's address leads to a cluster, for which Ray itself takes many minutes.

    Raises:
        OSError, OverflowError, ValueError: nothing listens there, or something else, or there is no such machine.
    """
    found = _MACHINE.fullmatch(address)
    if found is None:
        # Ray says what it is.
        return
    with socket.create_connection((found["six"] or found["host"], int(found["port"])), timeout=_REACHED) as connection:
        if os.environ.get("RAY_USE_TLS", "0") in ("", "0"):
            connection.settimeout(_GREETED)
            connection.sendall(_GREETING)
            if connection.recv(9)[3:4] != bytes([_SETTINGS]):
                raise ConnectionError("what listens there is no Ray cluster")


def _mute() -> None:
    """Keep Ray's news of its own processes off standard output, where it prints them among the caller's data."""
    from ray._private import worker

    def told(data: dict[str, Any], ignore_prefix: bool) -> None:
        for words in data["lines"]:
            _logger.info("Ray: %s", first_line(words))

    # There is no setting for it.
    worker.print_to_stdstream = told


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
