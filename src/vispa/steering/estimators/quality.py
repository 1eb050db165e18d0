"""How well a direction tells two sides apart on sentences that it was not fitted on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch

from vispa.steering.estimators.base import HELD_OUT, Directions, States


def split(labels: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the 70 % to fit on and of the 30 % held out, with the classes' shares kept.

    At least one of each class is held out; with a single one of a class, both are all of them.
    """
    from sklearn.model_selection import train_test_split

    numbers = torch.arange(len(labels)).numpy()
    counts = Counter(labels.tolist())
    if min(counts.values()) < 2:
        return torch.from_numpy(numbers), torch.from_numpy(numbers)
    # As a number of sentences where the share would be none, or all of a class.
    few = len(labels) < 4
    train, test = train_test_split(
        numbers, test_size=len(counts) if few else HELD_OUT, random_state=seed, stratify=labels.numpy()
    )
    return torch.from_numpy(train), torch.from_numpy(test)


def with_quality(
    fit: Callable[[States, States], torch.Tensor], positive: States, negative: States, seed: int
) -> Directions:
    """Directions fitted on all pairs; their quality from a fit on 70 % of the pairs.

    The threshold lies midway between the projected means of the fitted pairs' two sides.
    """
    parts = [split(torch.ones(len(states)), seed) for states in positive]
    fitted = fit(
        *([states[train] for states, (train, _) in zip(side, parts, strict=True)] for side in (positive, negative))
    )
    accuracy, separation = [], []
    for vector, (train, test), *sides in zip(fitted, parts, positive, negative, strict=True):
        above, below = (torch.einsum("nlh,lh->ln", states, vector) for states in sides)
        threshold = (above[:, train].mean(-1) + below[:, train].mean(-1))[:, None] / 2
        right = (above[:, test] > threshold).float().mean(-1) + (below[:, test] <= threshold).float().mean(-1)
        accuracy.append(right / 2)
        separation.append(separation_of(above[:, test], below[:, test]))
    return Directions(fit(positive, negative), torch.stack(accuracy), torch.stack(separation))


def separation_of(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """Difference of means over the pooled standard deviation, over the last axis.

    0 where the sides do not spread, as single sentences do not: they say nothing of how far apart the sides lie.
    """
    spread = ((above.var(-1, correction=0) + below.var(-1, correction=0)) / 2).sqrt()
    found = (above.mean(-1) - below.mean(-1)) / spread.clamp_min(1e-12)
    return torch.where(spread > 0, found, torch.zeros_like(found))
