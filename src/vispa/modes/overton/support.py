"""Which comments say what a sentence says, by sentence embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vispa.files.visible import is_blank
from vispa.models.sentences import split_sentences
from vispa.modes.checks import comment_checks
from vispa.modes.repeats import alike, differs
from vispa.records import Claim, Comment

#: Least cosine similarity to a comment's sentence from which on that comment supports a sentence.
#: With all-MiniLM-L6-v2, paraphrases of short sentences mostly lie above it and other sentences on
#: the same topic below.
LEAST_SUPPORT = 0.5


class TextEncoder(Protocol):
    """Turns texts into unit vectors."""

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors of length 1, [N, D]."""
        ...


def supported_claims(
    responses: Sequence[str],
    comments: Sequence[Sequence[Comment]],
    encoder: TextEncoder,
    *,
    least: float = LEAST_SUPPORT,
) -> list[tuple[Claim, ...]]:
    """The sentences of each response with the comments that support them.

    A sentence's support by a comment is the highest cosine similarity to any sentence of the
    comment, 0 where that is negative; one that says the opposite in nearly the same words does not
    count. All texts are embedded in one batch.

    Args:
        responses: N texts.
        comments: those that each response was written from.
        encoder: of sentences.
        least: support from which on a comment counts.
    """
    sentences = [split_sentences(response) for response in responses]
    spoken = [[[] if _is_silent(one) else split_sentences(one.text) for one in row] for row in comments]
    texts = sorted({s for row in sentences for s in row} | {s for row in spoken for c in row for s in c})
    place = {text: number for number, text in enumerate(texts)}
    vectors = encoder.encode(texts) if texts else np.zeros((0, 1), dtype=np.float32)
    return [
        tuple(_claim(sentence, [_support(sentence, c, vectors, place) for c in said], row, least) for sentence in found)
        for found, said, row in zip(sentences, spoken, comments, strict=True)
    ]


def _is_silent(comment: Comment) -> bool:
    return comment.refused or is_blank(comment.text)


def _support(sentence: str, said: Sequence[str], vectors: npt.NDArray[np.float32], place: Mapping[str, int]) -> float:
    """How strongly a comment of these sentences supports another sentence."""
    cosines = {other: float(vectors[place[sentence]] @ vectors[place[other]]) for other in said}
    same = comment_checks().same
    near = {other for other in said if cosines[other] >= same or alike(sentence, other)}
    return max((cosines[other] for other in said if other not in near or not differs(sentence, other)), default=0.0)


def _claim(sentence: str, support: Sequence[float], comments: Sequence[Comment], least: float) -> Claim:
    supporting = tuple(i for i, strength in enumerate(support) if strength >= least)
    best = min(1.0, max(0.0, *support, 0.0))
    return Claim(
        text=sentence,
        values=tuple(dict.fromkeys(comments[i].value for i in supporting)),
        comments=supporting,
        support=round(best, 4),
        supported=bool(supporting),
    )
