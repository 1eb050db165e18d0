"""Contrastive pairs: sentences that differ in nothing but the value they embody."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from vispa.errors import TaxonomyError

# Column names of our own layout and of the published files (positive, negative).
_LAYOUTS = (("positive", "negative"), ("question_1", "question_2"))


@dataclass(frozen=True)
class ContrastivePair:
    """A positive sentence that embodies a value and a negative one that opposes it.

    `person` (first, third), `form` (statement, question) and `scene` (the walk of life) are
    empty where the file does not say.
    """

    positive: str
    negative: str
    person: str = ""
    form: str = ""
    scene: str = ""


def read_pairs(path: Path) -> tuple[ContrastivePair, ...]:
    """Read a CSV file of pairs, in this package's layout or the published one.

    Args:
        path: UTF-8 CSV with the columns `positive,negative` (and perhaps `person,form,scene`)
            or `question_1,question_2`.

    Raises:
        TaxonomyError: unreadable, not UTF-8, wrong header, an empty sentence, two equal
            sentences in a pair, or no pair at all; the message names file and line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TaxonomyError(str(path), f"cannot be read ({error.strerror}).", "Check path and permissions.") from error
    except UnicodeDecodeError as error:
        raise TaxonomyError(
            str(path), f"is not UTF-8 (byte {error.start}).", "Save the file with UTF-8 encoding."
        ) from error
    reader = csv.DictReader(text.splitlines())
    header = reader.fieldnames or []
    layout = next((names for names in _LAYOUTS if set(names) <= set(header)), None)
    if layout is None:
        raise TaxonomyError(
            str(path),
            f"has the header {','.join(header) or '(none)'}.",
            "Write the columns positive,negative or question_1,question_2.",
        )
    pairs = tuple(_pair(row, layout, f"{path} line {reader.line_num}") for row in reader)
    if not pairs:
        raise TaxonomyError(str(path), "holds no pair.", "Add at least two rows below the header.")
    return pairs


def _pair(row: dict[str, str | None], layout: tuple[str, str], place: str) -> ContrastivePair:
    positive, negative = ((row[name] or "").strip() for name in layout)
    for name, sentence in zip(layout, (positive, negative), strict=True):
        if not sentence:
            raise TaxonomyError(place, f"column {name} is empty.", "Give both sentences of the pair.")
    if positive == negative:
        raise TaxonomyError(place, "both sentences are the same.", "A pair must differ in the value.")
    extra = {name: (row.get(name) or "").strip() for name in ("person", "form", "scene")}
    return ContrastivePair(positive, negative, **extra)
