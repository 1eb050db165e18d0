"""Ways to make a model speak for values, trained or steered, measured on the same situations."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from torch import nn

from benchmarks.fine_tuning.adapters import Adapters, adapted_layers
from benchmarks.fine_tuning.directions import FewerPairs
from benchmarks.fine_tuning.lessons import fewer, own_lessons, pair_lessons, written_lessons
from benchmarks.fine_tuning.training import EACH, RATE, trained
from benchmarks.fine_tuning.writing import AdaptedEngine, Way, written
from benchmarks.kept import Kept, digest
from vispa.models.encoder import Encoder
from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.steering.fitting import fitted_recipe
from vispa.steering.recipe import Recipe
from vispa.study.expression import Expression, measured, surprise
from vispa.study.personas import persona_situations
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy
from vispa.tuning.examples import Example
from vispa.tuning.situations import development_situations

#: Development situations that ranks and steps are chosen on: the last ones, which no lesson is about.
CHOSEN_ON = 6
# Harmonic means that so few situations do not tell apart.
_ALIKE = 0.02


@dataclass(frozen=True)
class Training:
    """How adapters are trained.

    Attributes:
        kind: of lessons.
        most: lessons of each value.
        rank: of the adapters.
        steps: of training.
    """

    kind: str
    most: int
    rank: int
    steps: int


@dataclass(frozen=True)
class Sizes:
    """How much a study does.

    Attributes:
        pairs: numbers of pairs and lessons, rising.
        tokens: longest comment.
        ranks: tried on development situations.
        steps: the same; after each of them the training is looked at.
        learnt: development situations that the model's own comments are about.
        strengths: factors on the shifts of the tuned recipe.
    """

    pairs: tuple[int, ...] = (5, 20, 50, 100)
    tokens: int = 32
    ranks: tuple[int, ...] = (4, 16)
    steps: tuple[int, ...] = (20, 60)
    learnt: int = 24
    strengths: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25)


class Study:
    """Comments on S situations for V values, and their measures; nothing is made twice.

    Args:
        loaded: the model.
        taxonomy: all values, which the judge tells apart.
        bank: directions of all of them.
        judge: of comments.
        encoder: of the judge that chooses the model's own comments to learn from.
        values: slugs of the V.
        situations: S held-out ones.
        sizes: how much is done.
        kept: what earlier runs found.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        taxonomy: Taxonomy,
        bank: VectorBank,
        judge: ValueJudge,
        encoder: Encoder,
        values: Sequence[str],
        situations: Sequence[str],
        sizes: Sizes,
        kept: Kept,
    ) -> None:
        self.loaded, self.taxonomy, self.bank, self.judge, self.encoder = loaded, taxonomy, bank, judge, encoder
        self.values, self.sizes, self.kept = tuple(values), sizes, kept
        self.texts = {"held out": tuple(situations), "development": development_situations()[-CHOSEN_ON:]}
        known = [taxonomy[value] for value in values]
        self._situations = {name: persona_situations(loaded, known, texts) for name, texts in self.texts.items()}
        self._adapters: dict[tuple[str, int, int], dict[int, Adapters]] = {}
        self._found: dict[Any, Expression] = {}
        self._base = [loaded.fingerprint, str(loaded.model.dtype), list(values), asdict(sizes)]

    # ---------------------------------------------------------------- comments

    def measure(
        self,
        way: Way,
        training: Training | None = None,
        pairs: int | None = None,
        recipe: Recipe | None = None,
        on: str = "held out",
    ) -> Expression:
        """The measures of one way.

        Args:
            way: what takes part.
            training: of the adapters.
            pairs: that directions are fitted on; None for the bank as it is.
            recipe: of the vectors; the bank's by default.
            on: which situations.
        """
        recipe = recipe or self.bank.recipe
        about = [None if training is None else self._about(training), pairs, asdict(way)]
        steering = [dict(recipe.as_mapping()), self.bank.fingerprint] if way.vectors else None
        key = digest([self._base, "comments", about, steering, list(self.texts[on])])
        if key not in self._found:
            kept = self.kept.get(key, lambda: self._written(way, training, pairs, recipe, on))
            nll = np.array([np.nan if one is None else one for one in kept["nll"]])
            self._found[key] = measured(self.judge, self.texts[on], self.values, kept["texts"], nll)
        return self._found[key]

    def _written(
        self, way: Way, training: Training | None, pairs: int | None, recipe: Recipe, on: str
    ) -> dict[str, Any]:
        bank = self.bank if pairs is None else self.fewer_pairs.bank(self.bank, pairs)
        adapters = None if training is None else self.adapters(training)
        engine = AdaptedEngine(self.loaded, adapters, bank if way.vectors else None, recipe)
        situations = self._situations[on]
        texts = written(engine, situations, self.values, way, self.sizes.tokens)
        nll = surprise(self.loaded, situations, texts)
        return {"texts": texts, "nll": [None if np.isnan(one) else float(one) for one in nll]}

    def plain(self, on: str = "held out") -> Expression:
        """The measures of the model as it is."""
        return self.measure(Way(), on=on)

    # ---------------------------------------------------------------- vectors

    @cached_property
    def fewer_pairs(self) -> FewerPairs:
        """Directions fitted on some pairs."""
        return FewerPairs(self.loaded, self.taxonomy, fitted_recipe(self.bank.recipe), max(self.sizes.pairs))

    def fitting_seconds(self) -> float:
        """Processor seconds of reading one pair of every value of the taxonomy."""
        parts = [self._base, "fitting", self.bank.fingerprint]
        return float(self.kept.get(parts, lambda: {"seconds": self.fewer_pairs.seconds_per_pair})["seconds"])

    # ---------------------------------------------------------------- adapters

    @property
    def adapted_layers(self) -> Mapping[str, nn.Linear]:
        """See `adapters.adapted_layers`."""
        return adapted_layers(self.loaded)

    @cached_property
    def lessons(self) -> dict[str, list[list[Example]]]:
        """All lessons by kind; those of the model's own comments are kept."""
        most = max(self.sizes.pairs)
        return {
            "pairs": pair_lessons(self.loaded, self.taxonomy, self.values, most),
            "own": self._own_lessons(),
            "written": written_lessons(self.loaded, self.values),
        }

    def _own_lessons(self) -> list[list[Example]]:
        def made() -> dict[str, Any]:
            started = time.process_time()
            found = own_lessons(
                self.loaded, self.bank, self.taxonomy, self.values, self.encoder,
                situations=self.sizes.learnt, tokens=self.sizes.tokens,
            )  # fmt: skip
            texts = [[[one.prompt.text, one.text] for one in own] for own in found]
            return {"texts": texts, "seconds": time.process_time() - started}

        found = self.kept.get([self._base, "own", self.bank.fingerprint, dict(self.bank.recipe.as_mapping())], made)
        asked = persona_situations(self.loaded, [], development_situations()[: self.sizes.learnt])
        prompts = {one.plain.text: one.plain for one in asked}
        return [
            [Example(place, prompts[prompt], text) for prompt, text in own] for place, own in enumerate(found["texts"])
        ]

    def lessons_of(self, kind: str, most: int) -> list[list[Example]]:
        """At most so many lessons of a kind for each value; the model's own comments stand best first."""
        own = self.lessons[kind]
        return [one[:most] for one in own] if kind == "own" else fewer(own, most)

    def adapters(self, training: Training) -> Adapters:
        """Trained as asked for, together with those of fewer steps."""
        key = (training.kind, training.most, training.rank)
        if key not in self._adapters:
            self._trained(training)
        return self._adapters[key][training.steps]

    def training_seconds(self, training: Training) -> float:
        """Processor seconds of a training."""
        whole = replace(training, steps=max(self.sizes.steps))
        found = self.kept.get([self._about(whole), "seconds"], lambda: {"seconds": self._trained(training)})
        return float(found["seconds"]) * training.steps / whole.steps

    def _trained(self, training: Training) -> float:
        started = time.process_time()
        lessons = self.lessons_of(training.kind, training.most)
        found = trained(self.loaded, lessons, training.rank, self.sizes.steps)
        # They fill memory, and few trainings are asked for again.
        self._adapters = dict([*self._adapters.items()][-3:])
        self._adapters[training.kind, training.most, training.rank] = found
        return time.process_time() - started

    def _about(self, training: Training) -> list[Any]:
        lessons = [
            [[one.prompt.text, one.text] for one in own] for own in self.lessons_of(training.kind, training.most)
        ]
        return [self._base, training.rank, training.steps, EACH, RATE, digest(lessons)]

    def chosen(self, kind: str, most: int, rank: int | None = None) -> Training:
        """The rank and number of steps with the highest harmonic mean on development situations.

        Of those within 0.02 of it, the one of the lowest rank and fewest steps.

        Args:
            kind: of lessons.
            most: lessons of each value.
            rank: chosen before; None tries all.
        """
        ranks = self.sizes.ranks if rank is None else (rank,)
        tried = [Training(kind, most, one, steps) for one in ranks for steps in self.sizes.steps]
        plain = self.plain("development")
        scores = {}
        for one in tried:
            self.training_seconds(one)
            found = self.measure(Way(adapters=1.0), one, on="development")
            scores[one] = float(found.scores(plain)["harmonic_mean"].mean())
        return next(one for one in tried if scores[one] >= max(scores.values()) - _ALIKE)


def by_situation(found: Expression, plain: Expression) -> Mapping[str, Any]:
    """Hits, fluency and harmonic mean of each situation."""
    scores = found.scores(plain)
    return {name: scores[name] for name in ("hit", "fluency", "relation", "harmonic_mean")}
