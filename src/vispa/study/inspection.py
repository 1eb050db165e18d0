"""All parts of a study of one bank, put together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from vispa.errors import InputError, check_choice
from vispa.generation.rows import Sampling
from vispa.models.encoding import Prompt
from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import BankInfo
from vispa.steering.fitting import Progress
from vispa.steering.named_recipes import resolved_recipe
from vispa.steering.recipe import Recipe
from vispa.study.dose import DoseResponse, dose_response
from vispa.study.expressed import Expressed, expressed
from vispa.study.expression import Situation
from vispa.study.leakage import Leakage, leakage
from vispa.study.quality import Quality, quality
from vispa.study.similarity import Similarity, similarity
from vispa.study.taxonomy_judge import TaxonomyJudge

Part = Literal["quality", "similarity", "dose", "leakage", "expression"]
PARTS: tuple[Part, ...] = get_args(Part)
#: Without what takes minutes on a real model.
DEFAULT_PARTS: tuple[Part, ...] = PARTS[:-1]

# Near it lies the sweet spot between no effect and incoherent text.
_RESIDUAL_AMOUNT = 0.5


@dataclass(frozen=True)
class Inspection:
    """What was found about a bank's estimator; parts that were not asked for are None.

    Attributes:
        info: what the bank is bound to.
        recipe: how the model was steered.
        prompts: that were steered, as the model continued them.
        left_out: for each value the recipe's blocks that do not separate it.
        quality: of the directions.
        similarity: of the directions.
        dose: effect by magnitude.
        leakage: effect on other values.
        expression: which values comments express, and at what cost.
    """

    info: BankInfo
    recipe: Recipe
    prompts: tuple[str, ...]
    left_out: dict[str, tuple[int, ...]]
    quality: Quality | None = None
    similarity: Similarity | None = None
    dose: DoseResponse | None = None
    leakage: Leakage | None = None
    expression: Expressed | None = None


def recipe_for(bank: VectorBank, estimator: str) -> Recipe:
    """The bank's recipe with the directions of an estimator.

    Where the recipe's amount means nothing for them (a target without a probability, or a
    multiple of vectors of another length), half the blocks' typical residual norm takes its place.

    Raises:
        InputError: the bank has no such estimator.
    """
    directions = bank.entry(estimator).directions
    if estimator == bank.recipe.estimator:
        return bank.recipe
    recipe = replace(bank.recipe, estimator=estimator, amounts={}, table=None)
    if recipe.magnitude == "residual" or (recipe.magnitude == "calibrated" and directions.bias is not None):
        return recipe
    return replace(recipe, magnitude="residual", amount=_RESIDUAL_AMOUNT)


def inspect_bank(
    loaded: LoadedModel,
    bank: VectorBank,
    prompts: Sequence[Prompt],
    values: Sequence[str],
    *,
    estimator: str | None = None,
    parts: Collection[str] = DEFAULT_PARTS,
    sampling: Sampling | None = None,
    situations: Sequence[Situation] = (),
    judge: TaxonomyJudge | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Study an estimator's directions and what steering with them does.

    Args:
        loaded: the model that the bank was fitted on.
        bank: of V values.
        prompts: to steer, as the model continues them.
        values: slugs for the dose-response; the other parts take all values.
        estimator: name of the bank's entry; the recipe's by default.
        parts: which of `PARTS` to compute.
        sampling: how the dose-response's texts are decoded.
        situations: that the part `expression` has commented on.
        judge: of those comments (see `taxonomy_judge`).
        progress: told of progress.

    Raises:
        InputError: an unknown part, estimator or value, or no prompt, situation or judge where one is needed.
    """
    for part in parts:
        check_choice("parts", part, PARTS)
    if "expression" in parts and (judge is None or not situations):
        raise InputError("parts", "expression needs situations and a judge.", "Give both, or leave it out.")
    recipe = resolved_recipe(None, bank) if estimator is None else recipe_for(bank, estimator)
    chosen = recipe.chosen_blocks(len(bank.residual_norm))
    plan = bank.plan(bank.info.values, recipe)
    return Inspection(
        bank.info,
        recipe,
        tuple(prompt.text for prompt in prompts),
        {value: left_out for (value, _), left_out in zip(plan.keys, plan.left_out, strict=True)},
        quality(bank, recipe.estimator) if "quality" in parts else None,
        similarity(bank, recipe.estimator, blocks=chosen) if "similarity" in parts else None,
        dose_response(loaded, bank, prompts, values, recipe=recipe, sampling=sampling, progress=progress)
        if "dose" in parts
        else None,
        leakage(loaded, bank, prompts, recipe=recipe, progress=progress) if "leakage" in parts else None,
        expressed(loaded, bank, judge, situations, recipe=recipe, progress=progress)
        if "expression" in parts and judge is not None
        else None,
    )
