"""Which values answers use, and how far that lies from what they used before.

An answer uses the values that were selected or named for it. A window is a number of answers; its value use is the
share of each value among all uses in it. Two windows are as far apart as the Jensen-Shannon distance (base 2: 0 is the
same, 1 nothing in common) of their value use (Lin 1991, Endres and Schindelin 2003).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict

from vispa.errors import InputError
from vispa.files.lines import utf8_lines
from vispa.files.validation import FileModel, validated_line
from vispa.modes.mixture import jensen_shannon
from vispa.request import check_seed

FloatArray = npt.NDArray[np.float64]

#: Fewest answers of a window: in smaller ones chance moves everything.
LEAST = 20
#: How often answers are dealt anew to find how far windows are apart by chance.
DEALS = 1000
#: How often chance alone may raise an alarm.
LEVEL = 0.01
# What to do about a file that holds no answers.
_ADVICE = "Name a file that `vispa batch` wrote to its end."
# Numbers that are held while answers are dealt: a file may have a million of answers.
_HELD = 10_000_000
# Distances that differ by less are of the same counts.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Used:
    """A value that an answer uses.

    Attributes:
        value: its slug.
        score: its relevance to the text, 0 to 1.
    """

    value: str
    score: float


#: What an answer uses.
Uses = Sequence[Used]


class _Line(FileModel):
    """What is needed of an answer's line; its texts, in which a model may have written anything, are not."""

    model_config = ConfigDict(extra="ignore")

    values: tuple[Used, ...] | None = None
    error: Any = None


@dataclass(frozen=True)
class ValueDrift:
    """How the use of one value moved.

    Attributes:
        value: its slug.
        before: share of the reference's answers that use it.
        after: share of the new ones.
        surprise: difference of the two in standard errors, had both windows the same share.
        relevance_before: quartiles of its relevance where it is used in the reference; None where it is not.
        relevance_after: in the new window.
    """

    value: str
    before: float
    after: float
    surprise: float
    relevance_before: tuple[float, float, float] | None
    relevance_after: tuple[float, float, float] | None


@dataclass(frozen=True)
class Drift:
    """How far a new window's value use lies from a reference's.

    Attributes:
        reference: number of its answers.
        new: number of the new ones.
        distance: between the two, 0 to 1.
        alarm_level: largest distance that raises no alarm; where nothing drifts, chance exceeds it no more often than
            `level`.
        p_value: how often chance gives such a distance, by a permutation test over answers.
        level: how often chance alone may raise an alarm.
        values: those that moved most first.
    """

    reference: int
    new: int
    distance: float
    alarm_level: float
    p_value: float
    level: float
    values: tuple[ValueDrift, ...]

    @property
    def is_alarming(self) -> bool:
        """Whether the distance is more than chance gives."""
        return self.distance > self.alarm_level


@dataclass(frozen=True)
class UseOverTime:
    """The value use of a file of answers.

    Attributes:
        answers: number of answers.
        shares: value → share of the answers that use it, the most used first, and those used as often by their slugs.
        halves: how far the second half's lies from the first's; None where the halves are too small.
    """

    answers: int
    shares: dict[str, float]
    halves: Drift | None


def over_time(answers: Sequence[Uses]) -> UseOverTime:
    """Which values answers use, and whether that moves from the first half of them to the second."""
    counts = Counter(value for uses in answers for value in {one.value for one in uses})
    # Values used as often stand by their slugs: a set's order would differ from one process to the next.
    order = sorted(counts, key=lambda value: (-counts[value], value))
    middle = len(answers) // 2
    halves = drift(answers[:middle], answers[middle:]) if middle >= LEAST else None
    return UseOverTime(len(answers), {value: counts[value] / len(answers) for value in order}, halves)


def read_uses(path: Path) -> list[tuple[Used, ...]]:
    """What each answer of a file of records uses, in the file's order; items without an answer are left out.

    Raises:
        InputError: unreadable, or a line that is no record of an answer; the message names it.
    """
    found = []
    # A file may hold a million answers, and all of them use the same values with some scores of four digits.
    known: dict[Used, Used] = {}
    for number, line in enumerate(utf8_lines(path), 1):
        if not line.strip():
            continue
        place = f"{path} line {number}"
        record = validated_line(_Line, line.encode(), place, advice=_ADVICE)
        if record.error is not None:
            continue
        if record.values is None:
            raise InputError(place, "is no record of an answer with its values.", _ADVICE)
        found.append(tuple(known.setdefault(one, one) for one in record.values))
    return found


