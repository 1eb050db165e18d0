"""The difference of means."""

from __future__ import annotations

import torch

from vispa.steering.estimators.base import Contrast, Directions, States
from vispa.steering.estimators.quality import with_quality
from vispa.steering.readings import Reading


class MeanDifference:
    """Mean of the expressing minus mean of the opposing activations, not normalised (CAA, arXiv 2312.06681)."""

    def __init__(self, name: str = "mean_difference", reading: Reading = "last", seed: int = 0) -> None:
        self.name, self.reading, self.seed = name, reading, seed
        self.contrast: Contrast = "pairs"

    def fit(self, positive: States, negative: States) -> Directions:
        """See `Estimator.fit`."""
        return with_quality(mean_difference, positive, negative, self.seed)


def mean_difference(positive: States, negative: States) -> torch.Tensor:
    """[V, L, H] mean of the positive minus mean of the negative activations of V values."""
    pairs = zip(positive, negative, strict=True)
    return torch.stack([(above.double().mean(0) - below.double().mean(0)).float() for above, below in pairs])
