"""Reading tables of texts: CSV, and TSV where the suffix says so."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vispa.errors import InputError
from vispa.files.door import read_text
from vispa.files.limits import MAX_BYTES, Kind
from vispa.files.reading import shortened

#: Suffixes of files that are read as tables, with what parts their fields.
DELIMITERS = {".csv": ",", ".tsv": "\t"}
# What programs part fields with, in words.
_PARTING = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        line: where it begins in the file, from 1.
        place: file and line in words, for messages.
        fields: column → text; columns that the row does not reach are left out.
    """

    line: int
    place: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A table with its columns in their order.

    Attributes:
        columns: names, each once.
        rows: those below the header; empty lines are left out.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path, needed: Sequence[str] = (), kind: Kind = "table") -> Table:
    """Read a table as `csv.writer` writes it: fields that hold a delimiter or line end stand in quotes.

    Spaces between a delimiter and the field behind it belong to neither, and white space around a column's name is no
    part of it: who writes a table by hand puts a space after a comma. Quotes in a field that begins otherwise are signs
    like others.

    Args:
        path: UTF-8; the suffix tells what parts fields (`DELIMITERS`), a comma where it is another.
        needed: columns that every row must reach, of those that the header names.
        kind: whose limit of size holds.

    Raises:
        InputError: see `vispa.files.door.read_text`; a header whose columns something else parts; or with the line:
            no header, a column without a name or named twice, an unclosed quote, a field that goes on after its closing
            one, a row with more fields than columns, or one that lacks a needed column.
    """
    lines = _parsed(path, kind)
    if not lines:
        raise InputError(str(path), "is empty.", "Write a line with the columns' names first.")
    (line, header), *rows = lines
    columns = [name.strip() for name in header]
    _check_header(columns, f"{path} line {line}")
    return Table(tuple(columns), tuple(_row(path, line, fields, columns, needed) for line, fields in rows))


def _parsed(path: Path, kind: Kind) -> list[tuple[int, list[str]]]:
    """The lines that hold anything, each with the number of the line it begins in."""
    # The limit holds for the whole process. It is never set back: another thread may be reading.
    csv.field_size_limit(max(MAX_BYTES.values()))
    text, delimiter = read_text(path, kind), DELIMITERS.get(path.suffix.lower(), ",")
    # Without the skipped spaces, the quotes of a field behind one would be read as part of its text.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    found = []
    begins = 1
    try:
        _check_delimiter(path, text, delimiter)
        for fields in reader:
            if fields:
                found.append((begins, fields))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path} line {begins}", _problem(str(error), begins, reader.line_num), _ADVICE) from error
    return found


def _problem(said: str, begins: int, line: int) -> str:
    """What is wrong with a row that begins in a line and could not be read on in another, by what `csv` says."""
    if "unexpected end" in said:
        return "has a quote that is not closed."
    if "expected after" not in said:
        return f"is no row of a table ({said})."
    if line == begins:
        return "has a field that goes on after its closing quote."
    # Most likely the quotes of a later row are taken for the end of one that has none.
    return f"has a quote that is not closed before line {line}, and there within a field."


def _check_delimiter(path: Path, text: str, delimiter: str) -> None:
    """Refuse a header that is parted by another sign: what is wrong with the rows below would not tell that."""
    # Not strict, as quotes around the parts of such a header stand in the middle of a field.
    header = next(filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), [])
    if len(header) == 1 and any(sign in header[0] for sign in _PARTING if sign != delimiter):
        advice = f"Separate fields with {_PARTING[delimiter]}."
        raise InputError(str(path), f"has a single column, {shortened(header[0])}.", advice)


def _check_header(columns: Sequence[str], place: str) -> None:
    seen: set[str] = set()
    for number, name in enumerate(columns, 1):
        if not name.strip():
            raise InputError(place, f"gives column {number} no name.", "Name every column, or leave it out.")
        if name in seen:
            raise InputError(place, f"names the column {shortened(name)} twice.", "Give every column its own name.")
        seen.add(name)


def _row(path: Path, line: int, fields: Sequence[str], columns: Sequence[str], needed: Sequence[str]) -> Row:
    place = f"{path} line {line}"
    if len(fields) > len(columns):
        raise InputError(place, f"has {len(fields)} fields for {len(columns)} columns.", _ADVICE)
    found = dict(zip(columns, fields, strict=False))
    missing = next((name for name in needed if name in columns and name not in found), None)
    if missing is not None:
        problem = f"has {len(fields)} fields for {len(columns)} columns, so that {shortened(missing)} is missing."
        raise InputError(place, problem, "Give every column a field.")
    return Row(line, place, found)


_ADVICE = "Put a text that holds commas, quotes or line ends in double quotes, and double the quotes in it."
