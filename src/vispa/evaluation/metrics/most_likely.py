"""Agreement of the likeliest option with that of the gold shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from vispa.evaluation.intervals import Interval
from vispa.evaluation.metrics.base import Check, Progress, Records, Scored, Scoring
from vispa.evaluation.metrics.distribution import MOST_LIKELY, DistributionDistance
from vispa.items.item import Item


class MostLikely(DistributionDistance):
    """Share of items whose likeliest option is the gold's; an item without an answer counts as wrong."""

    name = "most-likely"
    figures = (MOST_LIKELY,)
    check_words: ClassVar = {}
    same_gold_advice = ""

    def score(self, items: Sequence[Item], records: Records, how: Scoring, progress: Progress | None) -> Scored:
        """See `vispa.evaluation.metrics.distribution.most_likely_agreements`."""
        scores = super().score(items, records, how, progress).scores
        return Scored({name: values for name, values in scores.items() if name == MOST_LIKELY.name})

    def checks(
        self, items: Sequence[Item], figures: Mapping[str, Interval], limits: Mapping[str, float]
    ) -> Iterator[Check]:
        """None."""
        return iter(())
