"""From a sentence embedding to one probability a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vispa.models.encoder import FloatArray

# Inverse strength of the L2 penalty, chosen by cross-validation on the labelled situations.
_PENALTY = 1.0


@dataclass(frozen=True)
class Calibration:
    """p(yes) = σ(slope · score + offset)."""

    slope: float
    offset: float


@dataclass(frozen=True)
class Unlabelled:
    """What values without labelled situations are compared with; see `vispa.selection.unlabelled`.

    Attributes:
        situations: mean of the embeddings of situations, [D].
        definitions: mean of those of the labelled values' definitions, [D].
        sentences: mean of those of the sentences of their pairs, [D].
        covariance: of the labelled values' logits over situations, [V, V].
        spread: deviation over situations of their part in a direction that parts a value from the others.
        calibration: of what comes of all that.
    """

    situations: FloatArray
    definitions: FloatArray
    sentences: FloatArray
    covariance: FloatArray
    spread: float
    calibration: Calibration


@dataclass(frozen=True)
class LinearHead:
    """p(yes | embedding x) = σ(x·w + b) for V values: that a value is at stake, say.

    Attributes:
        values: slugs.
        weight: [V, D].
        bias: [V].
        unlabelled: of the same encoder, for other values; None where it was not fitted, or is of more values.
    """

    values: tuple[str, ...]
    weight: FloatArray
    bias: FloatArray
    unlabelled: Unlabelled | None = None

    def probabilities(self, embeddings: FloatArray) -> FloatArray:
        """[N, V] in (0, 1) from unit embeddings [N, D]."""
        logits = embeddings @ self.weight.T + self.bias
        return (1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).astype(np.float32)

    def restricted(self, values: tuple[str, ...]) -> LinearHead:
        """The same head for some of its values, in the order given."""
        rows = [self.values.index(slug) for slug in values]
        return LinearHead(values, self.weight[rows], self.bias[rows])

    def calibrated(self, embeddings: FloatArray, labels: FloatArray) -> LinearHead:
        """The same ranking with probabilities that hold: one slope and one offset for all values (Platt scaling).

        Args:
            embeddings: [N, D] unit vectors that the head was not fitted on.
            labels: [N, V], 1 for yes.
        """
        logits = embeddings @ self.weight.T + self.bias
        fitted = fit_calibration(logits, labels)
        bias = fitted.slope * self.bias + fitted.offset
        return replace(self, weight=np.float32(fitted.slope) * self.weight, bias=bias.astype(np.float32))


def fit_head(
    embeddings: FloatArray, targets: FloatArray, values: Sequence[str], penalty: float = _PENALTY
) -> LinearHead:
    """One logistic regression a value on labelled embeddings.

    Args:
        embeddings: [N, D] unit vectors.
        targets: [N, V], how far the answer is yes, from 0 to 1; not a number where a situation says nothing of a value.
        values: slugs of the V values.
        penalty: C of scikit-learn's logistic regression.
    """
    from sklearn.linear_model import LogisticRegression

    weight = np.empty((len(values), embeddings.shape[1]), dtype=np.float32)
    bias = np.empty(len(values), dtype=np.float32)
    for number in range(len(values)):
        told = ~np.isnan(targets[:, number])
        known, share = embeddings[told], targets[told, number]
        # A share of a yes is a yes and a no, each with its weight; what weighs nothing stays out.
        answers, weights = np.repeat((1, 0), len(share)), np.concatenate((share, 1 - share))
        model = LogisticRegression(C=penalty, max_iter=2000).fit(
            np.concatenate((known, known))[weights > 0], answers[weights > 0], weights[weights > 0]
        )
        weight[number], bias[number] = model.coef_[0], model.intercept_[0]
    return LinearHead(tuple(values), weight, bias)


def fit_calibration(scores: FloatArray, labels: FloatArray) -> Calibration:
    """Slope and offset with which scores become probabilities of labels, of the same shape."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e6).fit(scores.reshape(-1, 1), labels.reshape(-1))
    return Calibration(float(model.coef_[0, 0]), float(model.intercept_[0]))
