"""The door through which every byte is read: regular files and standard input, up to a limit, as text."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from pathlib import Path

from vispa.errors import InputError
from vispa.files.limits import MAX_BYTES, Kind, in_words

_MARK = b"\xef\xbb\xbf"
_CHUNK = 2**20
# A FIFO is not waited for, and a terminal does not become this process's own.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
# Not str.splitlines: a form feed, U+0085 or U+2028 is a character of a text like any other.
_LINE_END = re.compile(r"\r\n|\n|\r")
# How compressed files begin; documents and tables of office programs are zip archives.
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_UNFIT = re.compile("[\0\ud800-\udfff]")


def check_file(path: Path, kind: Kind | None = None) -> None:
    """Refuse what a library that opens files by itself would wait for, or read without end.

    Args:
        path: of the file.
        kind: whose limit holds; none by default.

    Raises:
        InputError: missing, unreadable, no regular file, or too large.
    """
    os.close(_opened(path, kind))


def read_bytes(path: Path, kind: Kind) -> bytes:
    """What a regular file holds.

    Raises:
        InputError: missing, unreadable, no regular file, or too large.
    """
    descriptor = _opened(path, kind)
    try:
        with os.fdopen(descriptor, "rb") as file:
            # Some files, as those under /proc, have no size until they are read.
            data = file.read(MAX_BYTES[kind] + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(data) > MAX_BYTES[kind]:
        raise _too_large(str(path), kind)
    return data


def read_text(path: Path, kind: Kind) -> str:
    """The text of a UTF-8 file; a byte-order mark is left out.

    Raises:
        InputError: see `read_bytes`; or not UTF-8, with byte and line; or with a NUL character.
    """
    return decoded(read_bytes(path, kind), str(path))


def read_standard_input(place: str = "text", kind: Kind = "text") -> str:
    """All of standard input as text.

    Args:
        place: what it is called in messages.
        kind: whose limit holds.

    Raises:
        InputError: there is none, it is too long, or not UTF-8.
    """
    if sys.stdin is None:
        raise InputError(place, "is missing.", "Give it as an argument, or on standard input.")
    limit = MAX_BYTES[kind]
    data = bytearray()
    while len(data) <= limit:
        part = sys.stdin.buffer.read(min(_CHUNK, limit + 1 - len(data)))
        if not part:
            break
        data += part
    if len(data) > limit:
        raise _too_large(place, kind)
    return decoded(bytes(data), place)


def decoded(data: bytes, place: str) -> str:
    """Bytes as text, without a byte-order mark.

    Raises:
        InputError: compressed; not UTF-8, with byte and line; or with a NUL character.
    """
    packed = next((name for beginning, name in _COMPRESSED.items() if data.startswith(beginning)), None)
    if packed is not None:
        advice = "Unpack it, and give the text file that it holds; save an office program's file as CSV or text."
        raise InputError(place, f"is compressed ({packed}).", advice if packed == "zip" else "Unpack it first.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(place, "is not UTF-8 (it begins as UTF-16 does).", "Save it with UTF-8 encoding.")
    start = len(_MARK) if data.startswith(_MARK) else 0
    try:
        text = data[start:].decode()
    except UnicodeDecodeError as error:
        where = f"byte {error.start + start}, line {_line(data[: error.start + start].decode('latin-1'))}"
        raise InputError(place, f"is not UTF-8 ({where}).", "Save it with UTF-8 encoding.") from error
    check_characters(text, place)
    return text


def check_characters(text: str, place: str) -> None:
    """Refuse a text with a character that no text has: NUL, or half of a surrogate pair.

    Raises:
        InputError: names character and line.
    """
    unfit = _UNFIT.search(text)
    if unfit is not None:
        name = "a NUL character" if unfit[0] == "\0" else f"half a surrogate pair (U+{ord(unfit[0]):04X})"
        line = _line(text[: unfit.start()])
        where = f" in line {line}" if line > 1 else ""
        raise InputError(place, f"holds {name}{where}.", "Remove it, or save the text with UTF-8 encoding.")


def text_lines(text: str) -> list[str]:
    r"""The lines of a text without their ends, which are `\n`, `\r\n` or `\r` alone."""
    lines = _LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def _line(before: str) -> int:
    """Number of the line that a text goes on in, from 1."""
    return 1 + len(_LINE_END.findall(before))


def _opened(path: Path, kind: Kind | None) -> int:
    """A descriptor of a regular file of permitted size; the caller closes it."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        # What a socket answers when it is opened.
        if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):
            raise _not_regular(path) from error
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise InputError(repr(str(path)), "is no path.", "Name a file.") from error
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise InputError(str(path), "is a folder.", "Name a file.")
        if not stat.S_ISREG(found.st_mode):
            raise _not_regular(path)
        if kind is not None and found.st_size > MAX_BYTES[kind]:
            raise _too_large(str(path), kind)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(str(path), f"cannot be read ({error.strerror or error}).", "Check path and permissions.")


def _not_regular(path: Path) -> InputError:
    return InputError(str(path), "is no regular file.", "Save its content in a file, and name that.")


def _too_large(place: str, kind: Kind) -> InputError:
    return InputError(place, f"is larger than {in_words(MAX_BYTES[kind])}.", "Give a smaller one.")
