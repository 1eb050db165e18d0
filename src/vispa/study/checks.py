"""Checks of a model's fitness: a figure, the thresholds it is held to, a verdict, and advice where it is not good."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Literal

from vispa.files.reading import read_toml
from vispa.modes.templates import filled

#: From the best to the worst.
Verdict = Literal["good", "weak", "bad"]
VERDICTS: tuple[Verdict, ...] = ("good", "weak", "bad")
#: What is fit or unfit: how the model is steered, and who reads options.
Part = Literal["recipe", "reader"]
PARTS: tuple[Part, ...] = ("recipe", "reader")

_RULES = Path(__file__).with_name("fitness.toml")


@dataclass(frozen=True)
class Rule:
    """What a figure is held to; see `fitness.toml`.

    Attributes:
        part: that the check is about.
        asks: what is measured, in words.
        good: the figure that is just good.
        bad: figures beyond it are bad; it is below `good` where much is better, above it where little is.
        advice: where it is not good, with `{model}`.
        number: shown as a number instead of as a percentage.
    """

    part: Part
    asks: str
    good: float
    bad: float
    advice: str
    number: bool = False

    def verdict(self, figure: float) -> Verdict:
        """Of a figure; NaN is bad."""
        sign = 1 if self.good > self.bad else -1
        if sign * figure >= sign * self.good:
            return "good"
        return "weak" if sign * figure >= sign * self.bad else "bad"

    def shown(self, figure: float) -> str:
        """A figure in this check's form."""
        if figure != figure:
            return "–"
        return f"{figure:.2f}" if self.number else f"{figure:.0%}"

    @property
    def good_is(self) -> str:
        """What is good, in words."""
        return f"{'at least' if self.good > self.bad else 'at most'} {self.shown(self.good)}"

    @property
    def bad_is(self) -> str:
        """What is bad, in words; empty where nothing is."""
        if not self.number and not 0 < self.bad < 1:
            return ""
        return f"{'below' if self.good > self.bad else 'above'} {self.shown(self.bad)}"


@dataclass(frozen=True)
class Check:
    """One measured thing.

    Attributes:
        name: of its rule.
        rule: what it is held to.
        figure: what was measured; NaN where nothing could be.
        detail: what else there is to say of it, such as an interval or the values meant.
        advice: one line; empty where the check is good.
    """

    name: str
    rule: Rule
    figure: float
    detail: str = ""
    advice: str = ""

    @property
    def verdict(self) -> Verdict:
        """See `Rule.verdict`."""
        return self.rule.verdict(self.figure)


@dataclass(frozen=True)
class Fitness:
    """All checks of a model with its recipe and its reader of options.

    Attributes:
        checks: in the order in which they are shown.
    """

    checks: tuple[Check, ...]

    def verdict(self, part: Part | None = None) -> Verdict:
        """The worst verdict of a part, or of all."""
        own = [check.verdict for check in self.checks if part in (None, check.rule.part)]
        return max(own, key=VERDICTS.index, default="good")

    def __getitem__(self, name: str) -> Check:
        """The check of a name."""
        return next(check for check in self.checks if check.name == name)


@cache
def rules() -> dict[str, Rule]:
    """The rule of each check by its name."""
    known = {field.name for field in fields(Rule)}
    return {name: Rule(**{key: own[key] for key in known & own.keys()}) for name, own in read_toml(_RULES).items()}


def checked(name: str, figure: float, model: str, detail: str = "") -> Check:
    """A figure held to the rule of its name.

    Args:
        name: of the rule.
        figure: what was measured.
        model: that advice is about.
        detail: see `Check`.
    """
    rule = rules()[name]
    advice = "" if rule.verdict(figure) == "good" else filled(rule.advice, model=model)
    return Check(name, rule, figure, detail, advice)
