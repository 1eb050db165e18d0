"""Estimators: from the activations of sentences to one direction per value and block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch

from vispa.steering.activations import Reading

#: What a value's expressing sentences are compared with: the opposing sentences of its pairs,
#: or the expressing sentences of all values.
Contrast = Literal["pairs", "others"]

_MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class Directions:
    """What an estimator learned for V values at L blocks of width H.

    Attributes:
        vectors: [V, L, H] float32; what is added at coefficient 1.
        quality: [V, L] held-out accuracy of telling the two sides apart along the direction.
        bias: [V, L] of the probe's logit, or None for estimators without a probability.
        weight_norm: [V, L] ‖w‖ of the probe, or None.
    """

    vectors: torch.Tensor
    quality: torch.Tensor
    bias: torch.Tensor | None = None
    weight_norm: torch.Tensor | None = None


class Estimator(Protocol):
    """Fits directions on cached activations.

    Attributes:
        name: under which a bank keeps the result.
        reading: the activations it wants.
        contrast: what it compares.
    """

    name: str
    reading: Reading
    contrast: Contrast

    def fit(self, positive: torch.Tensor, negative: torch.Tensor) -> Directions:
        """Fit on expressing and opposing activations, both [V, N, L, H] float32."""
        ...


class Probe:
    """Logistic regression on expressing against opposing activations (ConVA, arXiv 2507.11316).

    P(h) = σ(w·h + b), L2 with C = 1, on 70 % of the activations; the other 30 % give the
    accuracy. The split is drawn from a fixed seed and keeps the two classes' shares. The
    direction is w / ‖w‖.
    """

    def __init__(self, name: str = "probe", reading: Reading = "last", seed: int = 0) -> None:
        self.name, self.reading, self.seed = name, reading, seed
        self.contrast: Contrast = "pairs"

    def fit(self, positive: torch.Tensor, negative: torch.Tensor) -> Directions:
        """See `Estimator.fit`."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import train_test_split
        from threadpoolctl import threadpool_limits

        values, count, blocks, hidden = positive.shape
        vectors = torch.empty(values, blocks, hidden)
        quality, bias, norm = (torch.empty(values, blocks) for _ in range(3))
        labels = np.repeat([1, 0], [count, negative.shape[1]])
        train, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=self.seed, stratify=labels)
        states = torch.cat([positive, negative], dim=1).double().numpy()
        # The problems are small: threads would wait for each other longer than they compute.
        with threadpool_limits(1):
            for value in range(values):
                for block in range(blocks):
                    x = states[value, :, block]
                    model = LogisticRegression(C=1.0, max_iter=_MAX_ITERATIONS).fit(x[train], labels[train])
                    weight = torch.from_numpy(model.coef_[0])
                    norm[value, block] = weight.norm()
                    vectors[value, block] = weight / weight.norm().clamp_min(1e-30)
                    bias[value, block] = float(model.intercept_[0])
                    quality[value, block] = float(model.score(x[test], labels[test]))
        return Directions(vectors, quality, bias, norm)


class OneVersusOthers:
    """Mean of a value's expressing activations minus the mean over all values' (not normalised).

    Says what makes a value different from the other values, where promote-minus-oppose says
    what makes it different from its opposite. Quality is the balanced accuracy, on the 30 %
    of the sentences left out, of telling the value's sentences from the others' with the
    threshold midway between the two projected means of the 70 %.
    """

    def __init__(self, name: str = "one_versus_others", reading: Reading = "mean", seed: int = 0) -> None:
        self.name, self.reading, self.seed = name, reading, seed
        self.contrast: Contrast = "others"

    def fit(self, positive: torch.Tensor, negative: torch.Tensor) -> Directions:
        """See `Estimator.fit`; `negative` is not used."""
        del negative
        return Directions(self._means(positive), self._quality(positive))

    @staticmethod
    def _means(positive: torch.Tensor) -> torch.Tensor:
        means = positive.double().mean(1)
        return (means - means.mean(0, keepdim=True)).float()

    def _quality(self, positive: torch.Tensor) -> torch.Tensor:
        values, count = positive.shape[:2]
        order = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed))
        split = max(1, round(0.7 * count))
        train, test = positive[:, order[:split]], positive[:, order[split:]]
        if not test.shape[1]:
            test = train
        vectors = self._means(train)
        # Projections of every value's sentences on every value's direction: [direction, value, N, L]
        fitted = torch.einsum("dlh,vnlh->dvnl", vectors, train)
        held_out = torch.einsum("dlh,vnlh->dvnl", vectors, test)
        own = torch.eye(values, dtype=torch.bool)
        others = torch.where(own[..., None, None], torch.nan, fitted)
        threshold = (fitted[own].mean(1) + others.nanmean((1, 2))) / 2  # [direction, L]
        above = (held_out > threshold[:, None, None, :]).float().mean(2)  # [direction, value, L]
        own_rate = above[own]
        other_rate = (above.sum(1) - own_rate) / max(1, values - 1)
        return (own_rate + 1 - other_rate) / 2
