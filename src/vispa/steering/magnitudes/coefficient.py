"""Multiples of the fitted direction."""

from __future__ import annotations

from vispa.steering.magnitudes.base import MULTIPLES, Spot


class Coefficient:
    """The amount is a factor on the direction as it was fitted (CAA, arXiv 2312.06681)."""

    steps, absolute = MULTIPLES, False
    measured = False

    def check(self, amount: float) -> None:
        """See `MagnitudeRule.check`; every factor can be."""

    def multiples(self, spot: Spot, amount: float) -> float:
        """See `MagnitudeRule.multiples`."""
        return amount
