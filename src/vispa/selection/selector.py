"""The one interface of all selectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from vispa.models.encoder import FloatArray
from vispa.taxonomy import Taxonomy


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
