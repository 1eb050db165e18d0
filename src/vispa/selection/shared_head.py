"""Heads that tell relevance, for any encoder and any values, fitted once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from vispa.errors import VispaError
from vispa.files.caching import say_unused
from vispa.files.door import read_bytes
from vispa.files.folders import cache_folder
from vispa.models.encoder import Encoder, FloatArray
from vispa.models.sources.progress import Progress
from vispa.selection.adapted import ADAPTER_FILES, adaptation
from vispa.selection.head import LinearHead, fit_head
from vispa.selection.labelled import DEVELOPMENT, TRAINING, label_matrix, load_situations, target_matrix
from vispa.selection.unlabelled import Moments, Tellings, arrays, calibrated_apart, numbers, row, stored
from vispa.taxonomy import Taxonomy

# Another number where heads are made in another way, with other constants too.
_FORMAT = "vispa-head-3"
_STAGE = "reading the values"
# What an encoder makes of these tells it from another one of the same name.
_PROBE = ("Should I keep a promise?", "The river was cold.", "7")
_SAME_VECTORS = 1e-3

_logger = logging.getLogger(__name__)


def relevance_head(encoder: Encoder, taxonomy: Taxonomy, progress: Progress | None = None) -> LinearHead:
    """The head of an encoder and a taxonomy, from the package, from the user's cache, or fitted on the spot.

    Values whose label and definition are built in have a head of their own, learned from labelled situations. That of
    other values is made of their definitions and pairs; see `vispa.selection.unlabelled`.

    Args:
        encoder: of the texts.
        taxonomy: the values.
        progress: told of progress while fitting.
    """
    own = own_values(taxonomy)
    reference = _reference(encoder, bool(own), progress)
    if not own:
        return reference.restricted(tuple(taxonomy))
    about = f"{taxonomy.fingerprint} beside {Taxonomy.built_in().fingerprint}"
    return _cached(encoder, about, lambda: _extended(reference, encoder, taxonomy, own, progress))


def own_values(taxonomy: Taxonomy) -> tuple[str, ...]:
    """Slugs of the values that are not built in, or that mean something else by a built-in slug."""
    built_in = {value.slug: (value.label, value.definition) for value in Taxonomy.built_in().values}
    return tuple(value.slug for value in taxonomy.values if built_in.get(value.slug) != (value.label, value.definition))


def fit_reference(encoder: Encoder, *, calibrated: bool = True, progress: Progress | None = None) -> LinearHead:
    """The head of the built-in values, from the labelled situations.

    Args:
        encoder: of the situations.
        calibrated: measure what other values are compared with too, which takes the embeddings of all built-in pairs.
        progress: told of progress.
    """
    labelled, others, values = load_situations(), load_situations(DEVELOPMENT), tuple(Taxonomy.built_in())
    texts = (*labelled.texts, *others.texts)
    embeddings = encoder.encode(texts, _told(progress, "reading situations", len(texts)))
    known, unseen = np.split(embeddings, [len(labelled.texts)])
    labels = label_matrix(others, values)
    head = fit_head(known, target_matrix(labelled, values), values).calibrated(unseen, labels)
    if not calibrated:
        return head
    tellings = read_values(encoder, Taxonomy.built_in(), values, progress)
    return replace(head, unlabelled=calibrated_apart(head, Moments.of(known), tellings, unseen, labels))


def read_values(
    encoder: Encoder, taxonomy: Taxonomy, slugs: tuple[str, ...], progress: Progress | None = None
) -> Tellings:
    """What tells some values: their definitions, and the sentences of their pairs."""
    texts, counts = [], []
    for slug in slugs:
        value = taxonomy[slug]
        sentences = [text for side in taxonomy.sentences(slug) for text in side]
        texts += [f"{value.label}: {value.definition}", *sentences]
        counts.append(1 + len(sentences))
    vectors = encoder.encode(texts, _told(progress, _STAGE, len(texts)))
    return Tellings.read(np.split(vectors, np.cumsum(counts)[:-1]))


def _reference(encoder: Encoder, calibrated: bool, progress: Progress | None) -> LinearHead:
    if encoder.name in ADAPTER_FILES:
        return adaptation(ADAPTER_FILES[encoder.name]).relevance
    return _cached(
        encoder,
        f"built in{', and what others are compared with' if calibrated else ''}: {Taxonomy.built_in().fingerprint}",
        lambda: fit_reference(encoder, calibrated=calibrated, progress=progress),
    )


def _extended(
    reference: LinearHead, encoder: Encoder, taxonomy: Taxonomy, own: tuple[str, ...], progress: Progress | None
) -> LinearHead:
    """The reference's rows for built-in values, and rows for the others."""
    if reference.unlabelled is None:
        raise VispaError("the reference head says nothing of other values.")
    told = read_values(encoder, taxonomy, own, progress)
    weight, bias = [], []
    for slug in taxonomy:
        if slug in own:
            place = own.index(slug)
            made = row(reference, reference.unlabelled, told.definitions[place], told.sentences[place])
        else:
            place = reference.values.index(slug)
            made = reference.weight[place], reference.bias[place]
        weight.append(made[0])
        bias.append(made[1])
    return LinearHead(tuple(taxonomy), np.stack(weight), np.array(bias, dtype=np.float32))


