"""Tuning: a model's own recipe, found on development situations and kept in its bank."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from vispa.errors import InputError
from vispa.generation.strengths import measured_bank
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoder import load_encoder
from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import cached_bank, keep_tuned
from vispa.steering.bank_parts import REFINED
from vispa.steering.fitting import Progress
from vispa.steering.named_recipes import is_tuned
from vispa.steering.recipe import portable_recipe
from vispa.study.expression import asked_situations
from vispa.study.known import tuning_pairs
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy
from vispa.tuning.clock import Clock
from vispa.tuning.search import ALIKE, ESTIMATOR, FINAL, Search, describe
from vispa.tuning.situations import development_situations
from vispa.tuning.standing import with_standing, without_standing
from vispa.tuning.trials import Bench, Trial

#: A good recipe for a model of 135 million parameters, on two cores.
MINUTES = 25.0
#: Longest comment of a trial.
TOKENS = 28


@dataclass(frozen=True)
class Tuned:
    """What tuning found.

    Attributes:
        bank: with the recipe and the directions that it needs; that of before where its recipe stays.
        record: how the recipe was found, as JSON can say it.
        is_new: another recipe than the model had is kept. A model that had none of its own may keep the one that it
            used, with the record of how it was found.
        chosen: the recipe that is kept, or stays, with its figures on situations that no earlier round saw.
        trials: everything that was tried, as (round, trial).
        reasons: what was decided and why, in words.
    """

    bank: VectorBank
    record: dict[str, Any]
    is_new: bool
    chosen: Trial
    trials: tuple[tuple[str, Trial], ...]
    reasons: tuple[str, ...]


def tune(
    loaded: LoadedModel,
    taxonomy: Taxonomy,
    *,
    minutes: float = MINUTES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tuned:
    """Find how a model is best steered toward the values of a taxonomy, and keep it in the model's cached bank.

    Blocks are screened one by one, then runs of them at several strengths, each round on fewer candidates and other
    situations. The best directions are refined on the model's own best comments (`vispa.tuning.refining`). What the
    rounds chose is compared with the recipe that the model has, and the portable one, on situations that none of them
    saw. Of those that are clearly better than the model's own, the best is kept; nothing changes where none is. A judge
    that learned from one half of the contrastive pairs says what comments express; see `vispa.study.expression` for
    the measures.

    Args:
        loaded: the model.
        taxonomy: at least two values, with pairs.
        minutes: budget of time. No round begins that would leave too little of it for the last one, which is always
            measured. The same budget and seed give the same recipe unless the time does not suffice for all rounds.
        seed: of the order in which examples are seen.
        progress: told of progress.

    Raises:
        InputError: a budget of nothing, fewer than two values, or a model that says nothing.
        NumericalError: an activation or logit is not finite.
    """
    if not minutes > 0:
        raise InputError("minutes", f"are {minutes}.", "Give a number above 0.")
    started = time.monotonic()
    judge = ValueJudge(load_encoder(), tuning_pairs(taxonomy))
    before = cached_bank(loaded, taxonomy, estimators=(ESTIMATOR,), progress=progress)
    measured = measured_bank(loaded, before, progress=progress)
    bank, standing = with_standing(measured)
    situations = asked_situations(loaded, development_situations())
    bench = Bench(TransformersEngine(loaded, bank), judge, situations, taxonomy, tuple(bank.info.values), TOKENS)
    bench.check_words(FINAL)
    # What a model without its own recipe uses has no claim to stay.
    own = standing if is_tuned(before) else None
    search = Search(bench, Clock(started + 60 * minutes), seed, progress, own)
    chosen = search.run((standing, portable_recipe()))
    is_new = chosen.recipe != standing
    if not is_new:
        search.reasons.append(f"The recipe that the model has stays: none is better by more than {ALIKE}.")
    record = _record(search, chosen, minutes)
    if is_new or own is None:
        # Refined directions that are not used take no place of those that were there.
        is_refined = chosen.recipe.estimator == REFINED
        kept = without_standing(bench.engine.bank or bank) if is_refined else measured
        before = kept.with_tuned(chosen.recipe, record)
        keep_tuned(before)
    return Tuned(before, record, is_new, chosen, tuple(search.trials), tuple(search.reasons))


def _record(search: Search, chosen: Trial, minutes: float) -> dict[str, Any]:
    """How the recipe was found, as JSON can say it."""
    return {
        "minutes": minutes,
        "seed": search.seed,
        "chosen": _figures(chosen),
        "reasons": search.reasons,
        "frontier": [{"round": name, **_figures(one)} for name, one in search.trials],
    }


def _figures(one: Trial) -> dict[str, Any]:
    # JSON has no word for what is not a number.
    shown = {name: round(figure, 4) if math.isfinite(figure) else None for name, figure in one.figures.items()}
    return {"recipe": describe(one.recipe), "situations": len(one.expression.texts), **shown}
