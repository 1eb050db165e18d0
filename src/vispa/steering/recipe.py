"""Which directions a model is steered with, where, and how far."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from vispa.errors import InputError

#: `calibrated`: up to a probe's target confidence, per input (ConVA). `coefficient`: multiples
#: of the fitted direction. `residual`: a fraction of the block's typical residual norm.
Magnitude = Literal["calibrated", "coefficient", "residual"]

_EMBEDDED_RECIPE = Path(__file__).parents[1] / "models" / "embedded" / "steering.toml"

#: Published range of blocks as shares of the depth (10 to 25 of 32 blocks).
DEPTH = (0.31, 0.78)
#: A probe worse than this on held-out sentences does not separate; its block is left out.
MINIMAL_QUALITY = 0.6


@dataclass(frozen=True)
class Recipe:
    """How a model is steered.

    Attributes:
        estimator: name of the bank's entry that gives the directions.
        blocks: numbers of the blocks to steer after; None for the published range of depth.
        magnitude: how the amount is chosen.
        amount: target confidence, coefficient, or fraction, as `magnitude` says.
        minimal_quality: blocks where a value's quality is lower are left out for that value.
    """

    estimator: str = "probe"
    blocks: tuple[int, ...] | None = None
    magnitude: Magnitude = "calibrated"
    amount: float = 0.9
    minimal_quality: float = MINIMAL_QUALITY

    def chosen_blocks(self, count: int) -> tuple[int, ...]:
        """The blocks to steer in a model of `count` blocks.

        Raises:
            InputError: a block that the model does not have.
        """
        if self.blocks is None:
            low, high = (round(share * count) for share in DEPTH)
            return tuple(range(low, max(low, min(high, count - 1)) + 1))
        for block in self.blocks:
            if not 0 <= block < count:
                raise InputError("blocks", f"{block} is not a block of the model.", f"Blocks are 0 to {count - 1}.")
        return self.blocks


@cache
def embedded_recipe() -> Recipe:
    """The recipe chosen for the model that ships with the package; see its model card."""
    table = tomllib.loads(_EMBEDDED_RECIPE.read_text(encoding="utf-8"))
    return Recipe(**{**table, "blocks": tuple(table["blocks"])})
