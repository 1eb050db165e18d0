"""Reading TOML and JSON files; every refusal names the file and, where there is one, the line or field."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vispa.errors import InputError
from vispa.files.door import check_characters, read_text, text_lines
from vispa.files.limits import MAX_DEPTH, Kind

#: Suffixes of files that hold one JSON text a line.
JSON_LINES = (".jsonl", ".jsonlines", ".ndjson")

_LARGEST = 1.7976931348623157e308
# A key such as a.b.c… of many parts takes tomllib quadratic time; found before it is parsed.
_PART = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
_DEEP_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{_PART}){{{MAX_DEPTH}}}")


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


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file; see `check_value` for what it may hold.

    Raises:
        InputError: unreadable, not UTF-8, not TOML, or with something that cannot be used.
    """
    text = read_text(path, "toml")
    if _DEEP_KEY.search(text):
        raise _too_deep(str(path))
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(str(path), f"is not valid TOML ({error}).", "Repair the file.") from error
    except ValueError as error:
        raise _too_many_digits(str(path)) from error
    except RecursionError as error:
        raise _too_deep(str(path)) from error
    check_value(table, str(path))
    return table


def read_json(path: Path, kind: Kind) -> Any:
    """What a JSON file holds; see `check_value` for what it may.

    Raises:
        InputError: unreadable, not UTF-8, malformed (with the line), or with something that cannot be used.
    """
    return parse_json(read_text(path, kind), str(path), lines=True)


def read_object(path: Path, kind: Kind, advice: str = "Repair the file.") -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        InputError: see `read_json`, or JSON other than an object.
    """
    found = read_json(path, kind)
    if not isinstance(found, dict):
        raise InputError(str(path), "is not a JSON object.", advice)
    return found


def json_entries(path: Path, kind: Kind = "items") -> Iterator[Entry]:
    """The entries of a JSON list, or of JSON Lines where the suffix says so (`JSON_LINES`).

    Empty lines of JSON Lines are left out, but counted.

    Raises:
        InputError: unreadable, not UTF-8, malformed (with the line), or JSON other than a list.
    """
    if path.suffix.lower() in JSON_LINES:
        for number, line in enumerate(text_lines(read_text(path, kind)), 1):
            if line.strip():
                place = f"{path} line {number}"
                yield Entry(number, place, parse_json(line, place))
        return
    advice = f"Write one list, or name the file {path.stem}.jsonl if each line is an entry of its own."
    found = _parsed(read_text(path, kind), str(path), lines=True, second=advice)
    if not isinstance(found, list):
        raise InputError(str(path), "is not a JSON list.", "Write a list of objects, or use JSON Lines (.jsonl).")
    for number, value in enumerate(found, 1):
        place = f"{path} item {number}"
        check_value(value, place)
        yield Entry(number, place, value)


def parse_json(text: str, place: str, *, lines: bool = False) -> Any:
    """A JSON text; see `check_value` for what it may hold.

    Args:
        text: to parse.
        place: what it is called in messages: a file, or a line of one.
        lines: whether to name the line within the text.

    Raises:
        InputError: empty, malformed, a name twice in an object, or something that cannot be used.
    """
    found = _parsed(text, place, lines=lines)
    check_value(found, place)
    return found


def _parsed(text: str, place: str, *, lines: bool, second: str = "Repair the line.") -> Any:
    """See `parse_json`; `second` says what to do where a second JSON text follows the first."""
    if not text.strip():
        raise InputError(place, "is empty.", "Write JSON into it.")
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        where = f"{place} line {error.lineno}" if lines else place
        advice = second if error.msg == "Extra data" else "Repair the line."
        raise InputError(where, f"is not valid JSON ({error.msg}).", advice) from error
    except _NameTwiceError as error:
        problem = f"holds an object with the name {shortened(error.name)} twice."
        raise InputError(place, problem, "Keep one of them.") from error
    except ValueError as error:
        # Python refuses to read whole numbers of thousands of digits.
        raise _too_many_digits(place) from error
    except RecursionError as error:
        raise _too_deep(place) from error


def check_value(value: Any, place: str) -> None:
    """Refuse what JSON or TOML can say but nothing can use, wherever it lies in a value.

    That is: numbers that are not finite or beyond the largest float, dates, texts with NUL or half
    a surrogate pair, and depths of more than `MAX_DEPTH`.

    Args:
        value: what was parsed.
        place: what it is called in messages.

    Raises:
        InputError: names place and field.
    """
    waiting: list[tuple[Any, tuple[str | int, ...]]] = [(value, ())]
    while waiting:
        one, path = waiting.pop()
        if len(path) > MAX_DEPTH:
            raise _too_deep(place)
        if isinstance(one, str):
            if not one.isascii() or "\0" in one:
                check_characters(one, field_place(place, path))
        elif isinstance(one, Mapping):
            for name, inner in one.items():
                check_characters(name, f"{field_place(place, path)} field name")
                waiting.append((inner, (*path, name)))
        elif isinstance(one, list | tuple):
            waiting += [(inner, (*path, number)) for number, inner in enumerate(one)]
        elif isinstance(one, int | float):
            if not abs(one) <= _LARGEST:
                problem = "is no finite number, or one that is too large."
                raise InputError(field_place(place, path), problem, "Give a finite number.")
        elif one is not None:
            raise InputError(field_place(place, path), f"is {shortened(str(one))}.", "Write dates as text, in quotes.")


def field_place(place: str, path: tuple[str | int, ...]) -> str:
    """A place and the way to a field there, for messages: `mixture.json field shares.karma`."""
    if not path:
        return place
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in path)
    return f"{place} field {parts.removeprefix('.')}"


def shortened(value: object, length: int = 60) -> str:
    """A value of somebody's file as it stands in messages: in quotes where it is text, never long."""
    text = repr(value[: length + 1]) if isinstance(value, str) else repr(value)
    return text if len(text) <= length else text[: length - 1] + "…"


def _key(name: str) -> str:
    """A field's name, in quotes where it is no plain word."""
    return name if re.fullmatch(r"[\w-]{1,60}", name) else shortened(name)


class _NameTwiceError(ValueError):
    """An object names a field twice, of which only one could be read."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _NameTwiceError(next(name for name in names if names.count(name) > 1))
    return found


def _too_deep(place: str) -> InputError:
    return InputError(place, f"is nested too deeply (more than {MAX_DEPTH}).", "Write it flat.")


def _too_many_digits(place: str) -> InputError:
    return InputError(place, "holds a number of too many digits.", "Write a shorter one.")
