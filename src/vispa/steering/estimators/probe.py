"""Logistic regression of expressing against opposing activations."""

from __future__ import annotations

import torch

from vispa.steering.estimators.base import Contrast, Directions, States
from vispa.steering.estimators.quality import separation_of, split
from vispa.steering.logistic import fit_logistic
from vispa.steering.readings import Reading


class Probe:
    """Logistic regression on expressing against opposing activations (ConVA, arXiv 2507.11316).

    P(h) = σ(w·h + b), L2 with C = 1, on 70 % of the activations; the other 30 % give the
    accuracy. The split is drawn from a fixed seed and keeps the two classes' shares. The
    direction is w / ‖w‖.
    """

    def __init__(self, name: str = "probe", reading: Reading = "last", seed: int = 0) -> None:
        self.name, self.reading, self.seed = name, reading, seed
        self.contrast: Contrast = "pairs"

    def fit(self, positive: States, negative: States) -> Directions:
        """See `Estimator.fit`."""
        # One value at a time, all its blocks at once: float64 copies of everything would be large.
        fitted = [self._fit_value(*sides) for sides in zip(positive, negative, strict=True)]
        return Directions(*(torch.stack(part).float() for part in zip(*fitted, strict=True)))

    def _fit_value(self, positive: torch.Tensor, negative: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Vector [L, H], accuracy, separation, bias and ‖w‖ (each [L]) from two sides [N, L, H]."""
        labels = torch.tensor([1] * len(positive) + [0] * len(negative))
        train, test = split(labels, self.seed)
        states = torch.cat([positive, negative]).double().transpose(0, 1)  # [L, N, H]
        weight, bias = fit_logistic(states[:, train], labels[train])
        projected = torch.einsum("lnh,lh->ln", states[:, test], weight)
        is_positive = labels[test] == 1
        accuracy = ((projected + bias[:, None] > 0) == is_positive).double().mean(-1)
        separation = separation_of(projected[:, is_positive], projected[:, ~is_positive])
        norm = weight.norm(dim=-1)
        return weight / norm.clamp_min(1e-30)[:, None], accuracy, separation, bias, norm
