"""A bank of another version of the taxonomy, brought up to date: only values that changed are read and fitted.

Fitted directions are those of a full fit, byte for byte on the same machine (`vispa.steering.value_fits`). What fitting
cannot bring back, refined and imported directions and a tuned recipe, is taken over for the values that stayed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vispa.errors import BankError, InputError
from vispa.files.folders import cached_banks
from vispa.models.loading import LoadedModel
from vispa.steering.activations import ActivationSource
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import bank_path, keep_updated
from vispa.steering.bank_header import InfoHeader, parsed_header
from vispa.steering.bank_parts import REFINED, BankInfo, Entry, can_be_read_by
from vispa.steering.estimators import FITTED
from vispa.steering.estimators.base import Directions
from vispa.steering.fitting import Progress, default_recipe, fit_bank
from vispa.steering.sealing import stored_header
from vispa.steering.shipped_banks import shipped_headers
from vispa.steering.value_fits import ValueFits
from vispa.taxonomy import Taxonomy

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Update:
    """What became of a bank.

    Attributes:
        bank: of the taxonomy that was asked for.
        earlier: the bank that it was made from; None where the cache has none of the model.
        same: values whose sentences are those of the earlier bank → what they are called there.
        changed: the other values.
        read: the values that were read; more than those that changed where the cache did not have the others.
        lost: entry that fitting cannot bring back → the values that have none of it, or begin it anew.
    """

    bank: VectorBank
    earlier: Path | None
    same: Mapping[str, str]
    changed: tuple[str, ...]
    read: tuple[str, ...]
    lost: Mapping[str, tuple[str, ...]]


def update_bank(
    loaded: LoadedModel,
    taxonomy: Taxonomy,
    earlier: Path | None = None,
    *,
    source: ActivationSource | None = None,
    progress: Progress | None = None,
) -> Update:
    """Fit what changed since an earlier bank, take over the rest, and cache the result beside the earlier one.

    What is known of unchanged values comes from the cache; values that it lacks are read too. Directions that compare a
    value with the others move a little with every value that changes, as they do in a full fit, and so does the typical
    length of the residual stream. What was measured with the earlier bank (`strengths`) is measured anew on first use.

    Args:
        loaded: the model.
        taxonomy: the values as they are now.
        earlier: file of the bank to begin from; by default that of this model with most values in common.
        source: what reads activations; by default the model as transformers runs it.
        progress: told of progress.

    Raises:
        BankError: the earlier bank cannot be used, is of another model, was read by another tokenizer, or does not say
            what it was fitted on.
        NumericalError: an activation is not finite.
    """
    path = earlier or nearest_bank(loaded, taxonomy)
    # Read before anything is computed: it may be of no use.
    base = None if path is None else _usable(path, loaded)
    fits = ValueFits(loaded, large=True, source=source)
    bank = fit_bank(loaded, taxonomy, recipe=default_recipe(loaded), fits=fits, progress=progress)
    same: Mapping[str, str] = {}
    lost: dict[str, tuple[str, ...]] = {}
    if base is not None:
        same = unchanged(_known(base.info), taxonomy)
        bank, lost = taken_over(bank, base, same)
    bank = keep_updated(bank)
    changed = tuple(slug for slug in taxonomy if slug not in same)
    return Update(bank, path, same, changed, tuple(fits.read), lost)


def nearest_bank(loaded: LoadedModel, taxonomy: Taxonomy) -> Path | None:
    """The bank of a model with most values in common with a taxonomy, cached or shipped; None where none has any.

    The taxonomy's own bank does not count, nor does one that another tokenizer of the model read; where nothing else is
    left, a warning names it. Of equals the newest cached one is taken, before the one that ships.
    """
    own = bank_path(loaded, taxonomy)
    files = sorted((path for path in cached_banks() if path != own), key=_changed_at)
    best: tuple[int, Path | None] = (0, None)
    other = None
    for path in (*shipped_headers(), *files):
        info = _info(path)
        if info is None or info.model_fingerprint != loaded.fingerprint:
            continue
        if info.taxonomy_fingerprint == taxonomy.fingerprint:
            continue
        common = len(unchanged(_known(info), taxonomy))
        if common and not can_be_read_by(info, loaded.tokenization.digest):
            other = path
        elif common and common >= best[0]:
            best = (common, path)
    if best[1] is None and other is not None:
        _logger.warning("%s was read by another tokenizer of the model: nothing of it is taken over.", other)
    return best[1]


def unchanged(known: Mapping[str, str], taxonomy: Taxonomy) -> dict[str, str]:
    """Values of a taxonomy whose sentences were known before → what they were called.

    Args:
        known: value → fingerprint of its sentences.
        taxonomy: the values now.
    """
    by_sentences = {digest: slug for slug, digest in known.items()}
    found = {}
    for slug in taxonomy:
        digest = taxonomy.sentences_fingerprint(slug)
        if known.get(slug) == digest:
            found[slug] = slug
        elif digest in by_sentences:
            found[slug] = by_sentences[digest]
    return found


def taken_over(
    fresh: VectorBank, earlier: VectorBank, same: Mapping[str, str]
) -> tuple[VectorBank, dict[str, tuple[str, ...]]]:
    """A fitted bank with what only an earlier one has: entries that fitting does not give, and a tuned recipe.

    In the entry of refined directions, values that changed have those that refining begins from: the fitted ones, as
    long as the refined ones are. In other entries they have none.

    Args:
        fresh: of the values now.
        earlier: of the values before.
        same: value now → value before, of those that did not change.

    Returns:
        The bank, and for each entry the values that lost theirs.
    """
    entries, lost = dict(fresh.entries), {}
    without = tuple(slug for slug in fresh.info.values if slug not in same)
    for name, entry in earlier.entries.items():
        if name not in FITTED and earlier.width == fresh.width:
            entries[name] = _moved(name, entry, fresh, earlier, same)
            if without:
                lost[name] = without
    bank = replace(fresh, entries=entries)
    if earlier.tuning is None or earlier.recipe.estimator not in entries:
        return bank, lost
    # A value may have begun as a copy of another, which then has two that did not change.
    own = earlier.recipe.amounts
    amounts = {slug: own[before] for slug, before in same.items() if before in own}
    record = {
        **earlier.tuning,
        "taken_over": {"taxonomy": earlier.info.taxonomy_fingerprint, "changed_since": list(without)},
    }
    return replace(bank, recipe=replace(earlier.recipe, amounts=amounts), tuning=record), lost


def _moved(name: str, entry: Entry, fresh: VectorBank, earlier: VectorBank, same: Mapping[str, str]) -> Entry:
    """An entry of the earlier bank for the values of the fresh one."""
    rows = [(place, earlier.row(same[slug])) for place, slug in enumerate(fresh.info.values) if slug in same]
    places, sources = [one for one, _ in rows], [one for _, one in rows]
    count = len(fresh.info.values)
    parts = {}
    for part, tensor in vars(entry.directions).items():
        if tensor is not None:
            parts[part] = tensor.new_zeros(count, *tensor.shape[1:])
            parts[part][places] = tensor[sources]
    changed = [place for place in range(count) if place not in set(places)]
    start = _start(entry, fresh) if name == REFINED else None
    if start is not None and changed:
        lengths = entry.directions.vectors.norm(dim=-1).median(0).values
        unit = torch.nn.functional.normalize(start.vectors[changed], dim=-1)
        parts["vectors"][changed] = unit * lengths[:, None]
        parts["quality"][changed] = start.quality[changed]
        parts["separation"][changed] = start.separation[changed]
    return replace(entry, directions=Directions(**parts), imported=True)


def _start(entry: Entry, fresh: VectorBank) -> Directions | None:
    """The fitted directions that refined ones began as: those of the same reading and contrast, where one has them."""
    found = [one for one in fresh.entries.values() if (one.reading, one.contrast) == (entry.reading, entry.contrast)]
    return found[0].directions if len(found) == 1 else None


def _usable(path: Path, loaded: LoadedModel) -> VectorBank:
    """The bank in a file, if it is of the model and says what it was fitted on."""
    bank = VectorBank.load(path)
    if bank.info.model_fingerprint != loaded.fingerprint:
        raise BankError(
            str(path),
            f"was fitted on another model ({bank.info.model}).",
            "Name a bank of this one: `vispa bank list`.",
        )
    if not can_be_read_by(bank.info, loaded.tokenization.digest):
        advice = "Fit without it: what was refined or imported with the other one is of no use to this one."
        raise BankError(str(path), "was read by another tokenizer of the model.", advice)
    if not _known(bank.info):
        advice = "Fit without it; the next update can begin from what is fitted now."
        raise BankError(str(path), "is of an older release and does not say which sentences it was fitted on.", advice)
    return bank


def _changed_at(path: Path) -> float:
    """When a file was changed; 0 of one that another process has deleted meanwhile."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _info(path: Path) -> InfoHeader | None:
    """What a bank's file says that it is bound to; None where it is no bank of this release."""
    try:
        return parsed_header(stored_header(path), str(path)).info
    except InputError:
        return None


def _known(info: BankInfo | InfoHeader) -> dict[str, str]:
    """Value → fingerprint of its sentences; of an older release's bank where the built-in values tell."""
    if info.sentences:
        return dict(zip(info.values, info.sentences, strict=True))
    built_in = Taxonomy.built_in()
    if info.taxonomy_fingerprint == built_in.fingerprint:
        return {slug: built_in.sentences_fingerprint(slug) for slug in built_in}
    return {}
