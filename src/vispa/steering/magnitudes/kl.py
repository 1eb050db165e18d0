"""As far as next-token distributions are to move."""

from __future__ import annotations

from vispa.errors import InputError
from vispa.steering.magnitudes.residual import Residual


class KullbackLeibler(Residual):
    """The amount is a target divergence in nats, so that strong and weak directions come out equally strong.

    Meant is KL(steered ‖ unsteered) of the next token, at the worst 5 % of a continuation's first tokens. Which
    fraction of the residual norm reaches it is measured for each value (`vispa.generation.strengths`) and kept in
    the bank; that fraction is what `multiples` is given.
    """

    measured = True

    def check(self, amount: float) -> None:
        """See `MagnitudeRule.check`."""
        if not amount > 0:
            raise InputError("amount", f"is {amount}.", "A target divergence is above 0 nats, such as 1.0.")
