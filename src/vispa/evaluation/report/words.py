"""How the report says things: names, meanings and numbers, for people who do not know the code."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from vispa.evaluation import metrics
from vispa.evaluation.intervals import Interval, PairedDifference
from vispa.evaluation.metrics import CheckWords, figure_of
from vispa.files.reading import read_toml

_FILE = Path(__file__).with_name("words.toml")
# Between a number and its sign, where no line may break.
_NO_BREAK = "\u00a0"


@cache
def words() -> dict[str, Any]:
    """The tables of `words.toml`."""
    return read_toml(_FILE)


def figure_label(name: str) -> str:
    """A figure's name in words; an unknown one as it is."""
    return figure_of(name).label


def figure_meaning(name: str) -> str:
    """What a figure is, its range, and whether higher is better."""
    return figure_of(name).explained


def check_words(name: str) -> CheckWords:
    """How a check's figure is written; a number where the check is unknown."""
    return metrics.check_words(name) or CheckWords(**words()["checks"].get(name, {}))


def method_meaning(name: str) -> str:
    """What a method does, variants of `vispa` with their estimator and selector; nothing for an unknown one."""
    rest, _, selector = name.partition("+")
    base, _, estimator = rest.partition(":")
    known = str(words()["methods"].get(base, ""))
    if not known or (base != "vispa" and base != name):
        return ""
    return (
        known
        + (f", by the estimator {readable(estimator)}" if estimator else "")
        + (f", selected by {selector}" if selector else "")
    )


def group_label(group: str) -> str:
    """An attribute group's name, in words where it is one of a survey's codes."""
    return str(words()["groups"].get(group, group))


def attribute_label(attribute: str) -> str:
    """`POLPARTY_Democrat` in words; any other attribute as it is."""
    code, _, name = attribute.partition("_")
    known = words()["groups"].get(code)
    return f"{known}: {name}" if known and name else attribute


def readable(slug: str) -> str:
    """A slug as words."""
    return slug.replace("_", " ")


# ---------------------------------------------------------------- numbers


def number(value: float, decimals: int = 3) -> str:
    """A number with a typographic minus; one that rounds to 0 has no sign."""
    text = f"{value:,.{decimals}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.removeprefix("-")


def signed(value: float) -> str:
    """A difference: with its sign, unless it rounds to 0."""
    text = number(value)
    return f"+{text}" if value > 0 and float(text.replace(",", "")) else text


def percent(share: float) -> str:
    """A share in percent with at most one decimal."""
    return f"{number(100 * share, 1).removesuffix('.0')}{_NO_BREAK}%"


def p_value(value: float) -> str:
    """A p value; one that would round to 0 as a bound."""
    return f"<{_NO_BREAK}0.001" if value < 0.001 else f"{value:.3f}"


def check_figure(name: str, value: float) -> str:
    """A check's figure or threshold in the check's unit."""
    known = check_words(name)
    return percent(value) if known.share else number(value, known.decimals)


def counted(count: int, noun: str) -> str:
    """`1 comment`, `6 comments`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def drawn_over(one: Interval | PairedDifference) -> str:
    """What an interval was made by drawing: `text` where items of one text were drawn together, else `item`."""
    return "item" if one.drawn == one.n else "text"


def drawn_together(one: Interval | PairedDifference, texts: int) -> str:
    """How an interval treats items that share a text, as a sentence; nothing where none do.

    Args:
        one: over all items.
        texts: number of the items' texts.
    """
    if one.n == texts:
        return ""
    if one.clusters is None:
        return (
            f"Each of the {counted(one.n, 'item')} was drawn by itself, though they have {counted(texts, 'text')}: "
            "intervals are too narrow. Score the run anew."
        )
    return f"Items of one text are drawn together ({counted(one.n, 'item')}, {counted(one.clusters, 'text')})."


def length_control(budget: int, shuffles: int | None) -> str:
    """What figures of the same length count, and against what chance was measured."""
    others = f"; chance: the explanations of {counted(shuffles, 'other situation')} for each answer" if shuffles else ""
    return f"Same length: {counted(budget, 'sentence')} of each answer, drawn at random{others}."
