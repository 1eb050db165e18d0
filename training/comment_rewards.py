"""How good a comment is for a value on a situation, as one number that steering vectors are trained for.

A harmonic mean, as the studies measure whole recipes (`vispa.study.expression`), of a single comment's expression,
relation to its situation and fluency: whatever is worst counts most. Less for what speaks against its value, is a few
words long, or says what the comments for other values say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.fine_tuning.lessons import WRITTEN
from vispa.files.tables import read_table
from vispa.models.encoder import Encoder, FloatArray
from vispa.study.fluency import repeated_shares
from vispa.study.known import tuning_pairs
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy

FloatRow = npt.NDArray[np.float64]

#: Weights of relation and fluency in the harmonic mean; expression weighs 1.
RELATION, FLUENCY = 1.3, 2.0
#: Beyond this cosine with the comments for other values on the same situation a comment loses so much of the excess.
ALIKE, LOSS = 0.3, 0.3
#: Words of a comment that is long enough.
WORDS = 14
# The whole mean is not lost where a part of it is.
_LEAST = 0.03
# Inverse strength of the L2 penalty of the judge of written comments.
_PENALTY = 30.0
# A log-probability of so many nats below certainty expresses nothing.
_NATS = 5.0
# A situation that the plain model hardly speaks of asks for no less than this.
_LEAST_TOPIC = 0.2


@dataclass(frozen=True)
class Commented:
    """N comments with what their rewards hang on.

    Attributes:
        situations: what each is on.
        values: place, among the judges' values, of the value that each is for.
        texts: the comments.
        nll: negative log-likelihood per token under the unsteered model, in nats.
        plain_nll: the same of the unsteered model's own comments on the situation, decoded in the same way.
        plain_topic: cosine of those comments and the situation.
    """

    situations: Sequence[str]
    values: npt.NDArray[np.int64]
    texts: Sequence[str]
    nll: FloatRow
    plain_nll: FloatRow
    plain_topic: FloatRow


class CommentRewards:
    """Rewards of comments.

    Two judges hear the value: one learnt from half of the contrastive pairs, as in tuning, one from comments that were
    written for all values; the former also hears the side. The judge of the benchmarks learnt values from other
    comments and sides from the other half of the pairs, but reads with the same sentence encoder.

    Args:
        encoder: of texts.
        taxonomy: of the values.
    """

    def __init__(self, encoder: Encoder, taxonomy: Taxonomy) -> None:
        from sklearn.linear_model import LogisticRegression

        self.encoder = encoder
        self.judge = ValueJudge(encoder, tuning_pairs(taxonomy))
        rows = [row.fields for row in read_table(WRITTEN, ("situation", "value", "comment")).rows]
        texts = encoder.encode([row["comment"] for row in rows])
        labels = [self.values.index(row["value"]) for row in rows]
        self._of_written = LogisticRegression(C=_PENALTY, max_iter=500).fit(texts, labels)

    @property
    def values(self) -> tuple[str, ...]:
        """The values that the judges tell apart."""
        return self.judge.values

    def topics(self, situations: Sequence[str], texts: Sequence[str]) -> FloatRow:
        """[N] cosines of texts and their situations."""
        return np.asarray((self._embedded(texts) * self._embedded(situations)).sum(1), dtype=np.float64)

    def __call__(self, found: Commented) -> FloatRow:
        """[N] rewards, at most about 1."""
        vectors = self._embedded(found.texts)
        expression, promotes = self._expressed(vectors, found.values)
        topic = (vectors * self._embedded(found.situations)).sum(1)
        relation = np.clip(topic / np.maximum(found.plain_topic, _LEAST_TOPIC), 0.0, 1.0)
        fluency = np.exp(np.minimum(0.0, found.plain_nll - found.nll))
        # Greedy decoding makes a loop of what is only a habit in a sampled text.
        fluency = fluency * (1.0 - np.minimum(1.0, 3.0 * repeated_shares(found.texts)))
        mean = harmonic_mean(expression, relation, fluency)
        words = np.array([len(text.split()) for text in found.texts])
        alike = likeness(vectors, found.situations, found.values)
        whole = mean * (0.5 + 0.5 * promotes) * np.minimum(1.0, words / WORDS)
        return np.asarray(whole - LOSS * np.maximum(0.0, alike - ALIKE), dtype=np.float64)

    def _expressed(self, vectors: FloatArray, values: npt.NDArray[np.int64]) -> tuple[FloatRow, FloatRow]:
        """[N] how clearly each comment speaks for its value among all, from 0 to 1, and how likely it is for it."""
        verdicts = self.judge.judge_embedded(vectors, [self.values[value] for value in values])
        logs = np.stack([verdicts.logits, self._of_written.predict_log_proba(vectors)])
        own = logs[:, np.arange(len(values)), values]
        rank = (logs < own[..., None]).mean((0, 2))
        # The rank leads on where a probability is too small to tell, the logarithm where it is next to nothing.
        near = np.clip(1.0 + own.mean(0) / _NATS, 0.0, 1.0)
        return 0.5 * np.exp(own).mean(0) + 0.2 * rank + 0.3 * near, verdicts.promotes

    def _embedded(self, texts: Sequence[str]) -> FloatArray:
        return self.encoder.encode([text if text.strip() else "." for text in texts])


def harmonic_mean(expression: FloatRow, relation: FloatRow, fluency: FloatRow) -> FloatRow:
    """The weighted harmonic mean of shares, each a little above 0."""
    parts = 1.0 / (expression + _LEAST) + RELATION / (relation + _LEAST) + FLUENCY / (fluency + _LEAST)
    return np.asarray((1.0 + RELATION + FLUENCY) / parts)


def likeness(vectors: FloatArray, situations: Sequence[str], values: npt.NDArray[np.int64]) -> FloatRow:
    """[N] mean cosine of each comment with those on its situation for other values; 0 where there are none."""
    places = np.unique(np.array(situations, dtype=object).astype(str), return_inverse=True)[1]
    out = np.zeros(len(values))
    for place in range(places.max() + 1):
        own = np.flatnonzero(places == place)
        other = values[own][:, None] != values[own][None]
        cosine = vectors[own] @ vectors[own].T
        out[own] = (cosine * other).sum(1) / np.maximum(1, other.sum(1))
    return out
