"""On which side of a value a situation is, in words."""

from __future__ import annotations

from vispa.records import Selection, Side
from vispa.taxonomy import Value
from vispa.taxonomy.value import Polarity

#: Verbs of the two sides; a value that is to be avoided is avoided or brought about.
_VERBS: dict[tuple[Polarity, Side], str] = {
    ("promote", "promotes"): "promotes",
    ("avoid", "promotes"): "avoids",
    ("promote", "violates"): "violates",
    ("avoid", "violates"): "brings",
}


def side_in_words(selection: Selection, value: Value) -> str:
    """The verb of a selected value's side; `open` where neither is likely enough, empty where none is told."""
    if selection.side is None:
        return "" if selection.promotes is None else "open"
    return _VERBS[value.polarity, selection.side]
