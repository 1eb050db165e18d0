"""Masses of option letters as a distribution, where a letter is what the model says next."""

from __future__ import annotations

import numpy as np

from vispa.generation.letters import Masses
from vispa.readers.base import Distribution, Unweighable
from vispa.request import LEAST_OPTION_MASS


def weighed(masses: Masses, least: float = LEAST_OPTION_MASS) -> Distribution | Unweighable:
    """The distribution over the options, if their letters are likely enough to follow.

    A lone option needs no weighing. Where the letters hold little mass, what they hold says nothing:
    the model was about to write something else.

    Args:
        masses: [N] probability that the next token writes each option's letter.
        least: what they must hold together.
    """
    if len(masses) == 1:
        return np.ones(1)
    total = float(masses.sum())
    if not 0 < total < np.inf or total < least:
        return Unweighable(
            f"The letters of the options hold {total:.1%} of the next token's probability, too little to weigh them. "
            "Choose a model that answers with a letter."
        )
    return masses / total
