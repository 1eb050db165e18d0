"""How well comments fit a target, by sentence embeddings: picking without a language model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vispa.models.encoder import Encoder
from vispa.modes.case import Case
from vispa.modes.readings import Reading
from vispa.readers.base import Failure
from vispa.taxonomy import Taxonomy

# Cosine similarities lie close together; this makes their differences count in the softmax.
_SHARPNESS = 20.0


class EmbeddingPicker:
    """A `Picker` of steerable mode: the target against each value's name, definition and comment."""

    def __init__(self, encoder: Encoder, taxonomy: Taxonomy) -> None:
        self.encoder, self.taxonomy = encoder, taxonomy
        self.name = f"embedding:{encoder.name}"

    def fit(self, cases: Sequence[Case]) -> list[Reading | Failure]:
        """For each case a distribution over its comments: the softmax of the cosine similarities."""
        texts = [self._described(comment.value, comment.text) for case in cases for comment in case.comments]
        vectors = self.encoder.encode([*(case.target for case in cases), *texts])
        fits: list[Reading | Failure] = []
        start = len(cases)
        for number, case in enumerate(cases):
            cosines = vectors[start : start + len(case.comments)] @ vectors[number]
            start += len(case.comments)
            weights = np.exp(_SHARPNESS * (cosines - cosines.max()).astype(np.float64))
            fits.append(Reading(weights / weights.sum()))
        return fits

    def _described(self, value: str, comment: str) -> str:
        found = self.taxonomy[value]
        return f"{found.label}: {found.definition} {comment}"
