"""Which values a recipe's directions tell apart, by what the bank holds: nothing is read and nothing generated."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache

from vispa.steering.bank import VectorBank
from vispa.steering.planning import steered_blocks
from vispa.steering.recipe import Recipe

_logger = logging.getLogger(__name__)

#: Share of held-out sentences that a value's directions must tell apart; guessing tells half.
LEAST_ACCURACY = 0.7
# How many values a warning names.
_NAMED = 5


@dataclass(frozen=True)
class Separation:
    """How well a recipe's directions tell each of V values apart.

    Attributes:
        accuracy: value → mean held-out accuracy of its directions at the blocks where it is steered; 0 where it is
            steered nowhere. Refined directions have that of the ones that they began as.
    """

    accuracy: dict[str, float]

    @property
    def unseparated(self) -> tuple[str, ...]:
        """The values below `LEAST_ACCURACY`, the worst first."""
        return tuple(sorted((v for v, own in self.accuracy.items() if own < LEAST_ACCURACY), key=self.accuracy.get))  # type: ignore[arg-type]

    @property
    def share(self) -> float:
        """Of the values that are told apart."""
        return 1.0 - len(self.unseparated) / len(self.accuracy)


def separation(bank: VectorBank, recipe: Recipe) -> Separation:
    """What a bank knows of a recipe's directions.

    Raises:
        InputError: an estimator, block or value that is not in the bank.
    """
    quality = bank.entry(recipe.estimator).directions.quality
    found = {}
    for row, value in enumerate(bank.info.values):
        blocks = list(steered_blocks(bank, (value, recipe)))
        found[value] = float(quality[row, blocks].double().mean()) if blocks else 0.0
    return Separation(found)


def say_unseparated(bank: VectorBank, recipe: Recipe) -> None:
    """Warn, once for a model, of values that a recipe's directions do not tell apart."""
    if unseparated := separation(bank, recipe).unseparated:
        _say_unseparated(bank.info.model, unseparated, len(bank.info.values))


@cache
def _say_unseparated(model: str, unseparated: tuple[str, ...], count: int) -> None:
    more = ", …" if len(unseparated) > _NAMED else ""
    _logger.warning(
        "%s: the recipe's directions do not tell %d of %d values apart (%s%s), so comments may say nothing of them. "
        "`vispa doctor %s` says what steering does.",
        model,
        len(unseparated),
        count,
        ", ".join(unseparated[:_NAMED]),
        more,
        model,
    )
