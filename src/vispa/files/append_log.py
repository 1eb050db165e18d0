"""Answers appended line by line by one process at a time, resumable after any stop."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from filelock import FileLock, Timeout

from vispa.errors import InputError

T = TypeVar("T")

#: What an item is called in a file: text or a whole number, never the same.
Identifier = str | int


@dataclass(frozen=True)
class Destination:
    """Where answers are written, and what its refusal says.

    Attributes:
        path: the output file, or the folder.
        kind: which of the two it is.
    """

    path: Path
    kind: Literal["output", "folder"]

    @property
    def advice(self) -> str:
        """What to do about something else that is there."""
        return f"Choose another {self.kind}, or --overwrite."

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing there; folders on the way are made.

        Raises:
            InputError: another process writes there, it cannot be written to, or it is a folder
                where a file is meant, or the other way round.
        """
        place = str(self.path)
        if self.kind == "folder":
            if self.path.exists() and not self.path.is_dir():
                raise InputError(place, "is a file.", "Name a folder.")
            lock_file, writable = self.path / ".lock", "Choose a folder that you may write to."
        else:
            if self.path.is_dir():
                raise InputError(place, "is a folder.", "Name a file.")
            lock_file, writable = self.path.with_name(self.path.name + ".lock"), "Choose a file that you may write."
        lock = FileLock(lock_file)
        try:
            lock_file.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            advice = f"Wait for it, or choose another {self.kind}."
            raise InputError(place, "is being written by another process.", advice) from error
        except OSError as error:
            raise InputError(place, f"cannot be written ({error.strerror}).", writable) from error
        try:
            yield
        finally:
            lock.release()

    def check_begun_here(self, earlier: Mapping[str, Any] | None, *, holds_answers: bool) -> None:
        """Refuse answers that no settings belong to.

        Args:
            earlier: settings of the earlier run; None where there are none.
            holds_answers: whether any answers are there.

        Raises:
            InputError: there are answers without settings.
        """
        if earlier is None and holds_answers:
            raise InputError(str(self.path), "was not begun by this command.", self.advice)

    def check_same_settings(self, differing: Sequence[str]) -> None:
        """Refuse to go on with other settings.

        Args:
            differing: names of the settings that differ from the earlier run's.

        Raises:
            InputError: names them.
        """
        if differing:
            raise InputError(
                str(self.path),
                f"was begun with other {', '.join(differing)}.",
                f"Use the same settings, choose another {self.kind}, or --overwrite.",
            )


class AppendLog:
    r"""A JSON Lines file whose lines answer items in their order, each with the item's `id`.

    Only whole lines count: what stands after the last `\n` was being written when a run stopped.

    Args:
        path: of the file.
        advice: what to do where its lines belong to something else.

    Example:
        >>> log = AppendLog(Path("answers.jsonl"), "Choose another output.")
        >>> done = log.resume([item.id for item in items])
        >>> log.append(json.dumps({"id": item.id}).encode() + b"\n" for item in items[done:])
    """

    def __init__(self, path: Path, advice: str) -> None:
        self.path, self.advice = path, advice

    def resume(self, identifiers: Sequence[Identifier]) -> int:
        """Check that the lines answer the items, and cut one that a stop left unfinished.

        Args:
            identifiers: of all items, in their order.

        Returns:
            The number of items that are answered; 0 where there is no file.

        Raises:
            InputError: a line is not the answer to the item in its place; the file stays as it is.
        """
        if not self.path.exists():
            return 0
        lines = whole_lines(self.path.read_bytes())
        for number, line in enumerate(lines, 1):
            if number > len(identifiers):
                raise InputError(f"{self.path} line {number}", "belongs to no item.", self.advice)
            identifier = identifiers[number - 1]
            found = _identifier(line)
            # 1, True and "1" are three identifiers, of which Python holds two to be equal.
            if type(found) is not type(identifier) or found != identifier:
                problem = f"is not the answer to item {identifier!r}."
                raise InputError(f"{self.path} line {number}", problem, self.advice)
        with self.path.open("r+b") as file:
            file.truncate(sum(map(len, lines)))
        return len(lines)

    def append(self, lines: Iterable[bytes]) -> None:
        """Add lines, line ends included; the file is made if it is not there."""
        with self.path.open("ab") as file:
            file.writelines(lines)


def whole_lines(data: bytes) -> list[bytes]:
    """The lines of a file, line ends included, without one that a stop left unfinished."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def differing_settings(
    earlier: Mapping[str, Any], settings: Mapping[str, Any], leaving_out: Collection[str] = ()
) -> list[str]:
    """Names of the settings that differ, sorted; one that is not there is None."""
    names = {*earlier, *settings} - {*leaving_out}
    return sorted(name for name in names if earlier.get(name) != settings.get(name))


def unfinished_chunks(items: Sequence[T], done: int, size: int) -> Iterator[tuple[Sequence[T], int]]:
    """The chunks that still lack answers.

    Chunks begin at multiples of their size whatever is done, so that the same items meet in the
    same chunk after a resume, and batched arithmetic gives the same bytes.

    Args:
        items: all of them.
        done: number of items that are answered, the first ones.
        size: number of items in a chunk.

    Yields:
        The items of a chunk, with the number of those that are answered already.
    """
    for start in range(done - done % size, len(items), size):
        chunk = items[start : start + size]
        answered = max(0, done - start)
        if answered < len(chunk):
            yield chunk, answered


def _identifier(line: bytes) -> object:
    try:
        return json.loads(line)["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
