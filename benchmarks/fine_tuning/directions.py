"""Directions fitted on fewer pairs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from benchmarks.fine_tuning.lessons import spread
from vispa.models.loading import LoadedModel
from vispa.steering.activations import read_activations
from vispa.steering.bank import VectorBank
from vispa.steering.estimators import ESTIMATORS
from vispa.steering.estimators.base import Directions
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy


class FewerPairs:
    """Banks whose directions were fitted on some of the pairs; the sentences are read once.

    Args:
        loaded: the model.
        taxonomy: its values.
        recipe: of which estimator directions are fitted, at which blocks.
        most: pairs of each value that are read.
    """

    def __init__(self, loaded: LoadedModel, taxonomy: Taxonomy, recipe: Recipe, most: int) -> None:
        self.recipe = recipe
        self._estimator = next(one for one in ESTIMATORS if one.name == recipe.estimator)
        self._blocks = recipe.chosen_blocks(len(loaded.blocks))
        self._count = len(loaded.blocks)
        started = time.process_time()
        # Only the expressing sentences count where values are told from each other.
        sides = [taxonomy.sentences(value)[: 1 if self._estimator.contrast == "others" else 2] for value in taxonomy]
        chosen = [[side[place] for place in spread(len(side), most)] for value in sides for side in value]
        texts = [text for side in chosen for text in side]
        states = read_activations(loaded, texts, readings=(self._estimator.reading,), blocks=self._blocks)
        parts = list(torch.split(states[self._estimator.reading], [len(side) for side in chosen]))
        step = len(sides[0])
        self._sides = [parts[0::step], parts[step - 1 :: step]]
        #: Processor seconds of reading a pair of all values.
        self.seconds_per_pair = (time.process_time() - started) / max(1, len(chosen[0]))

    def bank(self, bank: VectorBank, pairs: int) -> VectorBank:
        """The bank with the recipe's directions fitted on so many pairs of each value, at the recipe's blocks alone."""
        sides = [[one[spread(len(one), pairs)] for one in side] for side in self._sides]
        found = self._estimator.fit(sides[0], sides[1])
        parts = {name: self._placed(one) for name, one in vars(found).items() if one is not None}
        entry = replace(bank.entry(self.recipe.estimator), directions=Directions(**parts))
        return replace(bank, entries={**bank.entries, self.recipe.estimator: entry})

    def _placed(self, found: torch.Tensor) -> torch.Tensor:
        """[V, blocks read, …] as [V, L, …], zero elsewhere."""
        out: torch.Tensor = found.new_zeros(found.shape[0], self._count, *found.shape[2:])
        out[:, list(self._blocks)] = found
        return out


def vector_bytes(bank: VectorBank, recipe: Recipe, values: Sequence[str]) -> int:
    """Bytes in single precision of what a recipe needs of a bank for some values."""
    vectors = bank.entry(recipe.estimator).directions.vectors
    return 4 * len(values) * len(recipe.chosen_blocks(vectors.shape[1])) * vectors.shape[-1]
