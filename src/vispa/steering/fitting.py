"""Fitting a bank: one pass over the model serves all estimators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields

import torch

from vispa.errors import InputError
from vispa.models.loading import LoadedModel
from vispa.steering.activations import ActivationSource, TransformersActivations
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import BankInfo, Entry
from vispa.steering.estimators import ESTIMATORS, FITTED
from vispa.steering.estimators.base import Comparing, Directions, Estimator
from vispa.steering.readings import Reading
from vispa.steering.recipe import Recipe, embedded_recipe, portable_recipe
from vispa.steering.shipped_banks import shipped_recipe
from vispa.steering.value_fits import ValueFit, ValueFits
from vispa.taxonomy import Taxonomy
from vispa.versions import versions

#: Called with the name of a stage, the number of things just done, and how many there are.
Progress = Callable[[str, int, int], None]

# Where a bank takes the residual stream's lengths from, whatever its estimators read.
_LENGTHS: Reading = "last"
# What every estimator gives of a value; others may lack.
_NEEDED = tuple(one.name for one in fields(Directions))[:3]


def fit_bank(
    loaded: LoadedModel,
    taxonomy: Taxonomy,
    *,
    estimators: Sequence[Estimator] | None = None,
    recipe: Recipe | None = None,
    fits: ValueFits | None = None,
    progress: Progress | None = None,
) -> VectorBank:
    """Read the activations of all pairs once and fit every estimator on them.

    Values are read one after the other, never in one batch: what is read of a value does not depend on the others, to
    the last bit, so that a bank whose other values were kept is the bank that reading all of them gives.

    Args:
        loaded: the model.
        taxonomy: V values with pairs, of which each value may have another number; all of them count.
        estimators: each of another name; by default `ESTIMATORS`.
        recipe: how the model is to be steered; by default the one that suits it.
        fits: what was kept of values, and what reads those that it lacks, which are kept then. It keeps what estimators
            of `ESTIMATORS` need; where there are others, whatever their names, all values are read. By default all are
            read, by the model as transformers runs it.
        progress: told of progress.

    Raises:
        InputError: two estimators of one name.
        NumericalError: an activation is not finite.
    """
    estimators = ESTIMATORS if estimators is None else estimators
    _check_names(estimators)
    # What is kept goes by estimators' names, which say with which settings those of the registry fit, and no others.
    apart = {one.name for one in estimators if one not in ESTIMATORS}
    source = TransformersActivations(loaded) if fits is None else fits.source
    sentences = {slug: taxonomy.sentences_fingerprint(slug) for slug in taxonomy}
    found = {slug: fits.get(digest) if fits is not None else {} for slug, digest in sentences.items()}
    kept = {slug: _without(fit, apart) for slug, fit in found.items()}
    readings: tuple[Reading, ...] = tuple(sorted({_LENGTHS, *(estimator.reading for estimator in estimators)}))
    norms = f"residual_norm.{_LENGTHS}"
    missing = [slug for slug, fit in kept.items() if norms not in fit or not all(_has(fit, one) for one in estimators)]
    total = sum(len(side) for slug in missing for side in taxonomy.sentences(slug))

    def read(done: int) -> None:
        if progress is not None:
            progress("reading activations", done, total)

    for slug in missing:
        fresh = _fit_value(source, *taxonomy.sentences(slug), estimators, readings, read)
        kept[slug] = {**kept[slug], **fresh}
        if fits is not None:
            # What an earlier release of an estimator's set left there stays beside.
            fits.keep(slug, sentences[slug], {**found[slug], **_without(fresh, apart)})
    if fits is not None:
        fits.tidy()
    entries = {}
    for estimator in estimators:
        entries[estimator.name] = Entry(_joined(estimator, list(kept.values())), estimator.reading, estimator.contrast)
        if progress is not None:
            progress("fitting directions", 1, len(estimators))
    lengths = torch.cat([fit[norms] for fit in kept.values()])
    info = BankInfo(
        loaded.name,
        loaded.fingerprint,
        taxonomy.fingerprint,
        tuple(taxonomy),
        versions(source.engine),
        tuple(sentences.values()),
        loaded.tokenization.digest,
    )
    return VectorBank(info, entries, lengths.median(0).values, recipe or default_recipe(loaded))


def _check_names(estimators: Sequence[Estimator]) -> None:
    """Refuse estimators of which a bank could keep one only."""
    twice = [name for name, count in Counter(one.name for one in estimators).items() if count > 1]
    if twice:
        raise InputError("estimators", f"several are called {twice[0]!r}.", "Give each a name of its own.")


def _fit_value(
    source: ActivationSource,
    positive: tuple[str, ...],
    negative: tuple[str, ...],
    estimators: Sequence[Estimator],
    readings: Sequence[Reading],
    told: Callable[[int], None],
) -> ValueFit:
    """What the estimators learn, or keep, of one value."""
    states = source.read((*positive, *negative), readings=readings, progress=told)
    fit = {f"residual_norm.{reading}": read.norm(dim=-1) for reading, read in states.items()}
    for estimator in estimators:
        above, below = torch.split(states[estimator.reading], [len(positive), len(negative)])
        if isinstance(estimator, Comparing):
            parts = estimator.kept(above)
        else:
            learned = vars(estimator.fit([above], [below])).items()
            parts = {name: tensor[0] for name, tensor in learned if tensor is not None}
        fit |= {f"{estimator.name}.{name}": tensor for name, tensor in parts.items()}
    return fit


def _has(fit: ValueFit, estimator: Estimator) -> bool:
    parts = _parts(fit, estimator)
    return bool(parts) if isinstance(estimator, Comparing) else all(name in parts for name in _NEEDED)


def _parts(fit: ValueFit, estimator: Estimator) -> dict[str, torch.Tensor]:
    head = f"{estimator.name}."
    return {name.removeprefix(head): tensor for name, tensor in fit.items() if name.startswith(head)}


def _without(fit: ValueFit, names: Collection[str]) -> dict[str, torch.Tensor]:
    """What is known of a value without the parts of estimators of these names."""
    return {name: tensor for name, tensor in fit.items() if name.rpartition(".")[0] not in names}


def _joined(estimator: Estimator, fits: Sequence[ValueFit]) -> Directions:
    """The directions of all values from what is known of each."""
    parts: list[Mapping[str, torch.Tensor]] = [_parts(fit, estimator) for fit in fits]
    if isinstance(estimator, Comparing):
        return estimator.fit_kept(parts)
    return Directions(**{name: torch.stack([one[name] for one in parts]) for name in parts[0]})


def default_recipe(loaded: LoadedModel) -> Recipe:
    """The recipe that was chosen for the embedded model or ships for a named one; else the portable one.

    A recipe that ships holds for other taxonomies too, unless its directions cannot be fitted.
    """
    if loaded.is_embedded:
        return embedded_recipe()
    shipped = shipped_recipe(loaded.fingerprint)
    return portable_recipe() if shipped is None else fitted_recipe(shipped)


def package_recipes(model_fingerprint: str) -> tuple[Recipe, ...]:
    """The recipes that this package advises for a model; others were chosen by somebody.

    Args:
        model_fingerprint: of the model's weights.
    """
    shipped = shipped_recipe(model_fingerprint)
    return (Recipe(), portable_recipe(), embedded_recipe(), *(() if shipped is None else (shipped,)))


def fitted_recipe(recipe: Recipe) -> Recipe:
    """The recipe where its directions can be fitted on pairs; else the portable one."""
    return recipe if recipe.estimator in FITTED else portable_recipe()
