"""Adding shifts to the residual stream while a model runs, every row its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from vispa.errors import NumericalError
from vispa.models.loading import LoadedModel
from vispa.steering.activations import hooks_on
from vispa.steering.calibration import minimal_shift


@dataclass(frozen=True)
class BlockShift:
    """What happens after one block, for the V distinct values of a batch.

    With `weight_norm`, `bias` and `logit` (each [V]) the amount is calibrated on every row's
    last prompt token; without them it is `amount`.

    Attributes:
        direction: [V, H] float32; unit length where the amount is calibrated.
        amount: [V] multiples of the direction to add.
    """

    direction: torch.Tensor
    amount: torch.Tensor | None = None
    weight_norm: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    logit: torch.Tensor | None = None


@dataclass(frozen=True)
class SteeringPlan:
    """Shifts of the values of a batch, by block number.

    Attributes:
        values: slugs of the V values, in the order of the tensors' first axis.
        blocks: block number → shift; blocks that are not named stay as they are.
    """

    values: tuple[str, ...]
    blocks: dict[int, BlockShift]


@dataclass
class ActiveSteering:
    """The shifts of the rows now in the batch.

    Attributes:
        rows: [B] index into the plan's values; V for a row that is not steered.
        shifts: block number → [B, 1, H] in the model's dtype, known after the prompt's pass.
        amounts: block number → [B] float32, the length of the shift along the direction.
    """

    plan: SteeringPlan
    rows: torch.Tensor
    shifts: dict[int, torch.Tensor] = field(default_factory=dict)
    amounts: dict[int, torch.Tensor] = field(default_factory=dict)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows of the batch only, `rows` being their positions in it."""
        self.rows = self.rows[rows]
        self.shifts = {block: shift[rows] for block, shift in self.shifts.items()}

    def apply(self, block: int, hidden: torch.Tensor) -> torch.Tensor | None:
        """Shift the output [B, T, H] of a block; the first pass sees the whole prompt."""
        spec = self.plan.blocks.get(block)
        if spec is None:
            return None
        if block not in self.shifts:
            self.shifts[block] = self._measure(block, spec, hidden)
        return hidden + self.shifts[block]

    def _measure(self, block: int, spec: BlockShift, hidden: torch.Tensor) -> torch.Tensor:
        # Score and shift in float32; only the sum is in the model's dtype.
        device = hidden.device
        rows = self.rows.to(device)
        direction = _gather(spec.direction, rows)
        if spec.amount is not None:
            amount = _gather(spec.amount, rows)
        else:
            assert spec.weight_norm is not None and spec.bias is not None and spec.logit is not None
            amount = minimal_shift(
                hidden[:, -1].float(),
                direction,
                _gather(spec.weight_norm, rows, fill=1.0),
                _gather(spec.bias, rows),
                _gather(spec.logit, rows, fill=-torch.inf),
            )
        shift = amount[:, None] * direction
        finite = torch.isfinite(shift).all(-1)
        if not finite.all():
            row = int((~finite).nonzero()[0])
            value = self.plan.values[int(self.rows[row])]
            raise NumericalError(
                f"The shift of row {row} toward {value} after block {block} is not finite; "
                "fit the bank anew, or load the model in float32 or bfloat16."
            )
        self.amounts[block] = (amount * direction.norm(dim=-1)).cpu()
        return shift.to(hidden.dtype)[:, None, :]


def _gather(table: torch.Tensor, rows: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """Rows of a [V, …] table; index V gives `fill`, for rows that are not steered."""
    table = table.to(rows.device)
    padded = torch.cat([table, table.new_full((1, *table.shape[1:]), fill)])
    return padded[rows]


@contextmanager
def steering(loaded: LoadedModel, plan: SteeringPlan, values: Sequence[str | None]) -> Iterator[ActiveSteering]:
    """Steer a batch, row i toward `values[i]` (None: not at all), while the context lasts.

    The first forward pass inside the context must be over the prompts, padded on the left, so
    that the last position is every prompt's last token. It measures and applies the shifts of
    all blocks at once: the ε of a block depends only on what lower blocks did in the same pass.
    The shifts are then added at every position until the context ends, and the model is left
    as it was, also after an exception.

    Example:
        >>> with steering(loaded, plan, ["karma", None]) as active:
        ...     loaded.model(**two_prompts)
    """
    number = {slug: index for index, slug in enumerate(plan.values)}
    rows = torch.tensor([len(number) if value is None else number[value] for value in values])
    active = ActiveSteering(plan, rows)
    with hooks_on(loaded.blocks, active.apply):
        yield active
