"""The first principal component of pair differences."""

from __future__ import annotations

import torch

from vispa.steering.estimators.base import Contrast, Directions, States
from vispa.steering.estimators.quality import with_quality
from vispa.steering.readings import Reading


class Projection:
    """First principal component of the pair differences (Representation Engineering, arXiv 2310.01405).

    Differences are taken as positive minus negative in file order and their mean is *not*
    removed; RepE shuffles the order within pairs and removes the mean, which has the same
    component in expectation, but depends on the draw. Unit length. The sign is the side on which
    the positive member of a pair projects higher more often; on a tie the largest coordinate is
    positive.
    """

    def __init__(self, name: str = "projection", reading: Reading = "last", seed: int = 0) -> None:
        self.name, self.reading, self.seed = name, reading, seed
        self.contrast: Contrast = "pairs"

    def fit(self, positive: States, negative: States) -> Directions:
        """See `Estimator.fit`."""
        return with_quality(self._component, positive, negative, self.seed)

    @staticmethod
    def _component(positive: States, negative: States) -> torch.Tensor:
        components = []
        for above, below in zip(positive, negative, strict=True):
            differences = (above - below).transpose(0, 1).double()  # [L, N, H]
            # With far fewer pairs than dimensions, the eigenvectors of pairs × pairs are cheaper.
            vector = torch.linalg.eigh(differences @ differences.transpose(-1, -2)).eigenvectors[..., -1]
            component = torch.einsum("ln,lnh->lh", vector, differences)
            component = component / component.norm(dim=-1, keepdim=True).clamp_min(1e-30)
            votes = torch.einsum("lnh,lh->ln", differences, component).sign().sum(-1, keepdim=True)
            # On a tie the sign is free; a fixed one keeps the fit deterministic.
            largest = component.gather(-1, component.abs().argmax(-1, keepdim=True))
            components.append(component * torch.where(votes == 0, largest, votes).sign())
        return torch.stack(components).float()
