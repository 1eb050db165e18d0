"""The fixed vectors that stand for a recipe in programs that know none.

What a file can hold is a fixed vector a block. With `scale="recipe"` that is what the recipe adds
where it adds all of its shift, so that coefficient 1 steers as the bank does there:

- magnitude `coefficient`: the amount times the fitted vector;
- magnitude `residual`: a vector as long as the amount times the block's typical residual norm;
- magnitude `calibrated`: the bank measures each prompt, which no file can do. Written is the shift
  of a prompt on which the probe is undecided (P = 0.5): ε = s0 / ‖w‖ along the unit direction, cut
  to the recipe's cap. Prompts that express the value less would get more from the bank, others
  less: treat coefficient 1 as a place to start from.

Where and when a recipe adds less or nothing no file can say; see `untold`.

A number as scale gives the fitted vectors times that number, whatever the recipe's magnitude.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch

from vispa.errors import InputError, NumericalError
from vispa.steering.bank import VectorBank
from vispa.steering.calibration import capped
from vispa.steering.plan import BlockShift
from vispa.steering.recipe import Recipe

#: `recipe`, or a factor on the vectors as they were fitted.
Scale = float | Literal["recipe"]
# Of a recipe: at which tokens, and to which prompts, how much of the shift is added.
_OF_PLACES = ("scope", "subject_share", "half_life", "gate")


def untold(recipe: Recipe) -> dict[str, str | float]:
    """What a recipe says of places, which fixed vectors cannot: other programs add them whole, at every token.

    Args:
        recipe: of the bank that vectors are taken from.

    Returns:
        Field → value, of those that are not as by default.

    Example:
        >>> untold(Recipe(half_life=16.0))
        {'half_life': 16.0}
    """
    return {name: setting for name, setting in recipe.as_mapping().items() if name in _OF_PLACES}


def fixed_vectors(
    bank: VectorBank,
    value: str,
    *,
    estimator: str | None = None,
    blocks: Sequence[int] | None = None,
    scale: Scale = "recipe",
) -> dict[int, torch.Tensor]:
    """What to add after each block to steer toward a value at coefficient 1; see the module.

    Args:
        bank: the fitted directions.
        value: slug.
        estimator: the bank's entry to take; the recipe's by default.
        blocks: all of these; by default those at which the recipe steers toward this value.
        scale: `recipe`, or a factor on the fitted vectors.

    Returns:
        Block number → float32 [H], ascending.

    Raises:
        InputError: an unknown value, estimator or block; a calibrated recipe with an estimator that
            has no probability; a value that no block of the recipe separates.
        NumericalError: a vector that is not finite, as that of a probe that learned nothing.
    """
    recipe = replace(bank.recipe, estimator=estimator or bank.recipe.estimator, gate=None)
    if blocks is not None:
        recipe = replace(recipe, blocks=tuple(blocks), best=None, minimal_quality=0.0)
    if scale != "recipe":
        recipe = replace(recipe, magnitude="coefficient", amount=scale, amounts={}, table=None, cap=None)
    if recipe.magnitude == "calibrated" and bank.entry(recipe.estimator).directions.bias is None:
        raise InputError(
            "scale", f"cannot follow the recipe: {recipe.estimator} has no probability to calibrate.", "Give a number."
        )
    vectors = {block: _fixed_shift(shift) for block, shift in bank.plan([value], recipe).blocks.items()}
    if not vectors:
        raise InputError(
            "value", f"{value}: no block of the recipe separates it well enough.", "Name the blocks to write."
        )
    for block, vector in vectors.items():
        if not torch.isfinite(vector).all():
            raise NumericalError(
                f"The vector toward {value} at block {block} is not finite; leave the block out, or fit the bank anew."
            )
    return dict(sorted(vectors.items()))


def _fixed_shift(shift: BlockShift) -> torch.Tensor:
    """The shift [H] that the single steer of a plan adds at a block, to an undecided prompt if calibrated."""
    undecided = shift.logit / shift.weight_norm
    undecided = torch.where(shift.both_ways, undecided, undecided.clamp_min(0.0))
    amount = torch.where(shift.calibrated, undecided, shift.amount)
    amount = capped(amount, shift.direction.norm(dim=-1), shift.longest)
    vector: torch.Tensor = (amount[:, None] * shift.direction)[0]
    return vector.to("cpu", torch.float32).contiguous()
