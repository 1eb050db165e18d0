"""The tables from which the rows of a batch gather their shifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vispa.once import once_property
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

    @once_property
    def measures(self) -> bool:
        """Whether the amount of any steer is calibrated; a GPU is asked once, as it stops for an answer."""
        return bool(self.calibrated.any())

    @once_property
    def is_gated(self) -> bool:
        """Whether any steer has a gate."""
        return bool(torch.isfinite(self.gate_logit).any())


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
        return not any(spec.measures or spec.is_gated for spec in self.blocks.values())

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The positions that each steer shifts."""
        return tuple(recipe.scope for _, recipe in self.keys)

    @once_property
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
        return frozenset(block for block, used in self._used.items() if any(used[key] for key in keys))

    @once_property
    def _used(self) -> dict[int, list[bool]]:
        """Of every block, whether each steer shifts there: on a GPU, asking for one of them waits for all its work."""
        return {block: spec.used.tolist() for block, spec in self.blocks.items()}
