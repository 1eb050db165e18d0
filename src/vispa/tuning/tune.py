"""Tuning: a model's own recipe, found on development situations and kept in its bank."""

from __future__ import annotations

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
from vispa.steering.fitting import Progress
from vispa.steering.named_recipes import is_tuned
from vispa.steering.recipe import portable_recipe
from vispa.study.expression import asked_situations
from vispa.study.known import tuning_pairs
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy
from vispa.tuning.search import ALIKE, ESTIMATOR, Search, describe
from vispa.tuning.situations import development_situations
from vispa.tuning.standing import with_standing, without_standing
from vispa.tuning.trials import Bench, Trial

#: A good recipe for a model of 135 million parameters, on two cores.
MINUTES = 25.0
#: Longest comment of a trial.
TOKENS = 28

# Share of the budget after which no round begins but the last.
_SEARCHING = 0.75


@dataclass(frozen=True)
class Tuned:
    """What tuning found.

    Attributes:
        bank: with the recipe and the directions that it needs; that of before where its recipe stays.
        record: how the recipe was found, as JSON can say it.
        is_new: another recipe than the model had is kept.
        chosen: the best recipe with its figures on situations that no earlier round saw.
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
    saw, and the best is kept: nothing changes where none is clearly better than the recipe of before. A judge that
    learned from one half of the contrastive pairs says what comments express; see `vispa.study.expression` for the
    measures.

    Args:
        loaded: the model.
        taxonomy: at least two values, with pairs.
        minutes: budget of time. The same budget and seed give the same recipe unless the clock ends a round.
        seed: of the order in which examples are seen.
        progress: told of progress.

    Raises:
        InputError: a budget of nothing, or fewer than two values.
        NumericalError: an activation or logit is not finite.
    """
    if not minutes > 0:
        raise InputError("minutes", f"are {minutes}.", "Give a number above 0.")
    started = time.monotonic()
    judge = ValueJudge(load_encoder(), tuning_pairs(taxonomy))
    before = cached_bank(loaded, taxonomy, estimators=(ESTIMATOR,), progress=progress)
    bank, standing = with_standing(measured_bank(loaded, before, progress=progress))
    situations = asked_situations(loaded, development_situations())
    bench = Bench(TransformersEngine(loaded, bank), judge, situations, taxonomy, tuple(bank.info.values), TOKENS)
    search = Search(bench, started + 60 * minutes * _SEARCHING, seed, progress)
    chosen = search.run((standing, portable_recipe()))
    had = next(one for stage, one in search.trials if stage == "finalists" and one.recipe == standing)
    is_new = not is_tuned(before) or chosen.score > had.score + ALIKE
    if not is_new:
        chosen = had
        search.reasons.append(f"The recipe that the model has stays: none is better by more than {ALIKE}.")
    record = _record(search, chosen, minutes)
    if is_new:
        before = without_standing(bench.engine.bank or bank).with_tuned(chosen.recipe, record)
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
    shown = {name: round(figure, 4) for name, figure in one.figures.items()}
    return {"recipe": describe(one.recipe), "situations": len(one.expression.texts), **shown}
