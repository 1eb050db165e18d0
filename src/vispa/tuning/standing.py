"""The recipe that a model has already, as one that tuning must beat."""

from __future__ import annotations

from dataclasses import replace

from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import EARLIER, REFINED
from vispa.steering.recipe import Recipe


def with_standing(bank: VectorBank) -> tuple[VectorBank, Recipe]:
    """A bank whose own recipe goes on to be usable after its refined directions were replaced, and that recipe.

    Args:
        bank: with the recipe's directions and, where its magnitude is measured, its strengths.
    """
    if bank.recipe.estimator != REFINED:
        return bank, bank.recipe
    strengths = {
        replace(recipe, estimator=EARLIER): fractions
        for recipe, fractions in bank.strengths.items()
        if recipe.estimator == REFINED
    }
    aside = replace(
        bank,
        entries={**bank.entries, EARLIER: bank.entries[REFINED]},
        strengths={**bank.strengths, **strengths},
    )
    return aside, replace(bank.recipe, estimator=EARLIER)


def without_standing(bank: VectorBank) -> VectorBank:
    """The bank without what `with_standing` put aside."""
    kept = {name: entry for name, entry in bank.entries.items() if name != EARLIER}
    return replace(bank.without_strengths({EARLIER}), entries=kept)
