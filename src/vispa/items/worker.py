"""What lives in a worker's process over Ray: it makes ready in the caller's folder, and answers."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

from vispa.errors import InputError, VispaError
from vispa.versions import package_version

A = TypeVar("A")


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


class Worker(Generic[A]):
    """Lives in a process of its own. What it raises is given back: Ray would log it, texts included.

    Args:
        make: the caller's pickled function that makes what answers; it is read once the versions are seen to be one.
        threads: of the processor, at most.
        version: of the caller's package.
        folder: the caller's, where relative paths begin.
    """

    def __init__(self, make: bytes, threads: int, version: str, folder: str) -> None:
        self._make, self._threads, self._version, self._folder = make, threads, version, folder
        self._work: Work[A] | None = None
        self._nowhere: TemporaryDirectory[str] | None = None

    def about(self) -> tuple[str, tuple[Any, Any] | Exception]:
        """Where it is; what its answers hang on, and what the driver is told."""
        try:
            work = self._ready()
        except Exception as error:
            return _place(), self._given_back(error)
        return _place(), (work.about, work.told)

    def answer(self, kind: str, chunk: Sequence[Any]) -> Sequence[A] | Exception:
        """The answers to a chunk."""
        try:
            return self._ready().answer(kind, chunk)
        except Exception as error:
            return self._given_back(error)

    def _ready(self) -> Work[A]:
        if self._work is None:
            self._check_version()
            self._enter_folder()
            make = pickle.loads(self._make)
            # The cluster's cores are shared out, of which this machine may have fewer.
            self._work = make(min(self._threads, os.cpu_count() or 1))
        return self._work

    def _check_version(self) -> None:
        own = package_version()
        if own != self._version:
            problem = f"leads to a machine with vispa {own}, and the caller's is {self._version}."
            raise InputError("--ray", problem, "Install the same version on every machine.")

    def _enter_folder(self) -> None:
        """Go to the caller's folder; where it is missing, to an empty one: other files may have the same names here."""
        with suppress(OSError):
            os.chdir(self._folder)
            return
        self._nowhere = TemporaryDirectory(prefix="vispa-")
        os.chdir(self._nowhere.name)

    def _given_back(self, error: Exception) -> Exception:
        """What was raised, if it is ours; else its kind alone, for its words may be a text's."""
        if not isinstance(error, VispaError):
            missing = f": {error.name}" if isinstance(error, ImportError) and error.name else ""
            return VispaError(f"--ray: a worker failed ({type(error).__name__}{missing}).")
        if self._nowhere is not None:
            error.args = (f"{error} Its machine has no folder {self._folder}, where relative paths begin.",)
        return error


def _place() -> str:
    """The machine that this worker is on, as Ray's own listings call it."""
    import ray

    return f"{ray.util.get_node_ip_address()} (node {ray.get_runtime_context().get_node_id()[:8]})"
