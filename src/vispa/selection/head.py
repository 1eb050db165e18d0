"""From a sentence embedding to one probability per value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vispa.errors import VispaError
from vispa.files.writing import replacing
from vispa.models.encoder import FloatArray

# Inverse strength of the L2 penalty, chosen by cross-validation on the labelled situations.
_PENALTY = 1.0


@dataclass(frozen=True)
class Calibration:
    """p(value relevant) = σ(slope · cosine of text and value + offset), for values without labelled situations."""

    slope: float
    offset: float


@dataclass(frozen=True)
class RelevanceHead:
    """p(value relevant | embedding x) = σ(x·w + b), for V values.

    Attributes:
        values: slugs.
        weight: [V, D].
        bias: [V].
        calibration: of the same encoder, for other values; None where it was not fitted.
    """

    values: tuple[str, ...]
    weight: FloatArray
    bias: FloatArray
    calibration: Calibration | None = None

    def probabilities(self, embeddings: FloatArray) -> FloatArray:
        """[N, V] in (0, 1) from unit embeddings [N, D]."""
        logits = embeddings @ self.weight.T + self.bias
        return (1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).astype(np.float32)

    def restricted(self, values: tuple[str, ...]) -> RelevanceHead:
        """The same head for some of its values, in the order given."""
        rows = [self.values.index(slug) for slug in values]
        return RelevanceHead(values, self.weight[rows], self.bias[rows], self.calibration)

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Write to a safetensors file."""
        from safetensors.numpy import save_file

        with replacing(path) as temporary:
            save_file(
                {"weight": self.weight, "bias": self.bias},
                temporary,
                metadata={
                    "values": json.dumps(self.values),
                    "calibration": json.dumps(self.calibration and asdict(self.calibration)),
                    **metadata,
                },
            )


def load_head(path: Path) -> RelevanceHead:
    """Read a head that `RelevanceHead.save` wrote.

    Raises:
        VispaError: the file of the package is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            about = file.metadata()
            values, calibration = tuple(json.loads(about["values"])), json.loads(about["calibration"])
            return RelevanceHead(
                values, file.get_tensor("weight"), file.get_tensor("bias"), calibration and Calibration(**calibration)
            )
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise VispaError(f"{path} is damaged ({error}); install the package anew.") from error


def fit_head(
    embeddings: FloatArray, labels: FloatArray, values: Sequence[str], penalty: float = _PENALTY
) -> RelevanceHead:
    """One logistic regression a value on labelled embeddings.

    Args:
        embeddings: [N, D] unit vectors.
        labels: [N, V], 1 where the value is at stake.
        values: slugs of the V values.
        penalty: C of scikit-learn's logistic regression.
    """
    from sklearn.linear_model import LogisticRegression

    weight = np.empty((len(values), embeddings.shape[1]), dtype=np.float32)
    bias = np.empty(len(values), dtype=np.float32)
    for number in range(len(values)):
        model = LogisticRegression(C=penalty, max_iter=2000).fit(embeddings, labels[:, number])
        weight[number], bias[number] = model.coef_[0], model.intercept_[0]
    return RelevanceHead(tuple(values), weight, bias)
