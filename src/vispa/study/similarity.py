"""Which values' directions point the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from vispa.errors import InputError
from vispa.steering.bank import VectorBank


@dataclass(frozen=True)
class Similarity:
    """Cosines between the directions of V values.

    Attributes:
        estimator: name of the bank's entry.
        blocks: whose directions were compared.
        values: slugs of the V values, in the bank's order.
        cosine: [V, V], in the bank's order.
        order: places of the values such that similar ones are neighbours.
    """

    estimator: str
    blocks: tuple[int, ...]
    values: tuple[str, ...]
    cosine: npt.NDArray[np.float64]
    order: tuple[int, ...]

    def nearest(self, value: str) -> tuple[str, float] | None:
        """The other value with the highest cosine, and the cosine; None if there is no other."""
        place = self.values.index(value)
        others = [other for other in range(len(self.values)) if other != place]
        best = max(others, key=lambda other: self.cosine[place, other], default=None)
        return None if best is None else (self.values[best], float(self.cosine[place, best]))


def similarity(bank: VectorBank, estimator: str, *, blocks: Sequence[int] | None = None) -> Similarity:
    """Cosine similarity of every two values' directions.

    Of several blocks the directions are laid end to end as they are, so that a block counts by
    the length that its directions have. A direction of length 0 has cosine 0 with all others.

    Args:
        bank: of V values.
        estimator: name of the bank's entry.
        blocks: one or several; by default those of the bank's recipe.

    Raises:
        InputError: an estimator or block that the bank does not have, or no block.
    """
    vectors = bank.entry(estimator).directions.vectors
    chosen = _checked(blocks, vectors.shape[1]) if blocks is not None else bank.recipe.chosen_blocks(vectors.shape[1])
    joined = vectors[:, list(chosen)].double().flatten(1)
    unit = torch.nn.functional.normalize(joined, dim=-1, eps=1e-30)
    cosine = (unit @ unit.T).clamp(-1.0, 1.0).fill_diagonal_(1.0).numpy()
    return Similarity(estimator, chosen, bank.info.values, cosine, cluster_order(cosine))


def cluster_order(cosine: npt.NDArray[np.float64]) -> tuple[int, ...]:
    """An order of V things that puts similar ones side by side.

    The order of the leaves of hierarchical clustering with average linkage on 1 - cosine; within
    what the tree leaves free, neighbours are as similar as can be.

    Args:
        cosine: [V, V], symmetric.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(cosine) < 3:
        return tuple(range(len(cosine)))
    distance = np.clip(1.0 - (cosine + cosine.T) / 2, 0.0, None)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    return tuple(int(leaf) for leaf in leaves_list(tree))


def _checked(blocks: Sequence[int], count: int) -> tuple[int, ...]:
    for block in blocks:
        if not 0 <= block < count:
            raise InputError("blocks", f"{block} is not a block of the model.", f"Blocks are 0 to {count - 1}.")
    if not blocks:
        raise InputError("blocks", "are none.", f"Give at least one from 0 to {count - 1}.")
    return tuple(sorted(set(blocks)))
