"""A fraction of the residual norm."""

from __future__ import annotations

from vispa.steering.magnitudes.base import MULTIPLES, Spot


class Residual:
    """The amount is a fraction of the block's typical residual norm, whatever the direction's length."""

    steps, absolute = MULTIPLES, False
    measured = False

    def check(self, amount: float) -> None:
        """See `MagnitudeRule.check`; every fraction can be."""

    def multiples(self, spot: Spot, amount: float) -> float:
        """See `MagnitudeRule.multiples`."""
        return amount * spot.residual_norm / max(spot.length, 1e-30)
