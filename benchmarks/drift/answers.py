"""How far comments and mixtures move: the changed value and a few others, before and after each change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from benchmarks.drift.changes import ADDED, HALVES, REWORDED, SPLIT, new_pairs
from benchmarks.drift.directions import Readings, mixed
from benchmarks.real_model import HELD_OUT
from training.domain_suites import DOMAINS, SHIPPED
from vispa.evaluation.intervals import bootstrap_mean
from vispa.evaluation.metrics.distribution import jensen_shannon_distances
from vispa.files.reading import json_entries
from vispa.files.tables import read_table
from vispa.generation.rows import Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoder import Encoder, load_encoder
from vispa.models.loading import LoadedModel
from vispa.modes.case import Case
from vispa.modes.distributional import own_options
from vispa.modes.prompts import built_in_prompts
from vispa.readers.base import Failure
from vispa.records import Selection
from vispa.steering.bank import VectorBank
from vispa.steering.estimators.base import Directions
from vispa.steering.recipe import Recipe
from vispa.study.expression import Situation, asked_situations, commented
from vispa.study.known import KnownTexts, tuning_pairs
from vispa.study.taxonomy_judge import judge_of
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy

#: Shares of new pairs whose comments and mixtures are measured.
_SHARES = (0.5, 1.0)
TOKENS = 32
Told = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A change whose answers are compared.

    Attributes:
        name: in reports.
        before: the values that change, as they are before; none where one comes.
        after: what stands in their place.
        directions: slug → [L, H] of all values after it, at the recipe's blocks.
    """

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    directions: Mapping[str, torch.Tensor]


def changes(readings: Readings, seed: int) -> list[Change]:
    """Every change with its directions; which pairs are replaced where not all are is drawn once."""
    chance = np.random.default_rng(seed)
    found = []
    for slug in REWORDED:
        for share in _SHARES:
            read = mixed(readings.old[slug], readings.new[slug], share, chance)
            name = f"{slug}, {share:.0%} of the pairs new"
            found.append(Change(name, (slug,), (slug,), readings.after(replaced={slug: read})))
    halves = tuple(one.slug for one in HALVES)
    found.append(Change(f"{SPLIT} split", (SPLIT,), halves, readings.after(without=(SPLIT,), added=halves)))
    for value in ADDED:
        found.append(Change(f"{value.slug} added", (), (value.slug,), readings.after(added=(value.slug,))))
    return found


def others_of(values: Sequence[str], count: int) -> tuple[str, ...]:
    """Some of the values that do not change themselves, spread over the taxonomy."""
    rest = [slug for slug in values if slug not in (*REWORDED, SPLIT)]
    return tuple(rest[int(place)] for place in np.linspace(0, len(rest) - 1, count).round())


