"""The one interface of all selectors, and the choice from their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vispa.checks import check_k, check_threshold
from vispa.records import Selection
from vispa.taxonomy import Taxonomy

FloatArray = npt.NDArray[np.float32]

#: Number of values kept in the paper (section 3.1).
DEFAULT_K = 6


class Selector(Protocol):
    """Scores every value of a taxonomy for a text.

    Attributes:
        name: goes into the record of an answer.
        taxonomy: the values, in the order of the scores' columns.
    """

    name: str
    taxonomy: Taxonomy

    def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """Relevance of every value to every text, [N, V] in [0, 1]; values do not compete."""
        ...


def choose(
    scores: FloatArray, taxonomy: Taxonomy, *, k: int = DEFAULT_K, threshold: float = 0.0
) -> list[tuple[Selection, ...]]:
    """The k highest values of each row of scores [N, V], without those under the threshold.

    The highest value stays even when it is under the threshold, so that there is an answer.
    Equal scores keep the taxonomy's order.

    Raises:
        InputError: k or threshold out of range.
    """
    check_k(k, len(taxonomy))
    check_threshold(threshold)
    slugs = list(taxonomy)
    chosen = []
    for row in scores:
        order = np.argsort(-row, kind="stable")[:k]
        kept = [i for rank, i in enumerate(order) if rank == 0 or row[i] >= threshold]
        chosen.append(tuple(Selection(value=slugs[i], score=round(float(row[i]), 4)) for i in kept))
    return chosen
