"""What a magnitude rule is: how far a recipe's amount shifts along a direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Spot:
    """A value's direction at one block, as far as its magnitude depends on it.

    Attributes:
        estimator: that made the direction.
        length: of the direction.
        residual_norm: typical length of the residual stream after the block.
        bias: of the probe's logit, or None for an estimator without a probability.
        weight_norm: ‖w‖ of the probe, or None.
    """

    estimator: str
    length: float
    residual_norm: float
    bias: float | None
    weight_norm: float | None


@dataclass(frozen=True)
class Probe:
    """What measures an amount on each prompt: ε = (logit - bias) / weight_norm - projection."""

    logit: float
    bias: float
    weight_norm: float


class MagnitudeRule(Protocol):
    """How a recipe's amount becomes a shift.

    Attributes:
        steps: what a dose-response varies: amounts where `absolute`, else multiples of the recipe's.
        absolute: whether its steps are amounts.
        measured: whether the bank has to say which fraction of the residual norm an amount takes for each value.
    """

    @property
    def steps(self) -> tuple[float, ...]:
        """See the class."""
        ...

    @property
    def absolute(self) -> bool:
        """See the class."""
        ...

    @property
    def measured(self) -> bool:
        """See the class."""
        ...

    def check(self, amount: float) -> None:
        """Refuse an amount that cannot be.

        Raises:
            InputError: names the field `amount`.
        """
        ...

    def multiples(self, spot: Spot, amount: float) -> float | Probe:
        """How many times the direction is added; or the probe that measures it on each prompt.

        Args:
            spot: where.
            amount: the recipe's, or the fraction in its place where the rule is `measured`.

        Raises:
            InputError: the direction lacks what the rule needs.
        """
        ...


#: Multiples of a recipe's amount that a dose-response tries.
MULTIPLES = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
