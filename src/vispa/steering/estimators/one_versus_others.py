"""One value against the others."""

from __future__ import annotations

import torch

from vispa.steering.estimators.base import Contrast, Directions, States
from vispa.steering.estimators.quality import separation_of, split
from vispa.steering.readings import Reading


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

    def fit(self, positive: States, negative: States) -> Directions:
        """See `Estimator.fit`; `negative` is not used."""
        del negative
        quality, separation = self._quality(positive)
        return Directions(self._means(positive), quality, separation)

    @staticmethod
    def _means(positive: States) -> torch.Tensor:
        means = torch.stack([states.double().mean(0) for states in positive])
        return (means - means.mean(0, keepdim=True)).float()

    def _quality(self, positive: States) -> tuple[torch.Tensor, torch.Tensor]:
        parts = [split(torch.ones(len(states)), self.seed) for states in positive]
        vectors = self._means([states[train] for states, (train, _) in zip(positive, parts, strict=True)])
        # Projections of each value's sentences on every value's direction: a value [direction, N, L]
        projected = [torch.einsum("dlh,nlh->dnl", vectors, states) for states in positive]
        fitted = torch.stack(
            [one[:, train].mean(1) for one, (train, _) in zip(projected, parts, strict=True)], 1
        )  # means: [direction, value, L]
        held_out = [one[:, test] for one, (_, test) in zip(projected, parts, strict=True)]
        values = len(parts)
        own = torch.eye(values, dtype=torch.bool)
        others = torch.where(own[..., None], torch.nan, fitted).nanmean(1)
        threshold = (fitted[own] + others) / 2  # [direction, L]
        above = torch.stack([(one > threshold[:, None]).float().mean(1) for one in held_out], 1)
        own_rate = above[own]
        other_rate = (above.sum(1) - own_rate) / max(1, values - 1)
        separation = [
            separation_of(
                held_out[value][value].T,
                torch.cat([one[value] for other, one in enumerate(held_out) if other != value or values == 1]).T,
            )
            for value in range(values)
        ]
        return (own_rate + 1 - other_rate) / 2, torch.stack(separation)
