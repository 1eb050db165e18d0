"""Reading files that may outgrow the memory: line by line, as bytes or as text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from vispa.errors import InputError
from vispa.files.door import check_characters, check_file, decoded, text_lines
from vispa.files.limits import in_words

#: Longest line, in bytes: one without an end would fill the memory. No answer comes near it.
MAX_LINE = 512 * 2**20

_BUFFER = 2**20


class WholeLines(Iterable[bytes]):
    """The whole lines of a file, line ends included; none where there is no file.

    What stands after the last line end is left out. The file is read anew whenever one goes through them, and one
    line is held at a time.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        """The lines as the file holds them now.

        Raises:
            InputError: see `byte_lines`.
        """
        if os.path.lexists(self._path):
            yield from (line for line in byte_lines(self._path) if line.endswith(b"\n"))


def byte_lines(path: Path) -> Iterator[bytes]:
    """The lines of a regular file, line ends included; the last one may lack its end.

    Raises:
        InputError: missing, unreadable, no regular file, or with a line of more than `MAX_LINE`.
    """
    check_file(path)
    number = 0
    try:
        with path.open("rb", buffering=_BUFFER) as file:
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    problem = f"is longer than {in_words(MAX_LINE)}."
                    raise InputError(f"{path} line {number}", problem, "Name a file with one answer a line.")
                yield line
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})."
        raise InputError(str(path), problem, "Check path and permissions.") from error


def utf8_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file without their ends, as `vispa.files.door.text_lines` tells them apart.

    Raises:
        InputError: see `byte_lines` and `vispa.files.door.decoded`.
    """
    number = 0
    for piece in byte_lines(path):
        place = f"{path} line {number + 1}"
        if not number:
            # What a file is by its beginning: compressed, UTF-16, with a byte-order mark.
            text = decoded(piece, str(path))
        else:
            try:
                text = piece.decode()
            except UnicodeDecodeError as error:
                problem = f"is not UTF-8 (byte {error.start} of the line)."
                raise InputError(place, problem, "Save the file with UTF-8 encoding.") from error
            check_characters(text, place)
        # A piece ends with \n; within it \r may end lines too.
        for line in text_lines(text):
            number += 1
            yield line
