"""How well an estimator's directions separate each value at each block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vispa.steering.bank import VectorBank


@dataclass(frozen=True)
class Quality:
    """What is known of an estimator's directions for V values at L blocks.

    Attributes:
        estimator: name of the bank's entry.
        values: slugs of the V values.
        accuracy: [V, L] share of held-out sentences that are told apart along the direction.
        separation: [V, L] distance of the two sides' held-out means, in units of their pooled
            standard deviation (d').
        relative_norm: [V, L] length of the vector as a fraction of the block's typical residual norm.
    """

    estimator: str
    values: tuple[str, ...]
    accuracy: npt.NDArray[np.float64]
    separation: npt.NDArray[np.float64]
    relative_norm: npt.NDArray[np.float64]


def quality(bank: VectorBank, estimator: str) -> Quality:
    """The value × block table of an estimator.

    Raises:
        InputError: the bank has no such estimator.
    """
    directions = bank.entry(estimator).directions
    tables = (directions.quality, directions.separation, bank.relative_norm(estimator))
    return Quality(estimator, bank.info.values, *(table.double().numpy() for table in tables))
