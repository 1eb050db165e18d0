"""The steers that requests have named so far, as one plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from threading import Lock

import torch

from vispa.steering.bank import VectorBank
from vispa.steering.calibration import capped
from vispa.steering.intervention import active_steering
from vispa.steering.plan import BlockShift, SteeringPlan
from vispa.steering.recipe import Recipe, Steer

# Beyond so many the plan begins anew with those that are asked for.
_MOST = 512


@dataclass(frozen=True)
class Unit:
    """One steer of weight 1 that depends on no prompt: of other weights the numbers follow at once, for all blocks.

    Attributes:
        blocks: at which it shifts, N.
        amount: [N] multiples of the directions.
        length: [N] of the directions.
        peak: [N] largest number in the directions.
    """

    blocks: tuple[int, ...]
    amount: torch.Tensor
    length: torch.Tensor
    peak: torch.Tensor

    def amounts(self, weight: float, dtype: torch.dtype) -> dict[int, float] | None:
        """Block number → length of the shift, as `ActiveSteering` has it; None where one is not finite in the type."""
        amount = self.amount * torch.tensor(weight, dtype=torch.float32)
        # Rounding keeps the order: where the largest number is finite, all are.
        if not bool((amount * self.peak).to(dtype).isfinite().all()):
            return None
        return dict(zip(self.blocks, (amount * self.length).tolist(), strict=True))


class Vocabulary:
    """A plan that grows with what is asked for, so that a name that was seen before costs nothing; for any threads.

    Args:
        bank: of the model.
        default: recipe of steers that name none.
        device: where the plan's tensors go.
    """

    def __init__(self, bank: VectorBank, default: Recipe, device: torch.device | None = None) -> None:
        self.bank, self.default, self._device = bank, default, device or torch.device("cpu")
        self._known: dict[tuple[str, Recipe], None] = {}
        self._plan = SteeringPlan.empty()
        self._lock = Lock()
        self._amounts = lru_cache(maxsize=4096)(self._fixed_amounts)
        self._acting = lru_cache(maxsize=4096)(self._acts)
        self._fixed = lru_cache(maxsize=4096)(self._is_fixed)
        self._units = lru_cache(maxsize=4096)(self._unit)

    def plan(self, steers: Iterable[Steer]) -> SteeringPlan:
        """A plan that covers these steers, and perhaps others.

        Raises:
            InputError: an estimator, block or value that is not in the bank.
        """
        wanted = dict.fromkeys((steer.value, steer.recipe or self.default) for steer in steers)
        with self._lock:
            if not wanted.keys() <= self._known.keys():
                known = wanted if len(self._known) + len(wanted) > _MOST else self._known | wanted
                plan = self.bank.plan([Steer(value, recipe=recipe) for value, recipe in known], self.default)
                blocks = {block: _on(self._device, spec) for block, spec in plan.blocks.items()}
                self._known, self._plan = known, replace(plan, blocks=blocks)
            return self._plan

    def is_fixed(self, steers: Sequence[Steer]) -> bool:
        """Whether no shift of these steers depends on what a prompt's last token is.

        Raises:
            InputError: as in `plan`.
        """
        return all(self._fixed(steer.value, steer.recipe or self.default) for steer in steers)

    def _is_fixed(self, value: str, recipe: Recipe) -> bool:
        plan = self.plan([Steer(value, recipe=recipe)])
        key = plan.keys.index((value, recipe))
        return not any(spec.calibrated[key] or spec.gate_logit[key].isfinite() for spec in plan.blocks.values())

    def acts(self, steer: Steer) -> bool:
        """Whether a steer, with a weight that is not 0, shifts any prompt at any block.

        Raises:
            InputError: as in `plan`.
        """
        return self._acting(steer.value, steer.recipe or self.default)

    def _acts(self, value: str, recipe: Recipe) -> bool:
        steers = [Steer(value, recipe=recipe)]
        if not self.plan(steers).steered_blocks(steers):
            return False
        return not self.is_fixed(steers) or any(self.fixed_amounts(steers, orthogonal=False).values())

    def fixed_amounts(
        self, steers: Sequence[Steer], orthogonal: bool, dtype: torch.dtype = torch.float32
    ) -> dict[int, float]:
        """Block number → length of shifts that depend on no prompt; see `ActiveSteering.amounts`.

        Args:
            steers: of a request.
            orthogonal: as of a row.
            dtype: in which they must be finite.

        Raises:
            NumericalError: one is not.
        """
        return dict(self._amounts(tuple(steers), orthogonal, dtype))

    def _fixed_amounts(self, steers: tuple[Steer, ...], orthogonal: bool, dtype: torch.dtype) -> dict[int, float]:
        if len(steers) == 1:
            found = self._units(steers[0].value, steers[0].recipe or self.default).amounts(steers[0].weight, dtype)
            if found is not None:
                return found
        plan = self.plan(steers)
        active = active_steering(plan, [steers], [orthogonal], [(0, 0, 0)])
        nowhere = torch.zeros(1, 1, self.bank.width or 0, dtype=dtype, device=self._device)
        for block in sorted(plan.steered_blocks(steers)):
            active.measured(block, plan.blocks[block], nowhere)
        return {block: float(amount) for block, amount in active.amounts.items()}

    def _unit(self, value: str, recipe: Recipe) -> Unit:
        plan = self.plan([Steer(value, recipe=recipe)])
        key, blocks = plan.keys.index((value, recipe)), sorted(plan.steered_blocks([Steer(value, recipe=recipe)]))
        specs = [plan.blocks[block] for block in blocks]
        direction = torch.stack([spec.direction[key] for spec in specs]) if specs else torch.zeros(0, 1)
        amount = torch.tensor([float(spec.amount[key]) for spec in specs])
        longest = torch.tensor([float(spec.longest[key]) for spec in specs])
        length = direction.norm(dim=-1).cpu()
        return Unit(tuple(blocks), capped(amount, length, longest), length, direction.abs().amax(-1).cpu())


def _on(device: torch.device, spec: BlockShift) -> BlockShift:
    return BlockShift(**{field.name: getattr(spec, field.name).to(device) for field in fields(spec)})
