"""The shifts of rows that write: measured when their prompts were read, added until they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.nn.functional import pad


class CarriedShifts:
    """What is added to the residual stream of B rows at every token that they generate.

    Args:
        rows: B.
        shifts: block number → [B, 1, H]; blocks that are not named stay as they are.
    """

    def __init__(self, rows: int, shifts: Mapping[int, torch.Tensor]) -> None:
        self._rows, self._shifts = rows, dict(shifts)

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks at which any row is shifted."""
        return tuple(self._shifts)

    def apply(self, block: int, hidden: torch.Tensor) -> torch.Tensor:
        """Shift the output [B, 1, H] of a block."""
        return hidden + self._shifts[block]

    def keep(self, order: Sequence[int]) -> None:
        """Go on with these rows, in this order."""
        rows = torch.tensor(order)
        self._rows = len(order)
        self._shifts = {block: shift[rows.to(shift.device)] for block, shift in self._shifts.items()}

    def join(self, other: CarriedShifts) -> None:
        """Put the rows of another batch after these."""
        own, added = self._shifts, other._shifts
        # Padded with rows of zeros where only one of the two is shifted.
        own = {block: pad(shift, (0, 0, 0, 0, 0, other._rows)) for block, shift in own.items()}
        for block, shift in added.items():
            if block in own:
                own[block][self._rows :] = shift.to(own[block].device)
            else:
                own[block] = pad(shift, (0, 0, 0, 0, self._rows, 0))
        self._rows, self._shifts = self._rows + other._rows, own
