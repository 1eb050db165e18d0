"""One value against the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vispa.steering.estimators.base import Contrast, Directions, Kept, States
from vispa.steering.estimators.quality import separation_of, split
from vispa.steering.readings import Reading

# Held-out activations are kept, so that their number is bounded; 100 pairs leave out so many.
_MOST_HELD_OUT = 30


class OneVersusOthers:
    """Mean of a value's expressing activations minus the mean over all values' (not normalised).

    Says what makes a value different from the other values, where promote-minus-oppose says
    what makes it different from its opposite. Quality is the balanced accuracy, on the 30 %
    of the sentences left out (at most `_MOST_HELD_OUT` of a value), of telling the value's
    sentences from the others' with the threshold midway between the two projected means of the
    70 %.
    """

    def __init__(self, name: str = "one_versus_others", reading: Reading = "mean", seed: int = 0) -> None:
        self.name, self.reading, self.seed = name, reading, seed
        self.contrast: Contrast = "others"

    def fit(self, positive: States, negative: States) -> Directions:
        """See `Estimator.fit`; `negative` is not used."""
        del negative
        return self.fit_kept([self.kept(states) for states in positive])

    def kept(self, positive: torch.Tensor) -> Kept:
        """See `Comparing.kept`: means over all and over the fitted sentences, and the held-out activations."""
        train, test = split(torch.ones(len(positive)), self.seed)
        return {
            "mean": positive.double().mean(0),
            "train_mean": positive[train].double().mean(0),
            "held_out": positive[test[:_MOST_HELD_OUT]].clone(),
        }

    def fit_kept(self, kept: Sequence[Kept]) -> Directions:
        """See `Comparing.fit_kept`."""
        vectors = _minus_mean(torch.stack([one["mean"] for one in kept]))
        quality, separation = self._quality(
            torch.stack([one["train_mean"] for one in kept]), [one["held_out"] for one in kept]
        )
        return Directions(vectors, quality, separation)

    @staticmethod
    def _quality(means: torch.Tensor, held_out: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Accuracy and separation [V, L], from the fitted sentences' means [V, L, H] and the held-out [N, L, H]."""
        vectors = _minus_mean(means)
        # Projections on every value's direction: of the means [direction, value, L], of a value's sentences
        # [direction, N, L].
        fitted = torch.einsum("dlh,vlh->dvl", vectors, means.float())
        projected = [torch.einsum("dlh,nlh->dnl", vectors, states) for states in held_out]
        values = len(projected)
        own = torch.eye(values, dtype=torch.bool)
        others = torch.where(own[..., None], torch.nan, fitted).nanmean(1)
        threshold = (fitted[own] + others) / 2  # [direction, L]
        above = torch.stack([(one > threshold[:, None]).float().mean(1) for one in projected], 1)
        own_rate = above[own]
        other_rate = (above.sum(1) - own_rate) / max(1, values - 1)
        separation = [
            separation_of(
                projected[value][value].T,
                torch.cat([one[value] for other, one in enumerate(projected) if other != value or values == 1]).T,
            )
            for value in range(values)
        ]
        return (own_rate + 1 - other_rate) / 2, torch.stack(separation)


def _minus_mean(means: torch.Tensor) -> torch.Tensor:
    """[V, L, H] float32: each value's mean minus that of all values."""
    return (means - means.mean(0, keepdim=True)).float()
