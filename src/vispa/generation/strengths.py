"""How strongly each value is steered so that next tokens move by a target: what `magnitude = "kl"` stands for."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vispa.errors import InputError
from vispa.generation.bisection import Search, searched
from vispa.generation.divergence import divergences, plain_texts
from vispa.generation.prompts import everyday_prompts
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import Prompt, chat_prompt
from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import keep_strengths
from vispa.steering.fitting import Progress
from vispa.steering.recipe import Recipe, Steer

_logger = logging.getLogger(__name__)

#: So many of the plain model's first tokens count.
TOKENS = 16
#: Of the tokens' divergences, the quantile that is held to the target: the worst 5 % lie above.
QUANTILE = 0.95
#: Least and greatest fraction of the residual norm at a block.
BOUNDS = (0.001, 1.0)
# All blocks together, at a target of 1 nat; where the search begins.
_FIRST_FRACTION = 0.2


@dataclass(frozen=True)
class Strengths:
    """What was measured for a recipe.

    Attributes:
        fractions: value → fraction of the residual norm at each block.
        divergences: value → KL(steered ‖ plain) there, in nats; without the values that the recipe does not steer.
        unreached: values whose target lies beyond the bounds of the fraction, or that jump over it; their fraction
            is the one that comes nearest.
    """

    fractions: dict[str, float]
    divergences: dict[str, float]
    unreached: tuple[str, ...]


def measure_strengths(
    loaded: LoadedModel,
    bank: VectorBank,
    recipe: Recipe,
    prompts: Sequence[Prompt],
    *,
    values: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Strengths:
    """The fractions of the residual norm at which steering moves next tokens as far as a recipe's amounts say.

    A value's divergence is the 95th percentile of KL(steered ‖ plain) over the first 16 tokens that the plain model
    says to each prompt. It grows with the fraction; all values are searched at once, and each round is one batch.

    Args:
        loaded: the model.
        bank: its directions.
        recipe: whose amounts are target divergences in nats.
        prompts: P, as the model continues them.
        values: slugs; by default all of the bank.
        progress: told of progress.

    Raises:
        InputError: no prompt; or an estimator, block or value that is not in the bank.
        NumericalError: a logit, activation or shift is not finite.
        ContextError: a prompt is longer than the model's context.
    """
    if not prompts:
        raise InputError("prompts", "are none.", "Give at least one.")
    values = bank.info.values if values is None else values
    steered = [value for value in values if bank.steers(value, recipe)]
    engine = TransformersEngine(loaded, bank)
    bounds = (BOUNDS[0], max(BOUNDS[0], min(BOUNDS[1], recipe.cap or math.inf)))
    first = _FIRST_FRACTION / len(recipe.chosen_blocks(len(bank.residual_norm)))
    targets = [recipe.amount_for(value) for value in steered]
    searches = [Search(target, bounds, first * math.sqrt(target)) for target in targets]
    # The whole residual norm, of which each row takes its fraction as weight.
    unit = replace(recipe, magnitude="residual", amount=1.0, amounts={}, table=None, cap=None)
    texts = plain_texts(engine, prompts, TOKENS) if steered else []

    def measured(places: list[int], fractions: list[float]) -> list[float]:
        steers = [Steer(steered[place], fraction, unit) for place, fraction in zip(places, fractions, strict=True)]
        found = divergences(engine, texts, [(text, steer) for steer in steers for text in range(len(texts))])
        by_value = [found[start : start + len(texts)] for start in range(0, len(found), len(texts))]
        return [float(np.quantile(np.concatenate(tokens), QUANTILE)) for tokens in by_value]

    def ended(count: int) -> None:
        if progress is not None:
            progress("measuring strengths", count, len(steered))

    searched(measured, searches, ended)
    found = dict(zip(steered, searches, strict=True))
    return Strengths(
        {value: float(f"{found[value].best[1]:.4g}") if value in found else bounds[1] for value in values},
        {value: one.target * math.exp(one.best[0]) for value, one in found.items()},
        tuple(value for value, one in found.items() if not one.reached),
    )


def measured_bank(
    loaded: LoadedModel,
    bank: VectorBank,
    recipe: Recipe | None = None,
    *,
    prompts: Sequence[Prompt] | None = None,
    progress: Progress | None = None,
) -> VectorBank:
    """The bank with the strengths that a recipe needs; what it lacks is measured and kept in the user's cache.

    Args:
        loaded: the model.
        bank: its directions.
        recipe: the bank's own by default; one whose magnitude is not measured needs nothing.
        prompts: to measure on; by default everyday ones. On others all is measured, and not kept in the cache, where
            it would stand for what everyday ones give.
        progress: told of progress.

    Raises:
        InputError: an estimator, block or value that is not in the bank.
        NumericalError: a logit, activation or shift is not finite.
    """
    recipe = recipe or bank.recipe
    missing = bank.unmeasured(recipe)
    if prompts is not None and recipe.rule.measured:
        missing = bank.info.values
    if not missing:
        return bank
    recipe.check_steers()
    own_prompts = prompts is not None
    if prompts is None:
        prompts = [chat_prompt(loaded, message) for message in everyday_prompts()]
    found = measure_strengths(loaded, bank, recipe, prompts, values=missing, progress=progress)
    if found.unreached:
        nearest = ", ".join(f"{value} ({found.divergences[value]:.2g} nats)" for value in found.unreached)
        _logger.warning("At no fraction of the residual norm do next tokens move as far as asked: %s.", nearest)
    measured = bank.with_strengths(recipe, found.fractions)
    if not own_prompts:
        keep_strengths(measured)
    return measured
