"""How often options of some predicted probability are chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vispa.evaluation.runs.run import Run
from vispa.records import Record

_BINS = 10


class Reliability(Record):
    """How often options of some predicted probability are chosen.

    Attributes:
        predicted: mean predicted probability of the options in each bin that has any.
        gold: mean gold share of the same options.
        options: number of these options.
    """

    predicted: tuple[float, ...]
    gold: tuple[float, ...]
    options: tuple[int, ...]


def reliability(run: Run, method: str) -> Reliability | None:
    """Predicted probabilities of options against their gold shares, in ten equal bins.

    Every option of every item with a predicted distribution counts once; where the gold is a
    label, its share is 1. Distributions are divided by their sums; one without mass is left out,
    and so are items with a single option.

    Returns:
        None if no item has both.
    """
    predicted: list[float] = []
    gold: list[float] = []
    for item in run.items:
        record = run.records[method].get(item.id)
        given = None if record is None or record.error is not None else record.distribution
        shares = item.gold_distribution
        if shares is None and item.label is not None:
            shares = tuple(float(place == item.label) for place in range(len(item.options)))
        if given is None or shares is None or len(shares) < 2 or sum(given) <= 0:
            continue
        predicted += [share / sum(given) for share in given]
        gold += [share / sum(shares) for share in shares]
    if not predicted:
        return None
    bins = np.minimum((np.array(predicted) * _BINS).astype(int), _BINS - 1)
    filled = np.unique(bins)

    def means(numbers: Sequence[float]) -> tuple[float, ...]:
        return tuple(float(np.array(numbers)[bins == place].mean()) for place in filled)

    counts = tuple(int((bins == place).sum()) for place in filled)
    return Reliability(predicted=means(predicted), gold=means(gold), options=counts)
