"""Forward passes of a worker: whose tokens they read, and whether one is like the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Step(NamedTuple):
    """The tokens of one forward pass, request after request, in the order of the pass.

    Attributes:
        names: of the N requests.
        scheduled: how many tokens of each are in the pass.
        computed: how many of its tokens were read before.
        prompts: how many of its tokens are its prompt's.
    """

    names: Sequence[str]
    scheduled: Sequence[int]
    computed: Sequence[int]
    prompts: Sequence[int]


@dataclass
class Steady:
    """A pass in which every request went on by one generated token, and whose next one is like it.

    Attributes:
        names: of its N requests.
        computed: [N] how many of each one's tokens were read before.
        active: whether anything is added to any.
        fading: [N] rows that each gathers beside, 0 for none.
        remains: [N] see `remains_of`.
        ages: [N] how many tokens each has generated.
    """

    names: list[str]
    computed: np.ndarray
    active: bool
    fading: np.ndarray
    remains: np.ndarray
    ages: np.ndarray

    def goes_on(self, step: Step) -> bool:
        """Whether the next pass is one more of the same requests; then it has moved on to it."""
        if self.names != step.names or any(count != 1 for count in step.scheduled):
            return False
        if not np.array_equal(self.computed + 1, step.computed):
            return False
        self.computed, self.ages = self.computed + 1, self.ages + 1
        return True

    @property
    def left(self) -> np.ndarray:
        """How much is left of what fades, [N] float32."""
        return np.where(self.fading > 0, self.remains**self.ages, 0).astype(np.float32)
