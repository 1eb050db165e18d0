"""The shifts of rows that write: measured when their prompts were read, added until they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch.nn.functional import pad

#: Shifts of B rows at one block, [B, 1, H] each, by the share that a generated token leaves of them to the next.
Fading = Mapping[float, torch.Tensor]


def faded(shifts: Fading, ages: torch.Tensor) -> torch.Tensor:
    """What is added at generated tokens: the sum of the shifts, each as far as it is left.

    Args:
        shifts: of B rows.
        ages: how many tokens have been generated up to each, itself included; [B, T], or [1, T] for all rows alike.

    Returns:
        [B, T, H], or [B, 1, H] where nothing fades.
    """
    parts = (
        shift if remains == 1 else shift * (remains ** ages.to(shift.device)[..., None]).to(shift.dtype)
        for remains, shift in shifts.items()
    )
    return reduce(torch.add, parts)


class CarriedShifts:
    """What is added to the residual stream of B rows at every token that they generate.

    Args:
        rows: B.
        shifts: block number → shifts of the rows; blocks that are not named stay as they are.
    """

    def __init__(self, rows: int, shifts: Mapping[int, Fading]) -> None:
        self._ages = torch.zeros(rows, 1)
        self._shifts = {block: dict(one) for block, one in shifts.items()}
        # What each row came with, as the shifts themselves may be far away: asking them would wait for the device.
        self._came = [frozenset((block, remains) for block, one in shifts.items() for remains in one)] * rows

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks at which any row is shifted."""
        return tuple(self._shifts)

    def advance(self) -> None:
        """Every row has one token more; before each pass."""
        self._ages += 1

    def apply(self, block: int, hidden: torch.Tensor) -> torch.Tensor:
        """Shift the output [B, 1, H] of a block."""
        return hidden + faded(self._shifts[block], self._ages)

    def keep(self, order: Sequence[int]) -> None:
        """Go on with these rows, in this order; what only others came with goes with them."""
        rows = torch.tensor(order)
        self._ages = self._ages[rows]
        self._came = [self._came[row] for row in order]
        # Every step adds up all that is carried: what nobody needs would slow down the others for good.
        needed = frozenset[tuple[int, float]]().union(*self._came)
        kept: dict[int, dict[float, torch.Tensor]] = {}
        for block, shifts in self._shifts.items():
            for remains, shift in shifts.items():
                if (block, remains) in needed:
                    kept.setdefault(block, {})[remains] = shift[rows.to(shift.device)]
        self._shifts = kept

    def join(self, other: CarriedShifts) -> None:
        """Put the rows of another batch after these."""
        own, added = len(self._ages), len(other._ages)
        for block in {**self._shifts, **other._shifts}:
            ours, theirs = self._shifts.setdefault(block, {}), other._shifts.get(block, {})
            for remains in {**ours, **theirs}:
                # Rows of zeros where only one of the two is shifted so.
                if remains not in ours:
                    ours[remains] = pad(theirs[remains], (0, 0, 0, 0, own, 0))
                    continue
                ours[remains] = pad(ours[remains], (0, 0, 0, 0, 0, added))
                if remains in theirs:
                    ours[remains][own:] = theirs[remains].to(ours[remains].device)
        self._ages = torch.cat([self._ages, other._ages])
        self._came += other._came
