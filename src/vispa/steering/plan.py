"""The tables from which the rows of a batch gather their shifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vispa.steering.recipe import Recipe, Scope, Steer


@dataclass(frozen=True)
class BlockShift:
    """What happens after one block, for the K distinct steers of a batch.

    Where `calibrated`, the amount is measured on every row's last prompt token with the probe
    (`weight_norm`, `bias`, `logit`) and `amount` is not used.

    Attributes:
        direction: [K, H] float32; unit length where the amount is calibrated.
        used: [K] bool; a steer that leaves this block out does nothing here.
        amount: [K] multiples of the direction to add.
        calibrated: [K] bool.
        both_ways: [K] bool; whether a calibrated amount may be negative.
        weight_norm: [K] ‖w‖ of the probe.
        bias: [K] of the probe's logit.
        logit: [K] of the target confidence.
        longest: [K] longest shift, infinite where there is no cap.
        gate_logit: [K] probe's logit from which on the row is left alone, infinite for no gate.
        gate_direction: [K, H] unit direction of the probe that the gate reads.
        gate_weight_norm: [K].
        gate_bias: [K].
    """

    direction: torch.Tensor
    used: torch.Tensor
    amount: torch.Tensor
    calibrated: torch.Tensor
    both_ways: torch.Tensor
    weight_norm: torch.Tensor
    bias: torch.Tensor
    logit: torch.Tensor
    longest: torch.Tensor
    gate_logit: torch.Tensor
    gate_direction: torch.Tensor
    gate_weight_norm: torch.Tensor
    gate_bias: torch.Tensor


@dataclass(frozen=True)
class SteeringPlan:
    """Shifts of the steers of a batch, by block number.

    Attributes:
        keys: value and recipe of each of the K steers, in the order of the tensors' first axis.
        blocks: block number → shift; blocks that are not named stay as they are.
        left_out: for each steer the blocks of its recipe that do not separate its value.
        default: the recipe of steers that name none.
    """

    keys: tuple[tuple[str, Recipe], ...]
    blocks: dict[int, BlockShift]
    left_out: tuple[tuple[int, ...], ...]
    default: Recipe

    @classmethod
    def empty(cls) -> SteeringPlan:
        """A plan that steers nothing."""
        return cls((), {}, (), Recipe())

    def left_out_of(self, steers: Sequence[Steer]) -> tuple[int, ...]:
        """The blocks of a row's recipes that do not separate their values, rising."""
        found = dict(zip(self.keys, self.left_out, strict=True))
        return tuple(sorted({block for steer in steers for block in found[steer.value, steer.recipe or self.default]}))

    @property
    def is_fixed(self) -> bool:
        """Whether no shift depends on what the prompts' last tokens are."""
        specs = self.blocks.values()
        return not any(spec.calibrated.any() or torch.isfinite(spec.gate_logit).any() for spec in specs)

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The positions that each steer shifts."""
        return tuple(recipe.scope for _, recipe in self.keys)

    @property
    def subject_shares(self) -> torch.Tensor:
        """[K] factors on the shifts at the tokens of what prompts are about."""
        return torch.tensor([recipe.subject_share for _, recipe in self.keys])

    @property
    def remains(self) -> tuple[float, ...]:
        """For each steer see `Recipe.remains`."""
        return tuple(recipe.remains for _, recipe in self.keys)

    def steered_blocks(self, steers: Sequence[Steer]) -> frozenset[int]:
        """The blocks at which any of some steers shifts, or would for another prompt."""
        keys = [self.keys.index((steer.value, steer.recipe or self.default)) for steer in steers]
        return frozenset(block for block, spec in self.blocks.items() if any(spec.used[key] for key in keys))
