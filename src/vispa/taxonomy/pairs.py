"""Contrastive pairs: sentences that differ in nothing but the value they embody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vispa.errors import InputError, TaxonomyError
from vispa.files.reading import shortened
from vispa.files.tables import Row, read_table
from vispa.files.visible import is_blank

#: Fewest pairs of a value: one is learned from while another tells how well.
MIN_PAIRS = 2
#: Longest sentence of a pair, in characters; activations are read from the first tokens only.
MAX_SENTENCE_CHARACTERS = 2_000

#: How the names of published files of pairs end.
PUBLISHED_SUFFIX = "_context_controlled.csv"

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
        TaxonomyError: unreadable, no table (see `vispa.files.tables.read_table`), wrong header, an empty
            or too long sentence, two equal sentences in a pair, a pair that repeats an earlier one, or fewer than
            two pairs; the message names file and line.
    """
    try:
        table = read_table(path, [name for layout in _LAYOUTS for name in layout])
    except InputError as error:
        raise TaxonomyError(error.field, error.problem, error.advice) from error
    layout = next((names for names in _LAYOUTS if set(names) <= set(table.columns)), None)
    if layout is None:
        raise TaxonomyError(
            str(path),
            f"has the header {shortened(','.join(table.columns))}.",
            "Write the columns positive,negative or question_1,question_2.",
        )
    pairs = tuple(_pair(row, layout) for row in table.rows)
    # Files as they were published are taken as they are: what they gave is to be had again.
    if not path.name.endswith(PUBLISHED_SUFFIX):
        _check_distinct(table.rows, pairs)
    if len(pairs) < MIN_PAIRS:
        count = "one pair" if pairs else "no pair"
        raise TaxonomyError(str(path), f"holds {count}.", "Write at least two, a row each, below the header.")
    return pairs


def _check_distinct(rows: Sequence[Row], pairs: Sequence[ContrastivePair]) -> None:
    """Refuse a pair that is there twice, but for case and white space: one would be fitted, the other held out."""
    lines: dict[tuple[str, str], int] = {}
    for row, pair in zip(rows, pairs, strict=True):
        line = lines.setdefault((_folded(pair.positive), _folded(pair.negative)), row.line)
        if line != row.line:
            raise TaxonomyError(row.place, f"holds the pair of line {line} again.", "Keep one of the two.")


def _folded(sentence: str) -> str:
    return " ".join(sentence.casefold().split())


def _pair(row: Row, layout: tuple[str, str]) -> ContrastivePair:
    positive, negative = (row.fields.get(name, "").strip() for name in layout)
    for name, sentence in zip(layout, (positive, negative), strict=True):
        if is_blank(sentence):
            raise TaxonomyError(row.place, f"column {name} is empty.", "Give both sentences of the pair.")
        if len(sentence) > MAX_SENTENCE_CHARACTERS:
            problem = f"column {name} has {len(sentence):,} characters."
            raise TaxonomyError(row.place, problem, f"Give at most {MAX_SENTENCE_CHARACTERS:,}.")
    if positive == negative:
        raise TaxonomyError(row.place, "both sentences are the same.", "A pair must differ in the value.")
    extra = {name: row.fields.get(name, "").strip() for name in ("person", "form", "scene")}
    return ContrastivePair(positive, negative, **extra)
