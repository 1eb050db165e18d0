"""What a server tells of itself, so that its clients know whose answers they get."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from vispa.items.answering import batch_settings
from vispa.modes.prompts import words_stances
from vispa.request import Sampling

if TYPE_CHECKING:
    from vispa.pipeline import Vispa

# Told as they are.
_PLAIN = ("model", "bank", "taxonomy")


def told_of(pipeline: Vispa, polarity: str) -> dict[str, Any]:
    """Which model answers and all that decides its answers, as JSON.

    Args:
        pipeline: that answers.
        polarity: by which it steers.

    Returns:
        Beside names and fingerprints `words_stances` (`vispa.modes.prompts.words_stances`), and as `settings` a digest
        of each setting, by its name.
    """
    return {
        "model": pipeline.model.name,
        "model_fingerprint": pipeline.model.fingerprint,
        "bank": pipeline.bank.fingerprint,
        "taxonomy": pipeline.taxonomy.fingerprint,
        "polarity": polarity,
        "words_stances": words_stances(pipeline.model.name),
        "settings": _digests(pipeline),
    }


def digest_of(setting: object) -> str:
    """SHA-256 of a setting, as JSON can say it."""
    return hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()


def _digests(pipeline: Vispa) -> dict[str, str]:
    """What decides an answer whatever is asked: digests, since prompts and names of files are nobody else's affair."""
    more = {"aggregator": pipeline.aggregator.name, "language": pipeline.taxonomy.language}
    settings = batch_settings(pipeline, more, Sampling())
    left_out = {*_PLAIN, *Sampling().effective()}
    return {name: digest_of(setting) for name, setting in settings.items() if name not in left_out}