def drift(reference: Sequence[Uses], new: Sequence[Uses], *, level: float = LEVEL, seed: int = 0) -> Drift:
    """Compare the value use of two windows.

    The alarm level and the p-value come from dealing all answers at random to two windows of these sizes: answers, not
    uses, are dealt, since the values of one answer depend on each other.

    Args:
        reference: what each answer of the reference uses.
        new: of the new window.
        level: how often chance alone may raise an alarm; 1 / (`DEALS` + 1) is the least that so many deals can tell.
        seed: of the deals.

    Raises:
        InputError: fewer than `LEAST` answers in a window, a level that cannot be, or a seed that cannot.
    """
    check_seed(seed)
    _check_level(level)
    check_window("reference", len(reference))
    check_window("new", len(new))
    values = sorted({one.value for uses in (*reference, *new) for one in uses})
    before, after = uses_matrix(reference, values), uses_matrix(new, values)
    observed = float(distances(before.sum(0), after.sum(0)))
    chance = _dealt(np.concatenate([before, after]), len(reference), seed)
    # Rounding must not tell a deal that gives the same counts from the observed one.
    chance[np.abs(chance - observed) < _ROUNDING] = observed
    # The p-value where 0, 1, … of the deals lie as far apart as the windows.
    p_values = np.arange(1, len(chance) + 2) / (1 + len(chance))
    # The first deal, from the farthest on, that windows must lie beyond for their p-value to be within the level.
    alarm_level = np.sort(chance)[::-1][np.count_nonzero(p_values <= level) - 1]
    p_value = p_values[np.count_nonzero(chance >= observed)]
    moved = sorted(
        (_value_drift(value, reference, new, before[:, at], after[:, at]) for at, value in enumerate(values)),
        key=lambda one: -abs(one.surprise),
    )
    return Drift(len(reference), len(new), observed, float(alarm_level), float(p_value), level, tuple(moved))


def _check_level(level: float) -> None:
    """Refuse a level at which no alarm could be raised, or always one.

    Raises:
        InputError: it is below the least p-value that the deals can give, or 1 or more.
    """
    if not 1 / (DEALS + 1) <= level < 1:
        advice = f"Give a probability from 1/{DEALS + 1} to below 1: answers are dealt anew {DEALS:,} times."
        raise InputError("level", f"is {level:g}.", advice)


def check_window(name: str, answers: int) -> None:
    """Refuse a window that is too small.

    Raises:
        InputError: fewer than `LEAST` answers.
    """
    if answers < LEAST:
        raise InputError(name, f"holds {answers} answers.", f"Give at least {LEAST}.")


def uses_matrix(window: Sequence[Uses], values: Sequence[str]) -> FloatArray:
    """[N, V], 1 where an answer uses a value; values that are not named are left out."""
    columns = {value: column for column, value in enumerate(values)}
    matrix = np.zeros((len(window), len(values)))
    for row, uses in enumerate(window):
        for one in uses:
            if one.value in columns:
                matrix[row, columns[one.value]] = 1
    return matrix


def distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """Jensen-Shannon distances of uses, counted by value on the last axis; 0 between two windows without any use."""
    one, other = (counts / np.maximum(counts.sum(-1, keepdims=True), 1e-300) for counts in (first, second))
    # In bits, and no more than 1 by rounding.
    found: FloatArray = np.minimum(1.0, jensen_shannon(one, other) / np.sqrt(np.log(2.0)))
    return found


def chance_level(reference: FloatArray, size: int, *, level: float = LEVEL, seed: int = 0) -> float:
    """Distance from a reference that a later window exceeds with the probability `level` where nothing drifts.

    Both windows are drawn from the reference with replacement, so that it is known before the later one is there.

    Args:
        reference: [N, V] as `uses_matrix` gives it.
        size: answers of the later window.
        level: how often chance alone may exceed it; see `drift`.
        seed: of the draws.

    Raises:
        InputError: a level or a seed that cannot be.
    """
    check_seed(seed)
    _check_level(level)
    random = np.random.default_rng(seed)
    # Answers of the same values are one kind: there are far fewer kinds than answers.
    kinds, answers = np.unique(reference, axis=0, return_counts=True)
    chances = answers / len(reference)
    drawn = []
    for deals in _in_parts(len(kinds)):
        first, second = (random.multinomial(count, chances, deals) @ kinds for count in (len(reference), size))
        drawn.append(distances(first, second))
    return float(np.quantile(np.concatenate(drawn), 1 - level))


def _dealt(pool: FloatArray, first: int, seed: int) -> FloatArray:
    """Distances of windows that all answers are dealt to at random, the first one of `first` answers."""
    random = np.random.default_rng(seed)
    found = []
    for deals in _in_parts(len(pool)):
        dealt = np.zeros((deals, len(pool)))
        for row in dealt:
            row[random.permutation(len(pool))[:first]] = 1
        counts = dealt @ pool
        found.append(distances(counts, pool.sum(0) - counts))
    return np.concatenate(found)


def _in_parts(width: int) -> Iterator[int]:
    """How many of `DEALS` to make at a time where each takes so many numbers."""
    size = max(1, _HELD // max(1, width))
    for start in range(0, DEALS, size):
        yield min(size, DEALS - start)


def _value_drift(
    value: str, reference: Sequence[Uses], new: Sequence[Uses], before: FloatArray, after: FloatArray
) -> ValueDrift:
    pooled = float(np.concatenate([before, after]).mean())
    error = (pooled * (1 - pooled) * (1 / len(before) + 1 / len(after))) ** 0.5
    difference = float(after.mean() - before.mean())
    return ValueDrift(
        value, float(before.mean()), float(after.mean()), difference / error if error else 0.0,
        _quartiles(value, reference), _quartiles(value, new),
    )  # fmt: skip


def _quartiles(value: str, window: Iterable[Uses]) -> tuple[float, float, float] | None:
    scores = [one.score for uses in window for one in uses if one.value == value]
    if not scores:
        return None
    low, middle, high = (float(one) for one in np.quantile(scores, (0.25, 0.5, 0.75)))
    return low, middle, high
