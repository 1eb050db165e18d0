"""A judge of comments: which value a text speaks for, and whether for it or against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vispa.errors import InputError
from vispa.models.encoder import Encoder, FloatArray
from vispa.study.known import KnownTexts

FloatGrid = npt.NDArray[np.float64]

# Inverse strengths of the L2 penalties, chosen on known texts that the judges had not seen.
_PENALTY_OF_VALUES, _PENALTY_OF_SIDES = 3.0, 10.0


@dataclass(frozen=True)
class Verdicts:
    """What the judge says of N texts, each written for one of V values.

    Attributes:
        logits: [N, V] log-probability that the text speaks for each value, as if for exactly one.
        intended: [N] place of the value that the text was written for.
        promotes: [N] probability that the text is for its value rather than against it.
    """

    logits: FloatGrid
    intended: npt.NDArray[np.int64]
    promotes: FloatGrid

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        """[N] whether the intended value is the likeliest of all."""
        return np.asarray(self.logits.argmax(-1) == self.intended)

    @property
    def ranks(self) -> FloatGrid:
        """[N] share of the other values that the intended one is ahead of; half for a draw.

        Its mean is the area under the ROC curve of telling the intended value from the others.
        """
        own = self.logits[np.arange(len(self.intended)), self.intended][:, None]
        ahead = (own > self.logits).sum(-1) + 0.5 * ((own == self.logits).sum(-1) - 1)
        return np.asarray(ahead / max(1, self.logits.shape[-1] - 1), dtype=np.float64)


class ValueJudge:
    """Logistic regressions on sentence embeddings: one over all values, and one of either side for each value.

    It is no part of selection and shares no labels with it. How far to trust it is measured on known texts that it
    has not seen; see `accuracy`.

    Args:
        encoder: of texts.
        known: texts to learn from, for at least two values.
        sides: texts to learn from what is for a value and what against it; by default `known`. Contrastive pairs
            suit it best, whose two sides differ in nothing else.

    Raises:
        InputError: fewer than two values, or a value without texts on either side.

    Example:
        >>> from vispa.models.encoder import load_encoder
        >>> karma, face = ("You reap what you sow.", "Deeds return."), ("Spare him the shame.", "Do not embarrass her.")
        >>> known = KnownTexts({"karma": karma, "face": face}, {"karma": face, "face": karma})
        >>> ValueJudge(load_encoder(), known).judge(["Whatever you do comes back to you."], ["karma"]).hits
        array([ True])
    """

    def __init__(self, encoder: Encoder, known: KnownTexts, sides: KnownTexts | None = None) -> None:
        from sklearn.linear_model import LogisticRegression

        self.encoder, self.values = encoder, tuple(known.promoting)
        if len(self.values) < 2:
            raise InputError("values", f"are {len(self.values)}.", "A judge tells at least two values apart.")
        texts = _embedded(encoder, known.promoting, self.values)
        labels = np.repeat(np.arange(len(self.values)), [len(own) for own in texts])
        promoting = texts if sides is None else _embedded(encoder, sides.promoting, self.values)
        opposing = _embedded(encoder, (sides or known).opposing, self.values)
        self._of_values: Any = LogisticRegression(C=_PENALTY_OF_VALUES, max_iter=3000).fit(
            np.concatenate(texts), labels
        )
        self._of_sides: list[Any] = [
            LogisticRegression(C=_PENALTY_OF_SIDES, class_weight="balanced", max_iter=3000).fit(
                np.concatenate([own, other]), [1] * len(own) + [0] * len(other)
            )
            for own, other in zip(promoting, opposing, strict=True)
        ]

    def judge(
        self, texts: Sequence[str], intended: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> Verdicts:
        """What N texts speak for, each of them written for the value of the same place.

        Raises:
            InputError: a value that the judge does not know.
        """
        return self.judge_embedded(self.encoder.encode(texts, progress), intended)

    def judge_embedded(self, vectors: FloatArray, intended: Sequence[str]) -> Verdicts:
        """As `judge`, for texts that are embedded already, [N, D]."""
        for value in set(intended) - set(self.values):
            raise InputError("values", f"{value!r} is unknown to the judge.", f"It knows {', '.join(self.values)}.")
        places = np.array([self.values.index(value) for value in intended], dtype=np.int64)
        promotes = np.empty(len(places))
        for place in np.unique(places):
            own = places == place
            promotes[own] = self._of_sides[place].predict_proba(vectors[own])[:, 1]
        return Verdicts(self._of_values.predict_log_proba(vectors), places, promotes)

    def accuracy(self, known: KnownTexts) -> dict[str, float]:
        """How often the judge is right about known texts that it has not seen.

        Returns:
            `hits`: share of the promoting texts whose value it finds among all; `ranks`: their mean rank (see
            `Verdicts.ranks`); `sides`: share of texts whose side it finds, both sides weighing the same.
        """
        (own, of_own), (other, of_other) = (_flat(texts, self.values) for texts in (known.promoting, known.opposing))
        promoting, opposing = self.judge(own, of_own), self.judge(other, of_other)
        sides = ((promoting.promotes > 0.5).mean() + (opposing.promotes <= 0.5).mean()) / 2
        return {
            "hits": float(promoting.hits.mean()),
            "ranks": float(promoting.ranks.mean()),
            "sides": float(sides),
        }


def _flat(texts: Any, values: Sequence[str]) -> tuple[list[str], list[str]]:
    """All texts of some values, and the value of each."""
    return [text for value in values for text in texts[value]], [value for value in values for _ in texts[value]]


def _embedded(encoder: Encoder, texts: Any, values: Sequence[str]) -> list[FloatArray]:
    """The texts' vectors, a matrix for each value."""
    for value in values:
        if not texts.get(value):
            raise InputError(
                "texts", f"has none for {value} on one side.", "Give every value texts for and against it."
            )
    vectors = encoder.encode(_flat(texts, values)[0])
    return list(np.split(vectors, np.cumsum([len(texts[value]) for value in values])[:-1]))
