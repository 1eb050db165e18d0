"""Choosing values that differ from each other: maximal marginal relevance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vispa.errors import InputError
from vispa.models.encoder import Encoder, FloatArray
from vispa.taxonomy import Taxonomy


def marginally_relevant(
    row: FloatArray, candidates: list[int], count: int, diversity: float, similarity: npt.NDArray[np.float64]
) -> list[int]:
    """`count` of the candidates by maximal marginal relevance, in the order of the candidates.

    Values are picked one by one (Carbonell and Goldstein 1998, with λ = 1 − diversity d): the next
    is the one with the highest

        (1 − d) · score − d · (highest similarity to a value already picked)

    Args:
        row: scores, [V].
        candidates: columns, highest score first; on equal marginal relevance the earlier one wins.
        count: how many to pick.
        diversity: in [0, 1].
        similarity: [V, V].
    """
    relevance = (1 - diversity) * row[candidates].astype(np.float64)
    among = similarity[np.ix_(candidates, candidates)]
    # The first pick has nothing to differ from: it is the highest score, at any diversity.
    picked = [0]
    nearest = among[:, 0]
    while len(picked) < min(count, len(candidates)):
        marginal = relevance - diversity * nearest
        marginal[picked] = -np.inf
        best = int(np.argmax(marginal))
        picked.append(best)
        nearest = np.maximum(nearest, among[:, best])
    return [candidates[position] for position in sorted(picked)]


def definition_similarity(encoder: Encoder, taxonomy: Taxonomy) -> FloatArray:
    """Cosine similarity of the values' definitions, [V, V] in [-1, 1]."""
    vectors = encoder.encode([f"{value.label}: {value.definition}" for value in taxonomy.values])
    cosines: FloatArray = np.clip(vectors @ vectors.T, -1.0, 1.0)
    return cosines


def checked_similarity(similarity: npt.NDArray[np.floating] | None, values: int) -> npt.NDArray[np.float64]:
    """The similarity of V values to each other, refused where it is not [V, V] finite numbers.

    Raises:
        InputError: it is missing or does not fit.
    """
    if similarity is None:
        raise InputError("diversity", "needs the similarity of the values.", "Give similarity, or a diversity of 0.")
    if similarity.shape != (values, values) or not np.isfinite(similarity).all():
        raise InputError(
            "similarity", f"of shape {similarity.shape} does not fit.", f"Give {values} × {values} finite numbers."
        )
    return similarity.astype(np.float64)
