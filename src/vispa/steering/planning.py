"""From a bank and recipes to the tables that rows gather from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from vispa.errors import InputError
from vispa.steering.bank_parts import BankInfo, Entry
from vispa.steering.magnitudes.base import Probe, Spot
from vispa.steering.magnitudes.calibrated import target_logit
from vispa.steering.plan import BlockShift, SteeringPlan
from vispa.steering.recipe import Recipe

Key = tuple[str, Recipe]


class Fitted(Protocol):
    """What planning needs of a bank; `VectorBank` has it."""

    @property
    def info(self) -> BankInfo:
        """Whose values they are."""
        ...

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Directions by estimator."""
        ...

    @property
    def residual_norm(self) -> torch.Tensor:
        """[L] typical length of the residual stream."""
        ...

    def entry(self, estimator: str) -> Entry:
        """See `VectorBank.entry`."""
        ...

    def row(self, value: str) -> int:
        """See `VectorBank.row`."""
        ...

    def amount(self, value: str, recipe: Recipe) -> float:
        """See `VectorBank.amount`."""
        ...


def build_plan(bank: Fitted, keys: Sequence[Key], default: Recipe) -> SteeringPlan:
    """The plan of the distinct steers of a batch; see `VectorBank.plan`."""
    count = len(bank.residual_norm)
    asked = [recipe.chosen_blocks(count) for _, recipe in keys]
    used = [steered_blocks(bank, key) for key in keys]
    left_out = tuple(tuple(sorted(set(a) - set(u))) for a, u in zip(asked, used, strict=True))
    numbers = sorted({block for blocks in used for block in blocks})
    blocks = {block: _block_shift(bank, keys, used, block) for block in numbers}
    return SteeringPlan(tuple(keys), blocks, left_out, default)


def steered_blocks(bank: Fitted, key: Key) -> tuple[int, ...]:
    """The blocks of a recipe at which a value has a direction that separates, or the best few of them.

    Raises:
        InputError: an estimator, block or value that is not in the bank.
    """
    value, recipe = key
    for name in recipe.amounts:
        if name not in bank.info.values:
            known = ", ".join(bank.info.values)
            raise InputError("amounts", f"{name!r} is not a value of the bank.", f"It has {known}.")
    entry, row = bank.entry(recipe.estimator), bank.row(value)
    quality = entry.directions.quality[row]
    # Zero where an imported file had none, and where nothing tells a value from others: there are none, or they have
    # the same sentences.
    there = entry.directions.vectors[row].any(-1)
    blocks = recipe.chosen_blocks(len(bank.residual_norm))
    kept = [block for block in blocks if bool(there[block]) and float(quality[block]) >= recipe.minimal_quality]
    if recipe.best is not None:
        kept = sorted(kept, key=lambda block: -float(quality[block]))[: recipe.best]
    return tuple(sorted(kept))


def has_amount(value: str, recipe: Recipe) -> bool:
    """Whether a recipe steers toward a value by more than nothing, as far as it says so itself."""
    return recipe.rule.measured or recipe.amount_for(value) != 0


def check_steers(bank: Fitted, recipe: Recipe) -> None:
    """Refuse a recipe that steers toward no value of a bank: each value's comment would be the same.

    Raises:
        InputError: names the recipe's field; an estimator or block that is not in the bank; or a rule of magnitude
            whose fractions are not measured.
    """
    recipe.check_steers()
    if not any(has_amount(value, recipe) for value in bank.info.values):
        problem = "are 0 for every value of the bank: nothing would be steered."
        raise InputError("amounts", problem, "Give one of them another number.")
    if not any(steered_blocks(bank, (value, recipe)) for value in bank.info.values):
        blocks = list(recipe.chosen_blocks(len(bank.residual_norm)))
        directions = bank.entry(recipe.estimator).directions
        if not directions.vectors[:, blocks].any():
            raise InputError(
                "estimator",
                f"{recipe.estimator} has no direction at the recipe's blocks: nothing would be steered.",
                "Name other blocks or another estimator. Where nothing tells the values apart, because there is one "
                "or they share their sentences, mean_difference and probe still tell a value from its opposite.",
            )
        best = float(directions.quality[:, blocks].max())
        raise InputError(
            "minimal_quality",
            f"is {recipe.minimal_quality}, but no direction of {recipe.estimator} at the recipe's blocks is better "
            f"than {best:.2f}: nothing would be steered.",
            "Lower it, or name other blocks or another estimator.",
        )
    for value in bank.info.values:
        bank.amount(value, recipe)


def _block_shift(bank: Fitted, keys: Sequence[Key], used: Sequence[tuple[int, ...]], block: int) -> BlockShift:
    norm = float(bank.residual_norm[block])
    columns: dict[str, list[torch.Tensor | float | bool]] = {name: [] for name in BlockShift.__annotations__}
    for (value, recipe), blocks in zip(keys, used, strict=True):
        directions, row = bank.entry(recipe.estimator).directions, bank.row(value)
        direction = directions.vectors[row, block]
        amount = recipe.rule.multiples(_spot(bank, (value, recipe), block), bank.amount(value, recipe))
        probe = amount if isinstance(amount, Probe) else Probe(0.0, 0.0, 1.0)
        gate = _gate(bank, row, block, recipe) if block == min(blocks, default=-1) else None
        columns["direction"].append(direction)
        columns["used"].append(block in blocks)
        columns["amount"].append(0.0 if isinstance(amount, Probe) else amount)
        columns["calibrated"].append(isinstance(amount, Probe))
        columns["both_ways"].append(recipe.both_ways)
        columns["weight_norm"].append(probe.weight_norm)
        columns["bias"].append(probe.bias)
        columns["logit"].append(probe.logit)
        columns["longest"].append(math.inf if recipe.cap is None else recipe.cap * norm)
        columns["gate_logit"].append(math.inf if gate is None or recipe.gate is None else target_logit(recipe.gate))
        columns["gate_direction"].append(torch.zeros_like(direction) if gate is None else gate[0])
        columns["gate_weight_norm"].append(1.0 if gate is None else gate[1])
        columns["gate_bias"].append(0.0 if gate is None else gate[2])
    return BlockShift(**{name: _column(cells) for name, cells in columns.items()})


def _column(cells: Sequence[torch.Tensor | float | bool]) -> torch.Tensor:
    vectors = [cell for cell in cells if isinstance(cell, torch.Tensor)]
    return torch.stack(vectors) if vectors else torch.tensor(cells)


def _spot(bank: Fitted, key: Key, block: int) -> Spot:
    value, recipe = key
    directions, row = bank.entry(recipe.estimator).directions, bank.row(value)
    return Spot(
        recipe.estimator,
        float(directions.vectors[row, block].norm()),
        float(bank.residual_norm[block]),
        None if directions.bias is None else float(directions.bias[row, block]),
        None if directions.weight_norm is None else float(directions.weight_norm[row, block]),
    )


def _gate(bank: Fitted, row: int, block: int, recipe: Recipe) -> tuple[torch.Tensor, float, float] | None:
    """Direction, ‖w‖ and b of the probe that tells whether the value is expressed already."""
    if recipe.gate is None:
        return None
    probes = [bank.entries[name].directions for name in (recipe.estimator, "probe") if name in bank.entries]
    for directions in probes:
        if directions.bias is not None and directions.weight_norm is not None:
            found = directions.vectors[row, block], directions.weight_norm[row, block], directions.bias[row, block]
            return found[0], float(found[1]), float(found[2])
    raise InputError("gate", "needs a probe, and the bank has none.", "Fit the bank with the probe estimator.")
