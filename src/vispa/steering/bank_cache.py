"""The cached bank of a model and taxonomy: found, completed or fitted, and kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from vispa.errors import VispaError
from vispa.files.caching import say_unused
from vispa.files.locking import changing
from vispa.models.loading import LoadedModel
from vispa.steering.activations import ActivationSource
from vispa.steering.bank import VectorBank, bank_file
from vispa.steering.bank_parts import REFINED, Entry, can_be_read_by
from vispa.steering.estimators import ESTIMATORS
from vispa.steering.fitting import Progress, default_recipe, fit_bank
from vispa.steering.salvage import Salvage, salvaged
from vispa.steering.shipped_banks import shipped_bank
from vispa.steering.value_fits import ValueFits
from vispa.taxonomy import Taxonomy
from vispa.versions import versions

_logger = logging.getLogger(__name__)


def bank_path(loaded: LoadedModel, taxonomy: Taxonomy) -> Path:
    """Where the bank of a model and taxonomy is cached."""
    return bank_file(loaded.fingerprint, taxonomy.fingerprint)


def cached_bank(
    loaded: LoadedModel,
    taxonomy: Taxonomy,
    *,
    estimators: Collection[str] | None = None,
    force: bool = False,
    source: ActivationSource | None = None,
    progress: Progress | None = None,
) -> VectorBank:
    """The bank of a model and taxonomy: the user's cached one, the one that ships, or one that is fitted and cached.

    The first of the two that has all that is needed is taken. Where neither has, one of them is
    completed: one pass over the model serves all estimators that it lacks; values that the model has read before
    (`vispa.steering.value_fits`) are not read again. A cached bank that is damaged
    or of an older release is fitted anew, which is said in a warning. A recipe that was tuned on a cached
    bank and vectors that were imported are kept, and those that cannot be are named. A cache that cannot
    be used stops nothing.

    Args:
        loaded: the model.
        taxonomy: the values.
        estimators: names of the entries that are needed beside that of the bank's own recipe; by default
            all of `ESTIMATORS`.
        force: read and fit everything anew although there is one.
        source: what reads activations; by default the model as transformers runs it.
        progress: told of progress while fitting.

    Raises:
        NumericalError: an activation is not finite.
    """
    path = bank_path(loaded, taxonomy)
    shipped = shipped_bank(loaded.fingerprint, taxonomy.fingerprint)
    read = partial(_found, path, loaded, taxonomy, shipped)
    found = read()
    # A recipe that was not tuned on the bank is this package's advice, not a fitted thing: the newest counts.
    own = found.bank
    advice = default_recipe(loaded) if shipped is None else shipped.recipe
    recipe = own.recipe if own is not None and own.tuning is not None else advice
    tuning = None if own is None else own.tuning
    earlier = None if own is None or force else replace(own, recipe=recipe)
    fitted = _fitted_names()
    needed = {*(fitted if estimators is None else estimators), recipe.estimator}
    # Refined directions ship, and fitting cannot bring them back.
    apart = {} if shipped is None else {name: one for name, one in shipped.entries.items() if name not in fitted}
    if earlier is not None:
        earlier = replace(earlier, entries={**apart, **earlier.entries})
    # What the user tuned is completed: another bank would come with another recipe.
    usable = None if force or found.problem or tuning is not None else shipped
    for bank in (earlier, usable):
        if bank is not None and needed <= bank.entries.keys():
            return bank
    base = earlier or usable
    missing = [one for one in ESTIMATORS if base is None or one.name not in base.entries]
    if base is not None and needed.isdisjoint(one.name for one in missing):
        # What is needed beside is nothing that can be fitted; whoever asks for it says so.
        return base
    fits = ValueFits(loaded, fresh=force, source=source)
    names = ", ".join(one.name for one in missing)
    if base is not None and (engine := _engine(base)) != fits.source.engine:
        # Directions of one bank are read by one engine.
        if earlier is not None:
            _logger.warning(
                "%s lacks %s and was read by %s: all is fitted anew by %s.", path, names, engine, fits.source.engine
            )
        base, missing = None, list(ESTIMATORS)
    elif earlier is not None:
        _logger.warning("%s lacks %s: fitted now.", path, names)
    elif found.problem and not force:
        _logger.warning("%s %s: it is fitted anew.", path, found.problem)
    fresh = fit_bank(loaded, taxonomy, estimators=missing, recipe=recipe, fits=fits, progress=progress)
    if base is not None:
        fresh = replace(base, entries={**fresh.entries, **base.entries})
    fresh = replace(fresh, entries={**fresh.entries, **apart})
    return _kept(path, replace(fresh, recipe=recipe, tuning=tuning), found, read)


def _engine(bank: VectorBank) -> str:
    """What read the activations that a bank was fitted on: the package that only its record has, if there is one."""
    return next(iter(bank.info.versions.keys() - versions().keys()), "transformers")


def keep_strengths(bank: VectorBank) -> None:
    """Add what was measured with a bank to the cached one, or cache the bank if there is none; see `cached_bank`."""

    def added(cached: VectorBank | None) -> VectorBank | None:
        if cached is None:
            # A damaged file is left to `cached_bank`.
            return None
        cached = replace(cached, entries={**bank.entries, **cached.entries})
        for recipe, fractions in bank.strengths.items():
            # What was measured goes with the directions that it was measured with.
            own, kept = (one.entry(recipe.estimator).directions.vectors for one in (bank, cached))
            if torch.equal(own, kept):
                cached = cached.with_strengths(recipe, fractions)
        return cached

    _change(bank, added)


def keep_tuned(bank: VectorBank) -> None:
    """Cache a bank with the recipe that was tuned on it; what else the cached one holds is kept."""
    _change(bank, lambda cached: replace(bank, entries={**(cached.entries if cached else {}), **bank.entries}))


def keep_updated(bank: VectorBank) -> VectorBank:
    """Cache a bank that took over what an earlier one had, and give what is kept.

    What the user tuned on the cached bank or imported into it goes before what was taken over.
    """
    kept = bank

    def added(cached: VectorBank | None) -> VectorBank:
        nonlocal kept
        if cached is not None:
            tuned = cached.tuning is not None and "taken_over" not in cached.tuning
            own = {
                name: entry for name, entry in cached.entries.items() if entry.imported and (tuned or name != REFINED)
            }
            kept = replace(bank, entries={**bank.entries, **own})
            if tuned:
                kept = replace(kept, recipe=cached.recipe, tuning=cached.tuning, strengths=cached.strengths)
        return kept

    _change(bank, added)
    return kept


def _change(bank: VectorBank, changed: Callable[[VectorBank | None], VectorBank | None]) -> None:
    """Put what `changed` makes of the cached bank in its place.

    Args:
        bank: takes the cached one's place where there is no file.
        changed: is given the cached bank, as others may have changed it meanwhile; None where its file is damaged or
            bound to something else. What it gives is kept, None changes nothing.
    """
    info = bank.info
    path = bank_file(info.model_fingerprint, info.taxonomy_fingerprint)
    try:
        with changing(path):
            shipped = shipped_bank(info.model_fingerprint, info.taxonomy_fingerprint)
            found = Salvage(bank)
            if path.is_file():
                found = _bound(salvaged(path), info.model_fingerprint, info.taxonomy_fingerprint, info.tokenizer)
                found = _up_to_date(found, shipped)
            kept = changed(found.bank)
            if kept is None:
                return
            if found.problem:
                _logger.warning("%s %s: it is replaced.", path, found.problem)
                # Whatever could be had from it, nothing was.
                _say_lost(path, kept, replace(found, entries={}, lost=(*found.lost, *found.entries)))
            kept.save(path)
    except (VispaError, OSError) as error:
        say_unused(path, error)


def _found(path: Path, loaded: LoadedModel, taxonomy: Taxonomy, shipped: VectorBank | None) -> Salvage:
    """What the cache has."""
    try:
        if not path.is_file():
            return Salvage()
    except OSError as error:
        say_unused(path, error)
        return Salvage()
    found = salvaged(path)
    if found.bank is None:
        return found
    return _up_to_date(_bound(found, loaded.fingerprint, taxonomy.fingerprint, loaded.tokenization.digest), shipped)


def _bound(found: Salvage, model: str, taxonomy: str, tokenizer: str) -> Salvage:
    """What a file gives, but nothing of a bank that is bound to something else.

    Args:
        found: in the file.
        model: fingerprint of the model.
        taxonomy: fingerprint of the values.
        tokenizer: digest of what the model reads with; empty where it is not known.
    """
    if found.bank is None:
        return found
    problem = ""
    try:
        found.bank.require(model_fingerprint=model, taxonomy_fingerprint=taxonomy)
    except VispaError as error:
        # A file that somebody renamed: nothing in it is of this model.
        problem = f"is of another model or taxonomy ({error})"
    if not can_be_read_by(found.bank.info, tokenizer):
        # The same weights saw other tokens.
        problem = problem or "was read by another tokenizer of the model"
    return Salvage(None, problem, {}, tuple(found.entries)) if problem else found


def _up_to_date(found: Salvage, shipped: VectorBank | None) -> Salvage:
    """Without directions that an earlier release shipped and this one ships anew, and what was measured with them.

    The package's recipe goes with its own directions: one beside the other's would be another steering than either.
    What the user tuned stays; what a damaged file had under such a name is lost with the recipe that it belonged to.
    Fitted directions are no matter of releases.
    """
    bank = found.bank
    if shipped is None or (bank is not None and bank.tuning is not None):
        return found
    stale = {
        name
        for name, entry in shipped.entries.items()
        if name not in _fitted_names()
        and name in found.entries
        and not torch.equal(found.entries[name].directions.vectors, entry.directions.vectors)
    }
    entries = {name: entry for name, entry in found.entries.items() if name not in stale}
    if bank is None:
        return replace(found, entries=entries, lost=(*found.lost, *sorted(stale)))
    return replace(found, bank=replace(bank.without_strengths(stale), entries=entries), entries=entries)


def _kept(path: Path, fresh: VectorBank, found: Salvage, read: Callable[[], Salvage]) -> VectorBank:
    """The bank with what stays of the file's entries, written to the cache where that can be."""
    try:
        with changing(path):
            # Others may have imported vectors while this process was fitting.
            found = read()
            bank = _merged(fresh, found)
            _say_lost(path, fresh, found)
            bank.save(path)
    except (VispaError, OSError) as error:
        say_unused(path, error)
        return _merged(fresh, found)
    return bank


