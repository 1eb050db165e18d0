"""How much of prompts one pass reads, so that whoever waits meanwhile waits a short time, on fast and slow machines."""

from __future__ import annotations

import math
from dataclasses import replace

from vispa.models.batching import Budget

#: Seconds that a pass over prompts should take at most.
PASS_SECONDS = 0.25
# Fewer tokens a pass take nearly as long.
_LEAST_TOKENS = 128
# What the last pass counts against all before it.
_LAST = 0.3


class Pace:
    """What passes took so far, and what the next may hold; a first one may hold all that its budget does.

    Args:
        budget: that passes keep to, however fast they are.
        seconds: that a pass should take at most; infinite where only the budget counts.
    """

    def __init__(self, budget: Budget, seconds: float = PASS_SECONDS) -> None:
        self._budget, self._seconds = budget, seconds
        self._seconds_a_token: float | None = None

    @property
    def budget(self) -> Budget:
        """Of the next pass."""
        if self._seconds_a_token is None:
            return self._budget
        tokens = max(_LEAST_TOKENS, self._seconds / max(self._seconds_a_token, 1e-9))
        most = self._budget.tokens
        return self._budget if tokens >= (most or math.inf) else replace(self._budget, tokens=int(tokens))

    def took(self, tokens: int, seconds: float) -> None:
        """A pass is done.

        Args:
            tokens: as the budget counts them.
            seconds: what it took.
        """
        # Not tokens a second, of which one pass that failed at once would have no end of.
        now, before = seconds / tokens, self._seconds_a_token
        self._seconds_a_token = now if before is None else before + _LAST * (now - before)
