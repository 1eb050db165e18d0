"""Fitting a bank: one pass over the model serves all estimators."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from vispa.models.loading import LoadedModel
from vispa.steering.activations import read_activations
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import BankInfo, Entry
from vispa.steering.estimators import ESTIMATORS
from vispa.steering.estimators.base import Estimator
from vispa.steering.readings import Reading
from vispa.steering.recipe import Recipe, embedded_recipe, portable_recipe
from vispa.steering.shipped_banks import shipped_recipe
from vispa.taxonomy import Taxonomy
from vispa.versions import versions

#: Called with the name of a stage, the number of things just done, and how many there are.
Progress = Callable[[str, int, int], None]


def fit_bank(
    loaded: LoadedModel,
    taxonomy: Taxonomy,
    *,
    estimators: Sequence[Estimator] | None = None,
    recipe: Recipe | None = None,
    progress: Progress | None = None,
) -> VectorBank:
    """Read the activations of all pairs once and fit every estimator on them.

    Args:
        loaded: the model.
        taxonomy: V values with pairs, of which each value may have another number; all of them count.
        estimators: by default `ESTIMATORS`.
        recipe: how the model is to be steered; by default the one that suits it.
        progress: told of progress.

    Raises:
        NumericalError: an activation is not finite.
    """
    estimators = ESTIMATORS if estimators is None else estimators
    sides = [taxonomy.sentences(slug) for slug in taxonomy]
    texts = [text for positive, negative in sides for text in (*positive, *negative)]
    lengths = [len(side) for value in sides for side in value]

    def read(done: int) -> None:
        if progress is not None:
            progress("reading activations", done, len(texts))

    readings: tuple[Reading, ...] = tuple(sorted({estimator.reading for estimator in estimators}))
    states = read_activations(loaded, texts, readings=readings, progress=read)
    entries = {}
    for estimator in estimators:
        parts = torch.split(states[estimator.reading], lengths)
        fitted = estimator.fit(parts[::2], parts[1::2])
        entries[estimator.name] = Entry(fitted, estimator.reading, estimator.contrast)
        if progress is not None:
            progress("fitting directions", 1, len(estimators))
    norms = states[readings[0]].norm(dim=-1)
    info = BankInfo(loaded.name, loaded.fingerprint, taxonomy.fingerprint, tuple(taxonomy), versions())
    return VectorBank(info, entries, norms.median(0).values, recipe or default_recipe(loaded))


def default_recipe(loaded: LoadedModel) -> Recipe:
    """The recipe that was chosen for the embedded model or ships for a named one; else the portable one.

    A recipe that ships holds for other taxonomies too, unless its directions cannot be fitted.
    """
    if loaded.is_embedded:
        return embedded_recipe()
    shipped = shipped_recipe(loaded.fingerprint)
    fitted = {one.name for one in ESTIMATORS}
    return shipped if shipped is not None and shipped.estimator in fitted else portable_recipe()