def _merged(fresh: VectorBank, found: Salvage) -> VectorBank:
    """Fitted entries in their order, then those that fitting does not give."""
    order = _fitted_names()
    entries = {**fresh.entries, **_kept_entries(fresh, found)}
    names = sorted(entries, key=lambda name: order.index(name) if name in order else len(order))
    return replace(fresh, entries={name: entries[name] for name in names})


def _kept_entries(fresh: VectorBank, found: Salvage) -> dict[str, Entry]:
    """What stays of a file: imported vectors, and those of estimators that this release does not know."""
    shape = next(iter(fresh.entries.values())).directions.vectors.shape
    return {
        name: replace(entry, imported=True)
        for name, entry in found.entries.items()
        if entry.directions.vectors.shape == shape and (entry.imported or name not in _fitted_names())
    }


def _say_lost(path: Path, fresh: VectorBank, found: Salvage) -> None:
    """Name the imported vectors that a damaged file loses, and keep that file for whoever wants to look."""
    kept = _kept_entries(fresh, found)
    if found.unchecked and kept:
        _logger.warning("%s: no checksum vouches for the imported vectors that are kept: %s.", path, ", ".join(kept))
    lost = [name for name in (*found.lost, *found.entries) if name not in {*kept, *_fitted_names()}]
    unknown = bool(found.problem) and not (found.entries or found.lost)
    if lost or unknown:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        what = (
            f"imported vectors are lost: {', '.join(lost)}" if lost else "vectors that were imported, if any, are lost"
        )
        _logger.warning("%s: %s; import them again. The damaged file is kept as %s.", path, what, aside)


def _fitted_names() -> list[str]:
    return [one.name for one in ESTIMATORS]
