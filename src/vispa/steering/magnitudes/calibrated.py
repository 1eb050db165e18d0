"""Up to a probe's target confidence, for each prompt."""

from __future__ import annotations

import math

from vispa.errors import InputError
from vispa.steering.magnitudes.base import Probe, Spot


class Calibrated:
    """The amount is a target confidence; each prompt is shifted as far as its probe needs (ConVA, arXiv 2507.11316)."""

    steps, absolute = (0.5, 0.75, 0.9, 0.99, 0.999, 0.9999), True
    measured = False

    def check(self, amount: float) -> None:
        """See `MagnitudeRule.check`."""
        if not 0 < amount < 1:
            raise InputError("amount", f"is {amount}.", "A target confidence lies between 0 and 1, such as 0.9.")

    def multiples(self, spot: Spot, amount: float) -> Probe:
        """See `MagnitudeRule.multiples`."""
        if spot.bias is None or spot.weight_norm is None:
            raise InputError(
                "magnitude", f"{spot.estimator} has no probability to calibrate.", "Use coefficient or residual."
            )
        return Probe(target_logit(amount), spot.bias, spot.weight_norm)


def target_logit(target: float) -> float:
    """s0 = ln(P0 / (1 - P0)).

    Raises:
        InputError: the target is not strictly between 0 and 1.
    """
    if not 0 < target < 1:
        raise InputError("target", f"is {target}.", "Give a confidence strictly between 0 and 1, such as 0.9.")
    return math.log(target / (1 - target))