class Answering:
    """A model before and after changes.

    Args:
        loaded: the model.
        bank: of the values before.
        recipe: how it is steered.
        directions: slug → [L, H] before any change, at the recipe's blocks.
        others: values that are watched beside the changed ones.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        bank: VectorBank,
        recipe: Recipe,
        directions: Mapping[str, torch.Tensor],
        others: Sequence[str],
    ) -> None:
        self.loaded, self.recipe, self.others, self._bank = loaded, recipe, tuple(others), bank
        self._before = self._engine(directions)

    def _engine(self, directions: Mapping[str, torch.Tensor]) -> TransformersEngine:
        """With directions that stand at the recipe's blocks."""
        entry = self._bank.entry(self.recipe.estimator)
        count, width = entry.directions.vectors.shape[1:]
        vectors = torch.zeros(len(directions), count, width)
        vectors[:, list(self.recipe.chosen_blocks(count))] = torch.stack(list(directions.values())).float()
        fitted = Directions(vectors, torch.ones(vectors.shape[:2]), torch.ones(vectors.shape[:2]))
        info = replace(self._bank.info, values=tuple(directions))
        entries = {self.recipe.estimator: replace(entry, directions=fitted)}
        return TransformersEngine(self.loaded, replace(self._bank, info=info, entries=entries), self.recipe)

    # ------------------------------------------------------------ comments

    def expression(self, found: Sequence[Change], limit: int) -> Told:
        """Hits and ranks of the changed values and of the others, means over held-out situations."""
        texts = [row.fields["situation"] for row in read_table(HELD_OUT, ("situation",)).rows][:limit]
        situations, judges = asked_situations(self.loaded, texts), _Judges(load_encoder())
        first = [*dict.fromkeys(slug for one in found for slug in one.before), *self.others]
        before = self._comments(self._before, situations, first)
        told: Told = {"situations": len(texts), "others": list(self.others), "changes": {}}
        for change in found:
            judge = judges.of(change)
            after = self._comments(self._engine(change.directions), situations, (*change.after, *self.others))
            told["changes"][change.name] = {
                "before": judge.figures(before, change.before),
                "after": judge.figures(after, change.after),
                "others before": judge.figures(before, self.others),
                "others after": judge.figures(after, self.others),
            }
        return told

    def _comments(
        self, engine: TransformersEngine, situations: Sequence[Situation], values: Sequence[str]
    ) -> dict[str, list[str]]:
        """Value → its comments on every situation."""
        texts = commented(engine, situations, values, (self.recipe,), sampling=Sampling(TOKENS))[0]
        return {value: texts[place :: len(values)] for place, value in enumerate(values)}

    # ------------------------------------------------------------ mixtures

    def mixtures(self, found: Sequence[Change], limit: int) -> Told:
        """Jensen-Shannon distances of answers before to those after, means over survey questions."""
        questions = survey(limit)
        first = [*dict.fromkeys(slug for one in found for slug in one.before), *self.others]
        before = self._options(self._before, questions, first)
        told: Told = {"questions": len(questions), "others": list(self.others), "changes": {}}
        for change in found:
            after = self._options(self._engine(change.directions), questions, (*change.after, *self.others))
            told["changes"][change.name] = {
                "mixture": self._distance(before, change.before, after, change.after, self.others),
                "value": self._distance(before, change.before, after, change.after, ()) if change.before else None,
                "others": self._distance(before, self.others, after, self.others, ()),
                "yardstick": self._distance(before, self.others, after, change.after, ()),
            }
        return told

    @staticmethod
    def _distance(
        before: _Answers, old: Sequence[str], after: _Answers, new: Sequence[str], both: Sequence[str]
    ) -> Told | None:
        """Between the plain means of the answers of some values before and of others after."""
        pairs = [(one, other) for one, other in zip(before, after, strict=True) if one and other]
        if not pairs:
            return None
        earlier = [np.mean([one[slug] for slug in (*old, *both)], axis=0) for one, _ in pairs]
        later = [np.mean([other[slug] for slug in (*new, *both)], axis=0) for _, other in pairs]
        return _told(jensen_shannon_distances(earlier, later))

    def _options(
        self, engine: TransformersEngine, questions: Sequence[Mapping[str, Any]], values: Sequence[str]
    ) -> _Answers:
        """Of each question value → shares of its options; empty where the model's answer could not be read."""
        chosen = tuple(Selection(value=slug, score=1.0) for slug in values)
        cases = [
            Case(one["question"], (), options=tuple(one["options"]), values=chosen, passages=False) for one in questions
        ]
        answers = own_options(engine, cases, built_in_prompts(self.loaded.name))
        return [
            {} if isinstance(one, Failure) else dict(zip(values, [own.distribution for own in one], strict=True))
            for one in answers
        ]


#: Of each question value → shares of the options.
_Answers = list[dict[str, Any]]


def survey(limit: int) -> list[Mapping[str, Any]]:
    """Survey questions of all domains in turn, those first in which most of the changing values choose."""
    wanted = {*REWORDED, SPLIT}
    own = [[entry.value for entry in json_entries(SHIPPED / f"{domain}-survey.json")] for domain in DOMAINS]
    for questions in own:
        questions.sort(key=lambda one: -len(wanted & one["chosen"].keys()))
    return [one for row in zip(*own, strict=False) for one in row][:limit]


# ---------------------------------------------------------------- judging


@dataclass(frozen=True)
class _Judged:
    judge: ValueJudge

    def figures(self, comments: Mapping[str, Sequence[str]], values: Sequence[str]) -> Told | None:
        """Hits and ranks of some values' comments; None where there is none of them."""
        if not values:
            return None
        each = []
        for value in values:
            texts = [text if text.strip() else "." for text in comments[value]]
            each.append(self.judge.judge(texts, [value] * len(texts)))
        hits, ranks = np.mean([one.hits for one in each], axis=0), np.mean([one.ranks for one in each], axis=0)
        return {"hit": _told(hits), "rank": _told(ranks)}


class _Judges:
    """The built-in values' judge; and one that learnt from pairs, of which the new values have some too."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._made: dict[bool, _Judged] = {}

    def of(self, change: Change) -> _Judged:
        """The judge that knows the values of a change."""
        built_in = change.before == change.after
        if built_in not in self._made:
            self._made[built_in] = _Judged(self._built_in() if built_in else self._of_pairs())
        return self._made[built_in]

    def _built_in(self) -> ValueJudge:
        return judge_of(Taxonomy.built_in(), self._encoder)

    def _of_pairs(self) -> ValueJudge:
        known = tuning_pairs(Taxonomy.built_in())
        pairs = {one.slug: new_pairs(one.slug) for one in (*HALVES, *ADDED)}
        promoting = {slug: tuple(pair.positive for pair in own) for slug, own in pairs.items()}
        opposing = {slug: tuple(pair.negative for pair in own) for slug, own in pairs.items()}
        return ValueJudge(self._encoder, KnownTexts({**known.promoting, **promoting}, {**known.opposing, **opposing}))


def _told(each: Any) -> Told:
    found = bootstrap_mean(np.asarray(each, dtype=np.float64)).model_dump()
    return {name: found[name] for name in ("estimate", "low", "high", "n")}