def _told(progress: Progress | None, stage: str, total: int) -> Callable[[int], None] | None:
    return None if progress is None else lambda done: progress(stage, done, total)


# ---------------------------------------------------------------- keeping


def _cached(encoder: Encoder, about: str, make: Callable[[], LinearHead]) -> LinearHead:
    """A head from the user's cache, else made and kept there; a cache that cannot be used stops nothing."""
    path = _path(encoder.name, about)
    probe = encoder.encode(_PROBE)
    head = _kept(path, probe)
    if head is None:
        head = make()
        _keep(path, head, probe)
    return head


def _path(encoder: str, about: str) -> Path:
    """Named after all that a head depends on, but for the encoder's weights, which the probe stands for."""
    digest = hashlib.sha256(json.dumps([_FORMAT, encoder, about]).encode())
    for file in (TRAINING, DEVELOPMENT):
        digest.update(read_bytes(file, "table"))
    if encoder in ADAPTER_FILES:
        digest.update(read_bytes(ADAPTER_FILES[encoder], "table"))
    return cache_folder() / "heads" / f"{digest.hexdigest()[:40]}.safetensors"


def _kept(path: Path, probe: FloatArray) -> LinearHead | None:
    """The head in a file; None where there is none, it is damaged, or it is another encoder's."""
    from vispa.steering.sealing import read_sealed

    try:
        if not path.is_file():
            return None
        found = read_sealed(path)
        if not found.whole or found.broken:
            raise VispaError("its checksum does not fit")
        header = json.loads(found.header)
        tensors = {name: tensor.numpy() for name, tensor in found.tensors.items()}
        if tensors["probe"].shape != probe.shape or not np.allclose(tensors["probe"], probe, atol=_SAME_VECTORS):
            return None
        unlabelled = header["unlabelled"] and stored(tensors, header["unlabelled"])
        return LinearHead(tuple(header["values"]), tensors["weight"], tensors["bias"], unlabelled)
    except (VispaError, OSError, ValueError, KeyError, TypeError) as error:
        _logger.warning("%s is not used (%s); it is fitted anew.", path, error)
        return None


def _keep(path: Path, head: LinearHead, probe: FloatArray) -> None:
    import torch

    from vispa.steering.sealing import write_sealed

    known = head.unlabelled
    header = {"format": _FORMAT, "values": head.values, "unlabelled": known and numbers(known)}
    kept = {"weight": head.weight, "bias": head.bias, "probe": probe, **(arrays(known) if known else {})}
    try:
        write_sealed(path, header, {name: torch.from_numpy(np.array(array)) for name, array in kept.items()})
    except (VispaError, OSError) as error:
        say_unused(path, error)
