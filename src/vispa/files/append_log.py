"""Answers appended line by line, resumable after any stop; those that failed are replaced by later ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from vispa.errors import InputError, OutputError
from vispa.files.lines import WholeLines
from vispa.files.writing import replacing, unwritten

#: What an item is called in a file: text or a whole number, never the same.
Identifier = str | int


class Identified(Protocol):
    """Something with an identifier."""

    @property
    def id(self) -> Identifier:
        """What it is called."""
        ...


T = TypeVar("T")
Asked = TypeVar("Asked", bound=Identified)


class AppendLog:
    """A file that grows by whole lines, and that nobody else may touch meanwhile.

    Only whole lines count: what stands after the last line end was being written when a run stopped.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        # A link that leads nowhere yet is made into the file that it names.
        self.path = Path(os.path.realpath(path))
        self._lines = 0
        self._whole = 0  # Bytes of the whole lines, as the file was opened.
        # Device, number and size of the file as this object left it; None where there is none.
        self._left: tuple[int, int, int] | None = None

    def open(self) -> WholeLines:
        """The whole lines that are there, line ends included; appending goes on after them.

        They are read whenever one goes through them, and never held together: a file may outgrow the memory.
        The file itself is not changed before the first append.

        Raises:
            InputError: it cannot be read.
        """
        lines = WholeLines(self.path)
        self._lines = self._whole = 0
        for line in lines:
            self._lines += 1
            self._whole += len(line)
        self._left = self._now()
        return lines

    def cut(self) -> None:
        """Once it is opened: remove what a stop left unfinished after the whole lines."""
        if self._left is not None and self._left[2] > self._whole:
            try:
                os.truncate(self.path, self._whole)
            except OSError as error:
                raise unwritten(self.path, error, "file", "Its lines are kept.") from error
            self._left = self._now()

    def append(self, lines: Iterable[bytes]) -> None:
        """Add lines, line ends included; the file is made if it is not there.

        Raises:
            OutputError: there is no room for all of them; those that went in whole are kept. Or
                somebody else has deleted, replaced or changed the file.
        """
        self.check()
        data = b"".join(lines)
        written = 0
        try:
            new = os.O_CREAT | os.O_EXCL if self._left is None else 0
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | new, 0o666)
            try:
                while written < len(data):
                    written += os.write(descriptor, data[written:])
            except OSError:
                # Part of a line is of no use; cutting needs no room.
                whole = data.rfind(b"\n", 0, written) + 1
                os.truncate(descriptor, os.fstat(descriptor).st_size - (written - whole))
                raise
            finally:
                os.close(descriptor)
        except OSError as error:
            lines_in = self._lines + data.count(b"\n", 0, written)
            kept = f"{lines_in:,} lines are kept; make room and repeat the command."
            raise unwritten(self.path, error, "file", kept) from error
        finally:
            self._lines += data.count(b"\n", 0, written)
            self._left = self._now()

    def check(self) -> None:
        """Notice that somebody else has touched the file.

        Raises:
            OutputError: it was deleted, replaced or changed.
        """
        if self._left != self._now():
            what = "changed by something else" if self.path.exists() else "deleted"
            raise OutputError(
                str(self.path),
                f"was {what} while it was being written, after {self._lines:,} lines.",
                "Repeat the command: it goes on after the lines that are left.",
            )

    def replace(self, lines: Iterable[bytes]) -> None:
        """Write other lines in the place of all, in one step.

        Args:
            lines: may be made of the file's own while they are written.

        Raises:
            OutputError: there is no room, or somebody else has touched the file.
        """
        self.check()
        written = 0
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            for line in lines:
                file.write(line)
                written += 1
        self._lines, self._left = written, self._now()

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
        self._lines, self._left = 0, None

    def _now(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size


class _Again(NamedTuple):
    """Where the line of an item that was asked again stands.

    Attributes:
        start: its first byte in the file of such lines.
        failed: whether it holds an error once more.
    """

    start: int
    failed: bool


class AnswerLog:
    r"""A JSON Lines file whose lines answer items in their order, each with the item's `id`.

    A line with an `error` is an item that failed. A later call asks these items again, and keeps
    their new lines in a file beside (`….retried`) until all are asked; then they take the places
    of the old ones in one step. So each item has one line at any time, whatever stops a call.

    Args:
        path: of the file.
        advice: what to do where its lines belong to something else.

    Example:
        >>> log = AnswerLog(Path("answers.jsonl"), "Choose another output.")
        >>> log.resume(items)
        >>> for chunk, answered, lines in log.unfinished(items, 32):
        ...     lines.append(json.dumps({"id": item.id}).encode() + b"\n" for item in chunk[answered:])
        >>> log.settle(items)
    """

    def __init__(self, path: Path, advice: str) -> None:
        self.path, self.advice = path, advice
        self.answers = AppendLog(path)
        self.retried = AppendLog(retried_path(path))
        #: Number of items that have a line, the first ones.
        self.done = 0
        #: Positions of the items whose line holds an error.
        self.failed: list[int] = []

    def resume(self, items: Sequence[Identified]) -> None:
        """Check that the lines answer the items, and mend what a stop left unfinished.

        Args:
            items: all of them, in their order.

        Raises:
            InputError: a line is not the answer to the item in its place; the file stays as it is.
            OutputError: there is no room to mend.
        """
        self._count(self._checked(map(_record, self.answers.open()), items))
        self.answers.cut()
        self._take_in(items)

    def _checked(
        self, records: Iterable[Mapping[str, Any]], items: Sequence[Identified]
    ) -> Iterator[Mapping[str, Any]]:
        """The records of lines, each of which answers the item in its place; see `resume`."""
        for done, record in enumerate(records):
            place = f"{self.path} line {done + 1}"
            if done == len(items):
                raise InputError(place, "belongs to no item.", self.advice)
            identifier = items[done].id
            if not _is_of(record, identifier):
                raise InputError(place, f"is not the answer to item {identifier!r}.", self.advice)
            yield record

    def unfinished(self, items: Sequence[Asked], size: int) -> list[tuple[Sequence[Asked], int, AppendLog]]:
        """The chunks that still lack answers: first the items never asked, then those that failed before.

        Args:
            items: all of them.
            size: number of items in a chunk.

        Returns:
            For each chunk its items, the number of those whose answers are there already, and the log
            that takes the lines of the others. Lines go in in the order of the chunks; `settle` comes last.
        """
        failed = [items[place] for place in self.failed]
        never_asked = [(chunk, answered, self.answers) for chunk, answered in unfinished_chunks(items, self.done, size)]
        # What failed did so for reasons of its own, and is asked without those that it stood beside.
        again = [(failed[start : start + size], 0, self.retried) for start in range(0, len(failed), size)]
        return [*never_asked, *again]

    def settle(self, items: Sequence[Identified]) -> None:
        """Once all chunks have their lines: those of items that were asked again take their places.

        Args:
            items: all of them.

        Raises:
            OutputError: there is no room, or somebody else has touched the file.
        """
        self.answers.check()
        if self.failed:
            self.retried.check()
        self._count(map(_record, self.answers.open()))
        self._take_in(items)

    def remove(self) -> None:
        """Delete all lines."""
        self.retried.remove()
        self.answers.remove()
        self._count([])

    def _take_in(self, items: Sequence[Identified]) -> None:
        """Put the lines of items that were asked again in the places of the old ones."""
        if self.failed:
            found = self._asked_again()
            # By text and type: 1 and "1" are two identifiers.
            named = {place: repr(items[place].id) for place in self.failed}
            again = {place: found[name] for place, name in named.items() if name in found}
            if again:
                self.answers.replace(self._with(again))
                self.failed = [place for place in self.failed if place not in again or again[place].failed]
        # A stop before this line does no harm: what has an answer is not replaced again.
        self.retried.remove()

    def _asked_again(self) -> dict[str, _Again]:
        """The lines of items that were asked again, by identifier."""
        found: dict[str, _Again] = {}
        start = 0
        for line in self.retried.open():
            record = _record(line)
            found[repr(record.get("id"))] = _Again(start, _holds_error(record))
            start += len(line)
        return found

    def _with(self, again: Mapping[int, _Again]) -> Iterator[bytes]:
        """All lines, those of items that were asked again in the places of the old ones."""
        with self.retried.path.open("rb") as file:
            for place, line in enumerate(WholeLines(self.answers.path)):
                if place in again:
                    file.seek(again[place].start)
                    yield file.readline()
                else:
                    yield line

    def _count(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Note which items have a record, and which of these an error."""
        done, failed = 0, []
        for record in records:
            if _holds_error(record):
                failed.append(done)
            done += 1
        self.done, self.failed = done, failed


def retried_path(path: Path) -> Path:
    """The file beside a log that holds the lines of items that are asked again."""
    return path.with_name(path.name + ".retried")


def whole_lines(data: bytes) -> list[bytes]:
    """The lines of a file, line ends included, without one that a stop left unfinished."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


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


def _is_of(record: Mapping[str, Any], identifier: Identifier) -> bool:
    found = record.get("id")
    # 1, True and "1" are three identifiers, of which Python holds two to be equal.
    return type(found) is type(identifier) and found == identifier


def _holds_error(record: Mapping[str, Any]) -> bool:
    return record.get("error") is not None


def _record(line: bytes) -> Mapping[str, Any]:
    """What a line holds; nothing where it is no JSON object."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
