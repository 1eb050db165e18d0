"""Recipes that go by a word, and the one that is used where none is given."""

from __future__ import annotations

import logging
from functools import cache

from vispa.errors import InputError, check_choice
from vispa.request import RECIPES, RecipeName
from vispa.steering.bank import VectorBank
from vispa.steering.recipe import Recipe, portable_recipe
from vispa.steering.separating import say_unseparated

_logger = logging.getLogger(__name__)


def named_recipe(word: RecipeName | str) -> Recipe | None:
    """The recipe of a word; None for `tuned`, which each bank has its own for.

    Raises:
        InputError: there is no such word.
    """
    check_choice("recipe", word, RECIPES)
    return {"published": Recipe(), "portable": portable_recipe(), "tuned": None}[word]


def needed_estimators(recipe: Recipe | RecipeName | None) -> tuple[str, ...]:
    """The entries that a bank must have for a recipe beside those of its own.

    Raises:
        InputError: there is no recipe of this word.
    """
    found = named_recipe(recipe) if isinstance(recipe, str) else recipe
    return () if found is None else (found.estimator,)


def resolved_recipe(recipe: Recipe | RecipeName | None, bank: VectorBank) -> Recipe:
    """The recipe that is meant; by default the bank's own.

    That it is only the portable one is said in a warning, once for each model.

    Args:
        recipe: itself, or its word.
        bank: to be steered with.

    Raises:
        InputError: there is no such word, or no tuned recipe for the bank's model.
    """
    if recipe is None:
        if not is_tuned(bank):
            _say_portable(bank.info.model)
        return bank.recipe
    if isinstance(recipe, Recipe):
        return recipe
    if found := named_recipe(recipe):
        return found
    if not is_tuned(bank):
        advice = "Find it with `vispa tune`, or take portable or published."
        raise InputError("recipe", f"there is no tuned one for {bank.info.model}.", advice)
    return bank.recipe


def usable_recipe(recipe: Recipe | RecipeName | None, bank: VectorBank) -> Recipe:
    """The recipe that is meant, as `resolved_recipe`, where it steers toward some value.

    Values that its directions do not tell apart are named in a warning, once for each model.

    Raises:
        InputError: as `resolved_recipe`; or the recipe steers toward no value of the bank.
    """
    found = resolved_recipe(recipe, bank)
    bank.check_steers(found)
    say_unseparated(bank, found)
    return found


def is_tuned(bank: VectorBank) -> bool:
    """Whether a bank's recipe was chosen for its model, rather than taken for want of one."""
    return bank.tuning is not None or bank.recipe != portable_recipe()


@cache
def _say_portable(model: str) -> None:
    _logger.warning(
        "%s has no recipe tuned for it; the portable one is used. `vispa tune %s` finds its own; `--recipe published` "
        "is the paper's.",
        model,
        model,
    )
