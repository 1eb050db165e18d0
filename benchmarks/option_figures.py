"""Answers to questions with options against the shares that are right, beside those of a reader that knows nothing.

*Letters against gold*: how often each letter is the likeliest, against how often it is in the gold (total variation).
Among level options of the gold the first counts; in a second figure they share the item. A reader without skill need
not do well there, even if it favours no letter: `nobody` says how far off it is, and how often an unbiased reader must
be right (and else favour any other option alike) to come within a bound.

Intervals are of 95 %, by a bootstrap over questions: items that ask one thing of several groups are drawn together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vispa.evaluation.intervals import Interval, bootstrap_statistic
from vispa.evaluation.metrics.distribution import jensen_shannon_distances
from vispa.request import LETTERS

_Shares = npt.NDArray[np.float64]
# Shares in files are rounded.
_LEVEL = 1e-6


class Figures(NamedTuple):
    """Of the items that were read.

    Attributes:
        variation: letters against gold, the first of level options of the gold counting.
        shared: the same, level options of the gold sharing the item.
        agreement: share of items whose likeliest option is the gold's first likeliest.
        distance: mean Jensen-Shannon distance to the gold.
    """

    variation: Interval
    shared: Interval
    agreement: Interval
    distance: Interval


@dataclass(frozen=True)
class Answers:
    """Answers to N items that were read.

    Attributes:
        questions: number of each item's question, [N].
        gold: shares of each item's options.
        given: what was answered.
        unread: share of all items that were not read.
    """

    questions: npt.NDArray[np.int64]
    gold: list[_Shares]
    given: list[_Shares]
    unread: float

    @classmethod
    def of(cls, texts: Sequence[str], gold: Sequence[_Shares], given: Sequence[_Shares | None]) -> Answers:
        """Those of items with such questions; None where nothing was read."""
        read = [place for place, one in enumerate(given) if one is not None]
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts[place] for place in read))}
        return cls(
            np.array([numbers[texts[place]] for place in read], dtype=np.int64),
            [gold[place] for place in read],
            [own for own in given if own is not None],
            1 - len(read) / len(texts),
        )

    def figures(self) -> Figures:
        """With their intervals."""
        own, first = (np.array([_use(one) for one in side]) for side in (self.given, self.gold))
        shared = np.array([_use(one, shared=True) for one in self.gold])
        agreed = (own * first).sum(1)
        distances = jensen_shannon_distances(self.gold, self.given)
        return Figures(
            self._interval(_variation, own - first),
            self._interval(_variation, own - shared),
            self._interval(np.mean, agreed),
            self._interval(np.mean, distances),
        )

    def _interval(self, statistic: object, values: npt.NDArray[np.float64]) -> Interval:
        places = [np.flatnonzero(self.questions == number) for number in range(self.questions.max() + 1)]

        def of_questions(drawn: npt.NDArray[np.int64]) -> float:
            return float(statistic(values[np.concatenate([places[number] for number in drawn])]))  # type: ignore[operator]

        return bootstrap_statistic(of_questions, np.arange(len(places)))


class Nobody(NamedTuple):
    """A reader that knows nothing and favours no letter: each option is its likeliest equally often.

    Attributes:
        variation: of its letters against gold in the long run, the first of level options of the gold counting.
        shared: the same, level options of the gold sharing the item.
        low: 2.5 % of such readers are nearer on these items (the first figure).
        high: 2.5 % are further off.
        agreement: share of items whose likeliest option is the gold's.
        distance: of equal shares for all options.
        needed: share of items an unbiased reader must be right in to come within `within`; 0 where none.
    """

    variation: float
    shared: float
    low: float
    high: float
    agreement: float
    distance: float
    needed: float


def nobody(gold: Sequence[_Shares], within: float = 0.15, draws: int = 2000) -> Nobody:
    """See `Nobody`.

    Args:
        gold: shares of each item's options.
        within: total variation that an unbiased reader is to come within.
        draws: of readers, for the spread.
    """
    first, shared = (np.array([_use(one, shared=way) for one in gold]) for way in (False, True))
    uniform = np.array([np.pad(np.full(len(one), 1 / len(one)), (0, len(LETTERS) - len(one))) for one in gold])
    random, counts = np.random.default_rng(0), np.array([len(one) for one in gold])
    drawn = random.integers(counts, size=(draws, len(gold)))
    use = np.stack([(drawn == letter).mean(1) for letter in range(len(LETTERS))], axis=1)
    low, high = np.quantile(abs(use - first.mean(0)).sum(1) / 2, [0.025, 0.975])
    # Where it is wrong, any other option is as likely; a lone option is right.
    others = np.where(
        counts[:, None] > 1, (uniform - first / counts[:, None]) / (1 - 1 / np.maximum(counts, 2))[:, None], first
    )
    wrong = _variation(others - first)
    return Nobody(
        _variation(uniform - first),
        _variation(uniform - shared),
        float(low),
        float(high),
        float((1 / counts).mean()),
        float(jensen_shannon_distances(gold, [np.ones(len(one)) for one in gold]).mean()),
        max(0.0, 1 - within / wrong) if wrong > 0 else 0.0,
    )


def _use(shares: _Shares, *, shared: bool = False) -> _Shares:
    """Which letter an item uses, [26]: that of its first likeliest option, or parts of those of all of them."""
    level = shares >= shares.max() - _LEVEL
    if not shared:
        level = np.arange(len(shares)) == int(shares.argmax())
    return np.pad(level / level.sum(), (0, len(LETTERS) - len(shares)))


def _variation(differences: npt.NDArray[np.float64]) -> float:
    return float(abs(differences.mean(0)).sum() / 2)


def told(interval: Interval, digits: int) -> str:
    """An interval as a table has it."""
    return f"{interval.estimate:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
