"""Adding shifts to the residual stream while a model runs, every row its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from vispa.errors import NumericalError
from vispa.models.encoding import Prompt
from vispa.models.loading import LoadedModel
from vispa.steering.activations import hooks_on
from vispa.steering.calibration import capped, signed_shift
from vispa.steering.carried import Fading, faded
from vispa.steering.plan import BlockShift, SteeringPlan
from vispa.steering.recipe import Steer


@dataclass
class Shifts:
    """What one block adds, in the model's dtype; each [B, 1, H], None where it is zero for all rows.

    The prompt's tokens of the subject get `subject` less than the prompt's others. `told` counts the generated tokens.
    """

    prompt: torch.Tensor | None
    subject: torch.Tensor | None
    prompt_end: torch.Tensor | None
    generated: Fading
    told: int = 0


@dataclass
class ActiveSteering:
    """The shifts of the B rows now in the batch, each with up to M steers.

    Attributes:
        rows: [B, M] index into the plan's steers; K where a row has fewer.
        weights: [B, M] factors on the shifts.
        orthogonal: [B] whether a row's later shifts lose what they share with its earlier ones.
        subjects: [B, 3] from which to which of its tokens a row's prompt writes its subject, and how many it has.
        apart: rows differ in more than their steers, so that no token is read for several of them at once.
        amounts: block number → [B] float32, the length of the shift along the direction
            (negative: against it; of several steers: the length of their sum), where the model computes.
    """

    plan: SteeringPlan
    rows: torch.Tensor
    weights: torch.Tensor
    orthogonal: torch.Tensor
    subjects: torch.Tensor
    apart: bool = False
    amounts: dict[int, torch.Tensor] = field(default_factory=dict)
    _placed: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    _chosen: dict[tuple[torch.device, tuple[bool, ...]], torch.Tensor | None] = field(default_factory=dict)
    _shifts: dict[int, Shifts] = field(default_factory=dict)
    _closed: torch.Tensor | None = None
    _beginning: ActiveSteering | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether no shift depends on what the prompts' last tokens are."""
        return self.plan.is_fixed

    @contextmanager
    def beginning(self, rows: torch.Tensor) -> Iterator[None]:
        """Passes over beginnings of prompts, of these rows of the batch, while the context lasts; for fixed shifts.

        They are padded on the right: a token's place in the pass is its place in the prompt.
        """
        self._beginning = ActiveSteering(
            self.plan, self.rows[rows], self.weights[rows], self.orthogonal[rows], self.subjects[rows]
        )
        try:
            yield
        finally:
            self._beginning = None

    @property
    def generated(self) -> dict[int, Fading]:
        """Block number → shifts of what is generated, once the prompts have been read; without zeros."""
        return {block: one.generated for block, one in self._shifts.items() if one.generated}

    def apply(self, block: int, hidden: torch.Tensor) -> torch.Tensor | None:
        """Shift the output [B, T, H] of a block; the first pass sees the prompts' ends."""
        if self._beginning is not None:
            begun = self._beginning.measured(block, self.plan.blocks[block], hidden)
            return self._beginning._read(begun, hidden, torch.zeros_like(self._beginning.subjects[:, :1]))
        shifts = self._shifts.get(block)
        if shifts is not None:
            ages = shifts.told + 1 + torch.arange(hidden.shape[1])[None]
            shifts.told += hidden.shape[1]
            return hidden + faded(shifts.generated, ages) if shifts.generated else None
        shifts = self._shifts[block] = self.measured(block, self.plan.blocks[block], hidden)
        read = self._read(shifts, hidden, self.subjects[:, 2:] - hidden.shape[1])
        hidden = hidden if read is None else read
        if shifts.prompt_end is not None:
            hidden = torch.cat([hidden[:, :-1], hidden[:, -1:] + shifts.prompt_end], dim=1)
        # Only this pass sees the prompt.
        shifts.prompt = shifts.subject = shifts.prompt_end = None
        return hidden

    def _read(self, shifts: Shifts, hidden: torch.Tensor, first: torch.Tensor) -> torch.Tensor | None:
        """Prompts' states [B, T, H] with the shift; `first` [B, 1] is the place of the first one in its prompt."""
        if shifts.prompt is None:
            return None
        if shifts.subject is None:
            return hidden + shifts.prompt
        places = first + torch.arange(hidden.shape[1])
        inside = (places >= self.subjects[:, :1]) & (places < self.subjects[:, 1:2])
        return hidden + shifts.prompt - shifts.subject * inside[..., None].to(hidden.device, hidden.dtype)

    def leave_out(self, row: int) -> None:
        """A row is not steered any more."""
        self.rows[row] = len(self.plan.keys)
        self._placed, self._chosen = {}, {}

    def measured(self, block: int, spec: BlockShift, hidden: torch.Tensor) -> Shifts:
        """The shifts of a block of the plan.

        Args:
            block: its number; blocks come in rising order, as gates look at the first.
            spec: of the plan.
            hidden: [B, T, H] output of the block, of which the last tokens are measured.

        Raises:
            NumericalError: a last token or a shift is not finite.
        """
        # Score and shift in float32; only the sum is in the model's dtype.
        rows, weights = self._there(hidden.device)
        last = hidden[:, -1].float()
        known = torch.isfinite(last).all(-1)[:, None]
        direction = _gather(spec.direction, rows)
        amount = _gather(spec.amount, rows)
        if spec.measures:
            measured = signed_shift(
                last, direction, *(_gather(part, rows, 1.0) for part in (spec.weight_norm, spec.bias, spec.logit))
            )
            upward = torch.where(_gather(spec.both_ways, rows), measured, measured.clamp_min(0.0))
            amount = torch.where(_gather(spec.calibrated, rows), upward, amount)
        length = direction.norm(dim=-1)
        amount = capped(amount, length, _gather(spec.longest, rows, torch.inf))
        used = _gather(spec.used, rows) & ~self._gate(spec, rows, last)
        amount = torch.where(used, amount, 0.0) * weights
        shift = amount[..., None] * direction
        each = torch.isfinite(shift.to(hidden.dtype)).all(-1)
        shift = self._orthogonalised(shift)
        total = shift.sum(1).norm(dim=-1)
        together = each
        if rows.shape[1] > 1:
            # Each may be finite, and not what they come to.
            together = (torch.isfinite(shift.sum(1).to(hidden.dtype)).all(-1) & torch.isfinite(total))[:, None]
        # At once: a GPU that is asked stops until it has answered.
        if not bool((known & each & together).all()):
            self._refuse(block, ("activation", known), ("shift", each), ("shift", together))
        self.amounts[block] = (amount * length)[:, 0] if rows.shape[1] == 1 else total
        less = shift * _gather(1.0 - self.plan.subject_shares, rows)[..., None] if self._spares else None
        return Shifts(
            self._scoped(shift, ("all", "prompt"), hidden.dtype),
            None if less is None else self._scoped(less, ("all", "prompt"), hidden.dtype),
            self._scoped(shift, ("last",), hidden.dtype),
            self._fading(shift, hidden.dtype),
        )

    def _there(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows and weights where the model computes, taken there once."""
        if device not in self._placed:
            self._placed[device] = self.rows.to(device), self.weights.to(device)
        return self._placed[device]

    @property
    def _spares(self) -> bool:
        """Whether subjects get less than other tokens."""
        return any(recipe.subject_share < 1 for _, recipe in self.plan.keys)

    def _gate(self, spec: BlockShift, rows: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """[B, M]: the steers whose value a row's prompt expresses already, from this block on."""
        if self._closed is None:
            self._closed = torch.zeros_like(rows, dtype=torch.bool)
        closed = self._closed.to(rows.device)
        if spec.is_gated:
            projection = torch.einsum("bh,bmh->bm", last, _gather(spec.gate_direction, rows))
            logit = projection * _gather(spec.gate_weight_norm, rows) + _gather(spec.gate_bias, rows)
            closed = self._closed = closed | (logit >= _gather(spec.gate_logit, rows, torch.inf))
        return closed

    def _orthogonalised(self, shift: torch.Tensor) -> torch.Tensor:
        """Gram–Schmidt over the steers [B, M, H] of the rows that ask for it."""
        if shift.shape[1] == 1 or not self.orthogonal.any():
            return shift
        kept = [shift[:, 0]]
        for later in shift.unbind(1)[1:]:
            rest = later
            for earlier in kept:
                square = earlier.square().sum(-1, keepdim=True)
                rest = rest - torch.where(square > 0, (rest * earlier).sum(-1, keepdim=True) / square, 0.0) * earlier
            kept.append(rest)
        return torch.where(self.orthogonal.to(shift.device)[:, None, None], torch.stack(kept, dim=1), shift)

    def _scoped(self, shift: torch.Tensor, scopes: tuple[str, ...], dtype: torch.dtype) -> torch.Tensor | None:
        """Sum [B, 1, H] of the steers with these scopes; None if there are none."""
        return self._summed(shift, [scope in scopes for scope in self.plan.scopes], dtype)

    def _fading(self, shift: torch.Tensor, dtype: torch.dtype) -> Fading:
        """What is added at generated tokens, the steers that fade alike together."""
        told = [
            remains if scope in ("all", "generated", "last") else None
            for scope, remains in zip(self.plan.scopes, self.plan.remains, strict=True)
        ]
        sums = {one: self._summed(shift, [remains == one for remains in told], dtype) for one in {*told} - {None}}
        return {one: found for one, found in sums.items() if one is not None and found is not None}

    def _summed(self, shift: torch.Tensor, steers: Sequence[bool], dtype: torch.dtype) -> torch.Tensor | None:
        """Sum [B, 1, H] of some of the plan's steers; None if no row has any."""
        # A model may be spread over several devices.
        key = shift.device, tuple(steers)
        if key not in self._chosen:
            of_rows = torch.tensor([*steers, False])[self.rows]
            self._chosen[key] = of_rows.to(shift.device) if of_rows.any() else None
        chosen = self._chosen[key]
        return None if chosen is None else (shift * chosen[..., None]).sum(1, keepdim=True).to(dtype)

    def _refuse(self, block: int, *checks: tuple[str, torch.Tensor]) -> None:
        what, told = next((what, finite) for what, finite in checks if not bool(finite.all()))
        row, place = (int(number) for number in (~told).nonzero()[0])
        key = int(self.rows[row, place])
        value = self.plan.keys[key][0] if key < len(self.plan.keys) else "no value"
        raise NumericalError(
            f"The {what} of row {row} (toward {value}) after block {block} is not finite; "
            "lower the magnitude, fit the bank anew, or load the model in float32 or bfloat16.",
            row,
        )


def _gather(table: torch.Tensor, rows: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """Rows [B, M, …] of a [K, …] table; index K gives `fill`, for rows that are not steered."""
    table = table.to(rows.device)
    padded = torch.cat([table, table.new_full((1, *table.shape[1:]), fill)])
    return padded[rows]


def active_steering(
    plan: SteeringPlan,
    steers: Sequence[Sequence[Steer]],
    orthogonal: Sequence[bool],
    subjects: Sequence[tuple[int, int, int]],
) -> ActiveSteering:
    """The steering of a batch of B rows that has not begun.

    Args:
        plan: covers them.
        steers: of each row.
        orthogonal: of each row.
        subjects: see `ActiveSteering`.
    """
    number = {key: index for index, key in enumerate(plan.keys)}
    most = max((len(row) for row in steers), default=0) or 1
    rows, weights = [[len(number)] * most for _ in steers], [[0.0] * most for _ in steers]
    for place, row in enumerate(steers):
        for column, steer in enumerate(row):
            rows[place][column] = number[steer.value, steer.recipe or plan.default]
            weights[place][column] = steer.weight
    return ActiveSteering(
        plan,
        torch.tensor(rows, dtype=torch.int64).reshape(-1, most),
        torch.tensor(weights, dtype=torch.float32).reshape(-1, most),
        torch.tensor(orthogonal),
        torch.tensor(subjects).reshape(-1, 3),
    )


@contextmanager
def steering(
    loaded: LoadedModel,
    plan: SteeringPlan,
    steers: Sequence[Sequence[Steer]],
    *,
    orthogonal: Sequence[bool] | None = None,
    prompts: Sequence[Prompt] | None = None,
) -> Iterator[ActiveSteering]:
    """Steer a batch, row i by `steers[i]` (none: not at all), while the context lasts.

    The first forward pass inside the context must be over the prompts, padded on the left, so
    that the last position is every prompt's last token; `ActiveSteering.beginning` may come before.
    It measures and applies the shifts of all blocks at once: the ε of a block depends only on what
    lower blocks did in the same pass. The shifts are then added until the context ends, and the
    model is left as it was, also after an exception. Other threads wait for it meanwhile; see
    `LoadedModel.passes`. Where `prompts` are given, what they are about may get less (`Recipe.subject_share`).

    Example:
        >>> with steering(loaded, plan, [[Steer("karma")], []]) as active:
        ...     loaded.model(**two_prompts)
    """
    subjects = [(*prompt.subject, len(prompt.ids)) for prompt in prompts or ()] or [(0, 0, 0)] * len(steers)
    active = active_steering(plan, steers, orthogonal or [False] * len(steers), subjects)
    with loaded.passes(), hooks_on(loaded.blocks, active.apply, tuple(plan.blocks) if any(steers) else ()):
        yield active
