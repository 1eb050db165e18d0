"""From a bank and recipes to the tables that rows gather from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from vispa.errors import InputError
from vispa.steering.calibration import target_logit
from vispa.steering.estimators import Directions
from vispa.steering.plan import BlockShift, SteeringPlan
from vispa.steering.recipe import Recipe

if TYPE_CHECKING:
    from vispa.steering.bank import VectorBank

Key = tuple[str, Recipe]


def build_plan(bank: VectorBank, keys: Sequence[Key], default: Recipe) -> SteeringPlan:
    """The plan of the distinct steers of a batch; see `VectorBank.plan`."""
    count = len(bank.residual_norm)
    asked = [recipe.chosen_blocks(count) for _, recipe in keys]
    used = [steered_blocks(bank, key) for key in keys]
    left_out = tuple(tuple(sorted(set(a) - set(u))) for a, u in zip(asked, used, strict=True))
    numbers = sorted({block for blocks in used for block in blocks})
    blocks = {block: _block_shift(bank, keys, used, block) for block in numbers}
    return SteeringPlan(tuple(keys), blocks, left_out, default)


def steered_blocks(bank: VectorBank, key: Key) -> tuple[int, ...]:
    """The blocks of a recipe at which a value has a direction that separates, or the best few of them.

    Raises:
        InputError: an estimator, block or value that is not in the bank.
    """
    value, recipe = key
    entry, row = bank.entry(recipe.estimator), bank.row(value)
    quality = entry.directions.quality[row]
    # Imported vectors are zero at the blocks and values that the file did not have.
    there = entry.directions.vectors[row].any(-1) | (not entry.imported)
    blocks = recipe.chosen_blocks(len(bank.residual_norm))
    kept = [block for block in blocks if bool(there[block]) and float(quality[block]) >= recipe.minimal_quality]
    if recipe.best is not None:
        kept = sorted(kept, key=lambda block: -float(quality[block]))[: recipe.best]
    return tuple(sorted(kept))


def check_steers(bank: VectorBank, recipe: Recipe) -> None:
    """Refuse a recipe that steers toward no value of a bank: each value's comment would be the same.

    Raises:
        InputError: names the recipe's field; or an estimator or block that is not in the bank.
    """
    recipe.check_steers()
    if not any(steered_blocks(bank, (value, recipe)) for value in bank.info.values):
        blocks = list(recipe.chosen_blocks(len(bank.residual_norm)))
        best = float(bank.entry(recipe.estimator).directions.quality[:, blocks].max())
        raise InputError(
            "minimal_quality",
            f"is {recipe.minimal_quality}, but no direction of {recipe.estimator} at the recipe's blocks is better "
            f"than {best:.2f}: nothing would be steered.",
            "Lower it, or name other blocks or another estimator.",
        )


def _block_shift(bank: VectorBank, keys: Sequence[Key], used: Sequence[tuple[int, ...]], block: int) -> BlockShift:
    norm = float(bank.residual_norm[block])
    columns: dict[str, list[torch.Tensor | float | bool]] = {name: [] for name in BlockShift.__annotations__}
    for (value, recipe), blocks in zip(keys, used, strict=True):
        directions, row = bank.entry(recipe.estimator).directions, bank.row(value)
        direction = directions.vectors[row, block]
        probe = _probe(directions, row, block, recipe)
        gate = _gate(bank, row, block, recipe) if block == min(blocks, default=-1) else None
        columns["direction"].append(direction)
        columns["used"].append(block in blocks)
        columns["amount"].append(_amount(recipe, value, norm, float(direction.norm())))
        columns["calibrated"].append(recipe.magnitude == "calibrated")
        columns["both_ways"].append(recipe.both_ways)
        columns["weight_norm"].append(probe[0])
        columns["bias"].append(probe[1])
        columns["logit"].append(target_logit(recipe.amount_for(value)) if recipe.magnitude == "calibrated" else 0.0)
        columns["longest"].append(math.inf if recipe.cap is None else recipe.cap * norm)
        columns["gate_logit"].append(math.inf if gate is None or recipe.gate is None else target_logit(recipe.gate))
        columns["gate_direction"].append(torch.zeros_like(direction) if gate is None else gate[0])
        columns["gate_weight_norm"].append(1.0 if gate is None else gate[1])
        columns["gate_bias"].append(0.0 if gate is None else gate[2])
    return BlockShift(**{name: _column(cells) for name, cells in columns.items()})


def _column(cells: Sequence[torch.Tensor | float | bool]) -> torch.Tensor:
    vectors = [cell for cell in cells if isinstance(cell, torch.Tensor)]
    return torch.stack(vectors) if vectors else torch.tensor(cells)


def _amount(recipe: Recipe, value: str, residual_norm: float, length: float) -> float:
    amount = recipe.amount_for(value)
    return amount * residual_norm / max(length, 1e-30) if recipe.magnitude == "residual" else amount


def _probe(directions: Directions, row: int, block: int, recipe: Recipe) -> tuple[float, float]:
    """‖w‖ and b of the probe that calibrates, or (1, 0) where none does."""
    if recipe.magnitude != "calibrated":
        return 1.0, 0.0
    if directions.bias is None or directions.weight_norm is None:
        raise InputError(
            "magnitude", f"{recipe.estimator} has no probability to calibrate.", "Use coefficient or residual."
        )
    return float(directions.weight_norm[row, block]), float(directions.bias[row, block])


def _gate(bank: VectorBank, row: int, block: int, recipe: Recipe) -> tuple[torch.Tensor, float, float] | None:
    """Direction, ‖w‖ and b of the probe that tells whether the value is expressed already."""
    if recipe.gate is None:
        return None
    probes = [bank.entries[name].directions for name in (recipe.estimator, "probe") if name in bank.entries]
    for directions in probes:
        if directions.bias is not None and directions.weight_norm is not None:
            found = directions.vectors[row, block], directions.weight_norm[row, block], directions.bias[row, block]
            return found[0], float(found[1]), float(found[2])
    raise InputError("gate", "needs a probe, and the bank has none.", "Fit the bank with the probe estimator.")
