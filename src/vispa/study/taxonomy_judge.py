"""The judge of a taxonomy's values, and how often it is right about texts that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vispa.models.encoder import Encoder, FloatArray
from vispa.study.known import judging_pairs, known_comments, pair_sentences, tuning_pairs
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy


@dataclass(frozen=True)
class TaxonomyJudge:
    """A judge with what it is worth.

    Attributes:
        judge: of comments.
        learnt_from: `comments` that were written for judges alone, or the taxonomy's own `pairs`, on which vectors are
            fitted too.
        accuracy: of the same judge with half of its texts, on the other half: `hits` and `ranks` of values, and
            `sides` told (see `ValueJudge.accuracy`); for a judge from comments also `pair_hits` and `pair_ranks`, its
            own on sentences of pairs.
    """

    judge: ValueJudge
    learnt_from: Literal["comments", "pairs"]
    accuracy: Mapping[str, float]

    @property
    def words(self) -> str:
        """Where it comes from and how often it is right, in a sentence for reports."""
        found, count = self.accuracy, len(self.judge.values)
        source = {
            "comments": "comments written for judges alone",
            "pairs": "the taxonomy's own pairs, on which the vectors were fitted too: take its word with care",
        }[self.learnt_from]
        also = f"; on sentences of pairs {found['pair_hits']:.0%}" if "pair_hits" in found else ""
        return (
            f"The judge learnt from {source}. On texts it had not seen, half of them kept from it, it finds the value "
            f"in {found['hits']:.0%} of {count} (AUC {found['ranks']:.2f}){also}, and the side in {found['sides']:.0%}."
        )


def judge_of(taxonomy: Taxonomy, encoder: Encoder) -> ValueJudge:
    """The judge of a taxonomy alone, in half the time: what it is worth is not measured; see `taxonomy_judge`."""
    if not has_known_comments(taxonomy):
        return ValueJudge(encoder, pair_sentences(taxonomy))
    return ValueJudge(encoder, known_comments(), judging_pairs(taxonomy))


def has_known_comments(taxonomy: Taxonomy) -> bool:
    """Whether comments were written for a taxonomy's judge: those of the built-in one."""
    return taxonomy.fingerprint == Taxonomy.built_in().fingerprint


def taxonomy_judge(taxonomy: Taxonomy, encoder: Encoder) -> TaxonomyJudge:
    """The judge of a taxonomy: from comments written for it where it is the built-in one, else from its pairs.

    Args:
        taxonomy: at least two values.
        encoder: of texts.

    Raises:
        InputError: the taxonomy has one value.
    """
    encoder = _Remembering(encoder)
    judge, judging, tuning = judge_of(taxonomy, encoder), judging_pairs(taxonomy), tuning_pairs(taxonomy)
    if not has_known_comments(taxonomy):
        accuracy = ValueJudge(encoder, tuning).accuracy(judging)
        return TaxonomyJudge(judge, "pairs", accuracy)
    known = known_comments()
    on_pairs = judge.accuracy(tuning)
    on_comments = ValueJudge(encoder, known.half(odd=False), judging).accuracy(known.half(odd=True))
    accuracy = {
        "hits": on_comments["hits"],
        "ranks": on_comments["ranks"],
        "sides": on_pairs["sides"],
        "pair_hits": on_pairs["hits"],
        "pair_ranks": on_pairs["ranks"],
    }
    return TaxonomyJudge(judge, "comments", accuracy)


class _Remembering:
    """An encoder that embeds a text once: judge, half a judge and their measure read the same ones."""

    def __init__(self, encoder: Encoder) -> None:
        self.name, self._encoder = encoder.name, encoder
        self._known: dict[str, FloatArray] = {}

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """[N, D], as the encoder's."""
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        vectors = self._encoder.encode(new, progress)
        self._known.update(zip(new, vectors, strict=True))
        return np.stack([self._known[text] for text in texts]) if texts else vectors
