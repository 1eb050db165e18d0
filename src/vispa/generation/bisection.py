"""Where growing functions reach their targets, many searched side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Called with functions' places and an argument for each; gives their values.
Functions = Callable[[list[int], list[float]], Sequence[float]]

#: A search ends within this share of its target.
CLOSE = 0.05
#: A target counts as reached within this share of it.
REACHED = 0.1
# Most times that all functions are asked.
_MOST_ROUNDS = 10
# Divergences grow with the square of a small shift.
_EXPONENT = 2.0


@dataclass
class Search:
    """One function's search, in logarithms of argument and value.

    Attributes:
        target: value to reach.
        bounds: least and greatest argument.
        argument: to be tried next.
        best: logarithm of the nearest value's ratio to the target, and its argument.
        ended: there is nothing more to try.
    """

    target: float
    bounds: tuple[float, float]
    argument: float
    best: tuple[float, float] = (math.inf, math.nan)
    ended: bool = False
    _low: tuple[float, float] | None = None
    _high: tuple[float, float] | None = None
    _tries: int = 0

    def __post_init__(self) -> None:
        self.argument = self._within(self.argument)

    @property
    def reached(self) -> bool:
        """Whether the best argument's value is near the target."""
        return abs(self.best[0]) <= math.log1p(REACHED)

    def learn(self, value: float) -> None:
        """Take in the value at `argument`, and choose the next one."""
        place, ratio = math.log(self.argument), math.log(max(value, 1e-300) / self.target)
        self._tries += 1
        if abs(ratio) <= abs(self.best[0]):
            self.best = (ratio, self.argument)
        if ratio < 0:
            self._low = (place, ratio)
        else:
            self._high = (place, ratio)
        stuck = self.argument >= self.bounds[1] if ratio < 0 else self.argument <= self.bounds[0]
        self.ended = abs(ratio) <= math.log1p(CLOSE) or stuck
        if not self.ended:
            self.argument = self._within(math.exp(min(self._guess(place, ratio), 700.0)))

    def _within(self, argument: float) -> float:
        least, most = self.bounds
        # What is a bound but for rounding is the bound.
        if argument > most * (1 - 1e-9):
            return most
        return argument if argument > least * (1 + 1e-9) else least

    def _guess(self, place: float, ratio: float) -> float:
        if self._low is None or self._high is None:
            return place - ratio / _EXPONENT
        (left, under), (right, over) = self._low, self._high
        # Where the line through both ends meets the target, but well inside; now and then the middle, so that
        # a bent function does not let one end stand for ever.
        share = 0.5 if self._tries % 3 == 0 else min(max(-under / (over - under), 0.1), 0.9)
        return left + share * (right - left)


def searched(functions: Functions, searches: Sequence[Search], progress: Callable[[int], None] | None = None) -> None:
    """Bring searches to their ends, asking all functions that are not there yet at once.

    Args:
        functions: to be searched; they grow with their arguments.
        searches: one for each function.
        progress: called with the number of searches that just ended.
    """
    for _ in range(_MOST_ROUNDS):
        open_ones = [place for place, one in enumerate(searches) if not one.ended]
        if not open_ones:
            return
        values = functions(open_ones, [searches[place].argument for place in open_ones])
        for place, value in zip(open_ones, values, strict=True):
            searches[place].learn(float(value))
        if progress is not None:
            progress(sum(searches[place].ended for place in open_ones))
