"""Closeness of answer distributions: Jensen-Shannon distance and most-likely agreement."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from vispa.errors import InputError
from vispa.evaluation.answers import predicted_distribution
from vispa.evaluation.intervals import Interval
from vispa.evaluation.metrics.base import (
    Check,
    CheckWords,
    Figure,
    FloatArray,
    Metric,
    Progress,
    Records,
    Scored,
    Scoring,
)
from vispa.evaluation.runs.folder import ItemRecord
from vispa.items.item import Item
from vispa.records import Record

#: Largest Jensen-Shannon distance there is, which an item without an answer is given.
LARGEST_DISTANCE = math.sqrt(math.log(2))
#: A distribution over the options of an item; it need not sum to one.
Distribution = Sequence[float] | FloatArray


class DistributionFigures(Record):
    """How close predicted distributions are to gold ones.

    Attributes:
        n: number of items.
        jensen_shannon: mean Jensen-Shannon distance, from 0 (equal) to 0.8326 (√ln 2, disjoint).
        most_likely: share of items whose likeliest option is the gold's.
    """

    n: int
    jensen_shannon: float
    most_likely: float


def jensen_shannon_distances(gold: Sequence[Distribution], predicted: Sequence[Distribution]) -> FloatArray:
    """The square root of the Jensen-Shannon divergence of each item, natural logarithm, [N].

    The same as `scipy.spatial.distance.jensenshannon`, operation for operation, except where
    rounding makes the divergence of nearly equal distributions negative: 0 here, NaN there.
    Both sides are divided by their sum. A prediction without any mass counts as uniform. The
    distance of an item with a single option is 0.

    Raises:
        InputError: see `distribution_figures`.
    """
    return np.array([_distance(p, q) for p, q in _pairs(gold, predicted)])


def most_likely_agreements(gold: Sequence[Distribution], predicted: Sequence[Distribution]) -> npt.NDArray[np.bool_]:
    """Whether the likeliest option of prediction and gold is the same, [N].

    Among equally likely options the first counts, on both sides; so a prediction without any
    mass, which counts as uniform, chooses the first option.

    Raises:
        InputError: see `distribution_figures`.
    """
    return np.array([p.argmax() == q.argmax() for p, q in _pairs(gold, predicted)])


def distribution_figures(gold: Sequence[Distribution], predicted: Sequence[Distribution]) -> DistributionFigures:
    """Mean Jensen-Shannon distance and most-likely agreement (Modular Pluralism, 2406.15951).

    Args:
        gold: N distributions; item i has as many numbers as it has options.
        predicted: N distributions over the same options.

    Raises:
        InputError: no item, unequal numbers of items or options, a negative or infinite number,
            NaN, or a gold distribution without mass.
    """
    return DistributionFigures(
        n=len(gold),
        jensen_shannon=float(jensen_shannon_distances(gold, predicted).mean()),
        most_likely=float(most_likely_agreements(gold, predicted).mean()),
    )


def _distance(gold: FloatArray, predicted: FloatArray) -> float:
    from scipy.special import rel_entr

    p = gold / gold.sum()
    total = predicted.sum()
    q = predicted / total if total > 0 else np.full_like(predicted, 1 / len(predicted))
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle).sum() + rel_entr(q, middle).sum()) / 2
    return float(np.sqrt(max(0.0, divergence)))


def _pairs(gold: Sequence[Distribution], predicted: Sequence[Distribution]) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Gold and prediction of each item, checked."""
    if len(gold) != len(predicted):
        raise InputError("predicted", f"has {len(predicted)} entries for {len(gold)} items.", "Give one for each item.")
    if len(gold) == 0:
        raise InputError("gold", "holds no item.", "Give at least one.")
    for number, (expected, given) in enumerate(zip(gold, predicted, strict=True)):
        p = _checked(expected, f"gold[{number}]")
        q = _checked(given, f"predicted[{number}]")
        if len(p) != len(q):
            raise InputError(
                f"predicted[{number}]",
                f"has {len(q)} options, the gold has {len(p)}.",
                "Give a number for each option.",
            )
        if p.sum() == 0:
            raise InputError(f"gold[{number}]", "has no mass.", "Leave the item out.")
        yield p, q


def _checked(distribution: Distribution, field: str) -> FloatArray:
    numbers = np.asarray(distribution, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) == 0:
        raise InputError(field, "is not a list of numbers.", "Give a number for each option.")
    if not np.isfinite(numbers).all() or (numbers < 0).any():
        raise InputError(field, "holds a negative number, NaN or infinity.", "Give probabilities.")
    return numbers


# ---------------------------------------------------------------- the metric

_ADVICE = (
    "Answers are further from the population's than equal probabilities for all options: mix with fitted weights or "
    "soften them with a temperature."
)
_JENSEN_SHANNON = Figure(
    "jensen_shannon",
    "Jensen–Shannon distance",
    "between answered and gold shares of the options",
    span=(0, LARGEST_DISTANCE),
    better="lower",
    headline="Jensen-Shannon distance",
)
#: Also the one figure of the metric `most-likely`.
MOST_LIKELY = Figure(
    "most_likely",
    "most likely option agrees",
    "share of items whose likeliest option is the gold's",
    span=(0, 1),
    better="higher",
    headline="most likely option agrees",
    flips=True,
)


class DistributionDistance(Metric):
    """Distance of answered from gold shares; an item without an answer is as far off as can be."""

    name = "distribution"
    modes = ("steerable", "distributional")
    needs = ("options", "gold_distribution")
    figures: ClassVar[tuple[Figure, ...]] = (_JENSEN_SHANNON, MOST_LIKELY)
    check_words: ClassVar = {"high divergence": CheckWords("mean Jensen–Shannon distance", shared_detail=True)}
    same_gold_advice = "Read the distance rather than the agreement."

    def is_readable(self, item: Item, record: ItemRecord) -> bool:
        """Whether there is an option or a distribution over the options."""
        return record.distribution is not None or super().is_readable(item, record)

    def score(self, items: Sequence[Item], records: Records, how: Scoring, progress: Progress | None) -> Scored:
        """See `jensen_shannon_distances` and `most_likely_agreements`."""
        distances, agreements = np.full(len(items), LARGEST_DISTANCE), np.zeros(len(items))
        predicted = [predicted_distribution(record, item) for item, record in zip(items, records, strict=True)]
        places = [place for place, shares in enumerate(predicted) if shares is not None]
        if places:
            gold = [items[place].gold_distribution or () for place in places]
            given = [predicted[place] or () for place in places]
            distances[places] = jensen_shannon_distances(gold, given)
            agreements[places] = most_likely_agreements(gold, given)
        return Scored({"jensen_shannon": distances, "most_likely": agreements})

    def checks(
        self, items: Sequence[Item], figures: Mapping[str, Interval], limits: Mapping[str, float]
    ) -> Iterator[Check]:
        """Whether a method is further from the gold than giving every option the same probability."""
        gold = [item.gold_distribution or () for item in items]
        uniform = float(jensen_shannon_distances(gold, [np.ones(len(row)) for row in gold]).mean())
        figure, limit = figures["jensen_shannon"].estimate, limits.get("jensen_shannon", uniform)
        yield Check("high divergence", figure, limit, "above", _ADVICE, "threshold: the uniform answer")
