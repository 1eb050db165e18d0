"""Running one case in this process, as the command line would: what it printed, wrote, loaded and how it ended."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest

from hostile.cases import Argument, Case, File
from hostile.files import make
from hostile.makers import MAKERS
from vispa.cli import main

#: Longest that a case may take, in seconds of this process's work.
SECONDS = 20
#: What never reaches a terminal: control characters but line ends and tabs, and marks that turn the writing.
CONTROLS = {*map(chr, (*range(9), *range(11, 32), *range(127, 160))), *"\u2028\u2029\u202a\u202b\u202c\u202d\u202e"}
#: What no user is to read.
CLUMSY = ("Traceback", "internal error", "Error:", "errno", "Errno", "pydantic", "<class ", "object at 0x")


@dataclass(frozen=True)
class Ending:
    """How a command ended.

    Attributes:
        code: the exit code.
        out: what it printed.
        err: what it said on standard error.
    """

    code: int
    out: str
    err: str


class TooLongError(BaseException):
    """Raised in a case that does not end; no handler of errors keeps it from ending the case."""


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TooLongError(f"more than {SECONDS} s")

    # Time of the process: what others do on the machine does not count; what waits, waits on the wall clock.
    kinds = ((signal.ITIMER_PROF, signal.SIGPROF, SECONDS), (signal.ITIMER_REAL, signal.SIGALRM, 6 * SECONDS))
    before = [signal.signal(number, stop) for _, number, _ in kinds]
    for timer, _, seconds in kinds:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (timer, number, _), handler in zip(kinds, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def _stream(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="backslashreplace", newline="\n")


def _written(argument: Argument, folder: Path) -> str:
    if isinstance(argument, str):
        return argument
    path = folder / argument.name
    if isinstance(argument, File) and not os.path.lexists(path):
        make(folder, argument.name, MAKERS[argument.made or argument.name])
    return str(path)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """What is in a folder: path → size and time of the last change; links are not followed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(folder))] = (0, 0) if path.is_dir() else (status.st_size, status.st_mtime_ns)
    return found


def run(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ending:
    """Run a case in a folder of its own.

    Args:
        case: what to run.
        folder: empty; where its files are made and its outputs go.
        monkeypatch: undoes what is set.
    """
    with monkeypatch.context() as patch:
        for name, value in case.environment.items():
            patch.setenv(name, _written(value, folder))
        patch.setattr(sys, "argv", ["vispa", *(_written(one, folder) for one in case.arguments)])
        out, err = _stream(b""), _stream(b"")
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(sys, "stdin", None if case.stdin is None else _stream(case.stdin))
        before = snapshot(folder)
        with _time_limit():
            code = main._run()
        after = snapshot(folder)
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        unforeseen = sorted(name for name in changed if not name.startswith(case.writes or ("\0",)))
        assert not unforeseen, f"written or changed: {unforeseen}"
        texts = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return Ending(code, *texts)


def check(case: Case, ending: Ending) -> None:
    """Whether a case came to what it must."""
    said = ending.out + ending.err
    assert ending.code == case.code, f"{ending.code}: {said[-600:]}"
    assert not CONTROLS & set(said), ascii(said)
    assert not [word for word in CLUMSY if word in said], said
    if case.code and not case.prints:
        assert ending.out == "", ending.out
        lines = [line for line in ending.err.splitlines() if line.startswith("vispa: ")]
        assert len(lines) == 1 and ending.err.endswith(lines[-1] + "\n"), ending.err
        assert len(lines[0]) < 3000, f"{len(lines[0])} characters"
        said = lines[0]
    missing = [word for word in case.words if word not in said]
    assert not missing, f"{missing} not in: {said[-600:]}"
