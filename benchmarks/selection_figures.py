"""What a selector's scores are worth against labelled situations; intervals by bootstrap over situations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from vispa.evaluation.intervals import Interval
from vispa.evaluation.report.reliability import Reliability

Array = npt.NDArray[np.floating]
Places = npt.NDArray[np.intp]

#: Values with fewer situations than this on either side have no AUC.
MINIMUM = 5
#: How many values are chosen where precision and recall are counted.
CHOSEN = 6
#: Bins of equal width of the calibration error.
BINS = 15
RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measured:
    """Scores beside labels, of N situations and V values.

    Attributes:
        scores: [N, V].
        scale: [N, V], 0 where a value is not at stake, 1 where it plays a part, 2 where it is clearly at stake.
        probabilities: whether the scores mean to be probabilities, which can be calibrated.
        stances: [N, V], probability that the situation promotes a value; not a number where it is not told.
        sides: [N, V], 1 where it does, −1 where it violates it, 0 for both; not a number where it is not at stake.
    """

    scores: Array
    scale: Array
    probabilities: bool = True
    stances: Array | None = None
    sides: Array | None = None


def area(scores: Array, gold: npt.NDArray[np.bool_], axis: int) -> Array:
    """Area under the ROC curve along an axis; not a number where the gold has one class.

    Args:
        scores: [N, V].
        gold: [N, V].
        axis: 0 for one area a value, 1 for one a situation.
    """
    positive = gold.sum(axis).astype(float)
    negative = gold.shape[axis] - positive
    ranks = np.where(gold, rankdata(scores, axis=axis), 0.0).sum(axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = (ranks - positive * (positive + 1) / 2) / (positive * negative)
    return found


def value_areas(measured: Measured, least: int = MINIMUM) -> Array:
    """[V], not a number where a value has fewer than `least` situations on either side."""
    gold = measured.scale > 0
    counts = gold.sum(0)
    enough = (counts >= least) & (counts <= len(gold) - least)
    found: Array = np.where(enough, area(measured.scores, gold, 0), np.nan)
    return found


def bins_of(scores: Array) -> npt.NDArray[np.intp]:
    """The bin of each probability, of `BINS`."""
    return np.clip((scores * BINS).astype(np.intp), 0, BINS - 1)


def reliability(measured: Measured) -> Reliability:
    """Mean probability and share at stake of the cells of each bin that has any."""
    bins, gold = bins_of(measured.scores).ravel(), (measured.scale > 0).ravel()
    filled = np.unique(bins)
    return Reliability(
        predicted=tuple(float(measured.scores.ravel()[bins == one].mean()) for one in filled),
        gold=tuple(float(gold[bins == one].mean()) for one in filled),
        options=tuple(int((bins == one).sum()) for one in filled),
    )


def figures_of(measured: Measured, seed: int = 0) -> dict[str, Interval]:
    """Every figure with its interval; those that are not defined are left out.

    Args:
        measured: scores and labels.
        seed: of the bootstrap; the same situations are drawn for whatever is measured on them.
    """
    found = {}
    size = len(measured.scale)
    drawn = np.random.default_rng(seed).integers(0, size, (RESAMPLES, size))
    for name, figure in _figures(measured).items():
        estimate = figure(np.arange(size))
        if np.isnan(estimate):
            continue
        low, high = np.nanquantile([figure(places) for places in drawn], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        found[name] = Interval(
            estimate=estimate, low=low, high=high, confidence=CONFIDENCE, resamples=RESAMPLES, n=size
        )
    return found


def _figures(measured: Measured) -> Mapping[str, Callable[[Places], float]]:
    """Each figure as a function of the situations that it is taken over."""
    gold, clear = measured.scale > 0, measured.scale > 1
    order = np.argsort(-measured.scores, axis=1, kind="stable")[:, :CHOSEN]
    right = np.take_along_axis(gold, order, 1).mean(1)
    heard = np.take_along_axis(clear, order, 1).sum(1)
    usable = ~np.isnan(value_areas(measured))
    within = area(measured.scores, gold, 1)
    figures: dict[str, Callable[[Places], float]] = {
        "auc_by_value": lambda n: _mean(area(measured.scores[n][:, usable], gold[n][:, usable], 0)),
        "auc_by_situation": lambda n: _mean(within[n]),
        "precision_at_6": lambda n: float(right[n].mean()),
        "clear_recall_at_6": lambda n: float(heard[n].sum() / max(clear[n].sum(), 1)),
    }
    if measured.probabilities:
        surplus = _surplus(measured)
        figures["ece"] = lambda n: float(np.abs(surplus[n].sum(0)).sum() / (len(n) * gold.shape[1]))
    if measured.stances is not None and measured.sides is not None:
        told = (np.abs(measured.sides) == 1) & ~np.isnan(measured.stances)
        agrees = told & ((measured.stances > 0.5) == (measured.sides > 0))
        figures["side_right"] = lambda n: float(agrees[n].sum() / told[n].sum()) if told[n].any() else float("nan")
    return figures


def _mean(areas: Array) -> float:
    kept = areas[~np.isnan(areas)]
    return float(kept.mean()) if len(kept) else float("nan")


def _surplus(measured: Measured) -> Array:
    """[N, BINS]: by how much a situation's probabilities in a bin sum to more than its labels there."""
    bins, surplus = bins_of(measured.scores), measured.scores - (measured.scale > 0)
    return np.stack([np.where(bins == one, surplus, 0.0).sum(1) for one in range(BINS)], axis=1)
