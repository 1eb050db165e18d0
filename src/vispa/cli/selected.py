"""Selected values in the terminal: scores, sides, and the words that carry them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from vispa.cli.console import print_drawn, print_line, print_note, shows_styles
from vispa.files.visible import visible_text

if TYPE_CHECKING:
    from rich.text import Text

    from vispa.records import Selection
    from vispa.selection.explaining import Explained
    from vispa.taxonomy import Taxonomy

# Words that carry less than this share of what the strongest one carries are not shown.
_LEAST_SHARE = 0.25
# From which share of the strongest word's weight on a word is shaded how; underlined for terminals without colours.
_SHADES = ((0.75, "bold underline black on dark_orange"), (0.5, "underline black on gold1"), (_LEAST_SHARE, "yellow"))
# Of words without which the score would be higher.
_AGAINST = "dim italic"
# Most words that are listed where they cannot be shaded.
_MOST_LISTED = 6


def print_selected(text: str, selected: Sequence[Selection], taxonomy: Taxonomy) -> None:
    """One line a value, most relevant first; explained ones with the words that carry their scores.

    Args:
        text: that the values were selected for.
        selected: its values, `vispa.selection.explaining.Explained` where words are to be shown.
        taxonomy: the values.
    """
    from rich.cells import cell_len, set_cell_size

    from vispa.selection.explaining import Explained
    from vispa.selection.sides import side_in_words

    sides = [side_in_words(one, taxonomy[one.value]) for one in selected]
    names = [taxonomy.name_of(one.value) for one in selected]
    widest, verbs = (max(map(cell_len, column)) for column in (names, sides))
    shaded = shows_styles()
    for one, name, side in zip(selected, names, sides, strict=True):
        line = f"{one.score:.3f}  {set_cell_size(name, widest)}  {side:<{verbs}}"
        if not isinstance(one, Explained):
            print_line(line.rstrip())
        elif shaded:
            print_line(line.rstrip())
            print_drawn(shaded_words(text, one))
        else:
            print_line(f"{line}  {listed_words(text, one)}".rstrip())


class _Scored(Protocol):
    @property
    def score(self) -> float: ...


def note_below(threshold: float, selected: Collection[Sequence[_Scored]]) -> None:
    """Say on standard error where no value reaches the threshold, since the most relevant one takes part all the same.

    Args:
        threshold: that was asked for.
        selected: the values of each text.
    """
    best = [max(one.score for one in values) for values in selected if values]
    below = [score for score in best if score < threshold]
    if not below:
        return
    where = "" if len(selected) == 1 else f"for {len(below):,} of {len(selected):,} texts "
    told = f", at {below[0]:.3f}," if len(selected) == 1 else ""
    print_note(
        f"vispa: {where}no value reaches --threshold {threshold:g}; the most relevant one{told} stays all the same."
    )


def shaded_words(text: str, explained: Explained) -> Text:
    """The text with each word shaded by its share of the strongest one's weight."""
    from rich.text import Text

    drawn, last = Text(), 0
    strongest = max(abs(span.weight) for span in explained.why)
    for span in explained.why:
        drawn.append(visible_text(text[last : span.start]))
        drawn.append(visible_text(text[span.start : span.end]), _shade(span.weight, strongest))
        last = span.end
    drawn.append(visible_text(text[last:]))
    return drawn


def listed_words(text: str, explained: Explained) -> str:
    """The words that carry most of a value's score, strongest first, with what each adds."""
    ranked = sorted(explained.why, key=lambda span: -span.weight)
    shown = [one for one in ranked[:_MOST_LISTED] if one.weight > 0 and one.weight >= _LEAST_SHARE * ranked[0].weight]
    return ", ".join(f"{text[one.start : one.end]} {one.weight:+.3f}" for one in shown)


def _shade(weight: float, strongest: float) -> str:
    share = weight / strongest if strongest else 0.0
    if share <= -_LEAST_SHARE:
        return _AGAINST
    return next((style for least, style in _SHADES if share >= least), "")
