"""Where comments stand, by sentence embeddings: no language model reads them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vispa.files.reading import read_toml
from vispa.files.visible import is_blank
from vispa.models.sentences import split_sentences
from vispa.modes.repeats import Encode
from vispa.modes.stances import STANCES
from vispa.once import once_property
from vispa.records import Stance

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

#: Least probability of the likeliest stance; below it, a comment's stance counts as one that cannot be read.
LEAST_STANCE = 0.5

_FILE = Path(__file__).parent / "statements.toml"
# The inverse of the penalty's weight: some eighty statements hold 384 dimensions loosely.
_STRENGTH = 20.0


class StatementStances:
    """A `vispa.modes.stances.StanceReader`: a logistic regression on sentences that take each stance, or none.

    A comment's probabilities are the geometric mean of its sentences' own, so that sentences that take no side, or
    opposite ones, level them out; where none reaches `LEAST_STANCE` the stance is withheld.

    Args:
        encode: sentence embeddings.
    """

    name = "statements"

    def __init__(self, encode: Encode) -> None:
        self._encode = encode

    def read(self, texts: Sequence[str], comments: Sequence[str]) -> list[dict[Stance, float]]:
        """See `StanceReader.read`; what the comments are on does not count."""
        sentences = [[] if is_blank(comment) else split_sentences(comment) for comment in comments]
        flat = [sentence for own in sentences for sentence in own]
        if not flat:
            return [{} for _ in comments]
        logs = self._head.predict_log_proba(self._encode(flat))
        ends = np.cumsum([len(own) for own in sentences])
        return [_stance(logs[end - len(own) : end]) for own, end in zip(sentences, ends, strict=True)]

    @once_property
    def _head(self) -> LogisticRegression:
        from sklearn.linear_model import LogisticRegression

        given = list(_statements().values())
        labels = np.repeat(np.arange(len(given)), [len(sentences) for sentences in given])
        vectors = self._encode([sentence for sentences in given for sentence in sentences])
        return LogisticRegression(C=_STRENGTH, max_iter=1000).fit(vectors, labels)


def _stance(logs: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> dict[Stance, float]:
    """Of one comment by its sentences' log-probabilities [S, 4]; none where it cannot be told."""
    if not len(logs):
        return {}
    mean = logs.mean(0)
    shares = np.exp(mean - mean.max())
    shares /= shares.sum()
    sides = shares[: len(STANCES)]
    if sides.max() < LEAST_STANCE:
        return {}
    return {stance: round(float(share), 4) for stance, share in zip(STANCES, sides / sides.sum(), strict=True)}


@cache
def _statements() -> dict[str, list[str]]:
    """Sentences by stance, and last those that take none."""
    table = read_toml(_FILE)
    return {name: table[name] for name in (*STANCES, "none")}
