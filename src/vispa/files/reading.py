"""Reading text, TOML and JSON files; every refusal names the file and, where there is one, the line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vispa.errors import InputError

#: Suffixes of files that hold one JSON text a line.
JSON_LINES = (".jsonl", ".ndjson")

_TOO_DEEP = "is nested too deeply."


class Entry(NamedTuple):
    """One entry of a JSON list or a JSON Lines file.

    Attributes:
        number: of the entry in the list, or of its line in the file; from 1.
        place: file and number in words, for messages.
        value: what was read.
    """

    number: int
    place: str
    value: Any


def read_text(path: Path) -> str:
    """The text of a UTF-8 file; a byte-order mark is left out.

    Raises:
        InputError: unreadable or not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror}).", "Check path and permissions.") from error
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"is not UTF-8 (byte {error.start}).", "Save it with UTF-8 encoding.") from error


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file.

    Raises:
        InputError: unreadable, not UTF-8, or not TOML.
    """
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise InputError(str(path), f"is not valid TOML ({error}).", "Repair the file.") from error
    except RecursionError as error:
        raise InputError(str(path), _TOO_DEEP, "Write flat tables.") from error


def json_entries(path: Path) -> Iterator[Entry]:
    """The entries of a JSON list, or of JSON Lines where the suffix says so (`JSON_LINES`).

    Empty lines of JSON Lines are left out, but counted.

    Raises:
        InputError: unreadable, not UTF-8, malformed (with the line), or JSON other than a list.
    """
    text = read_text(path)
    if path.suffix.lower() in JSON_LINES:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                place = f"{path} line {number}"
                yield Entry(number, place, _parse(line, path, number))
        return
    found = _parse(text, path)
    if not isinstance(found, list):
        raise InputError(str(path), "is not a JSON list.", "Write a list of objects, or use JSON Lines (.jsonl).")
    for number, value in enumerate(found, 1):
        yield Entry(number, f"{path} item {number}", value)


def _parse(text: str, path: Path, line: int | None = None) -> Any:
    """A JSON text: the file's, or that of one of its lines."""
    place = str(path) if line is None else f"{path} line {line}"
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{path} line {line or error.lineno}"
        raise InputError(where, f"is not valid JSON ({error.msg}).", "Repair the line.") from error
    except ValueError as error:
        # Python refuses to read whole numbers of thousands of digits.
        raise InputError(place, "holds a number of too many digits.", "Write a shorter one.") from error
    except RecursionError as error:
        raise InputError(place, _TOO_DEEP, "Write one flat object for each item.") from error
