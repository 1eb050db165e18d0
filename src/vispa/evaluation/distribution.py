"""Closeness of answer distributions: Jensen-Shannon distance and most-likely agreement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from vispa.errors import InputError
from vispa.records import Record

FloatArray = npt.NDArray[np.float64]
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
