"""Estimators: from the activations of sentences to one direction per value and block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from vispa.steering.logistic import fit_logistic
from vispa.steering.readings import Reading

#: What a value's expressing sentences are compared with: the opposing sentences of its pairs,
#: or the expressing sentences of all values.
Contrast = Literal["pairs", "others"]

#: Activations of V values, each [N, L, H]; the numbers N of sentences may differ. Also one tensor [V, N, L, H].
States = Sequence[torch.Tensor] | torch.Tensor

#: Share of the sentences that a direction's quality is measured on, and that a probe is not fitted on.
HELD_OUT = 0.3


@dataclass(frozen=True)
class Directions:
    """What an estimator learned for V values at L blocks of width H.

    Attributes:
        vectors: [V, L, H] float32; what is added at coefficient 1.
        quality: [V, L] held-out accuracy of telling the two sides apart along the direction.
        separation: [V, L] distance of the two sides' held-out means along the direction, in
            units of their pooled standard deviation (d').
        bias: [V, L] of the probe's logit, or None for estimators without a probability.
        weight_norm: [V, L] ‖w‖ of the probe, or None.
    """

    vectors: torch.Tensor
    quality: torch.Tensor
    separation: torch.Tensor
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

    def fit(self, positive: States, negative: States) -> Directions:
        """Fit on expressing and opposing activations, float32."""
        ...


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
        return _with_quality(self._component, positive, negative, self.seed)

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


class MeanDifference:
    """Mean of the expressing minus mean of the opposing activations, not normalised (CAA, arXiv 2312.06681)."""

    def __init__(self, name: str = "mean_difference", reading: Reading = "last", seed: int = 0) -> None:
        self.name, self.reading, self.seed = name, reading, seed
        self.contrast: Contrast = "pairs"

    def fit(self, positive: States, negative: States) -> Directions:
        """See `Estimator.fit`."""
        return _with_quality(_mean_difference, positive, negative, self.seed)


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
        separation = _separation(projected[:, is_positive], projected[:, ~is_positive])
        norm = weight.norm(dim=-1)
        return weight / norm.clamp_min(1e-30)[:, None], accuracy, separation, bias, norm


class ProbeMeanDifference:
    """The probe's direction at the length of the mean difference.

    The vector is (w/‖w‖) · ‖mean(positive) - mean(negative)‖: where the probe says *which way*
    tells the sides apart best, and the activations say how far apart they lie.
    """

    def __init__(self, name: str = "probe_mean_difference", reading: Reading = "last", seed: int = 0) -> None:
        self.name, self.reading, self.seed = name, reading, seed
        self.contrast: Contrast = "pairs"

    def fit(self, positive: States, negative: States) -> Directions:
        """See `Estimator.fit`."""
        probe = Probe(reading=self.reading, seed=self.seed).fit(positive, negative)
        length = _mean_difference(positive, negative).norm(dim=-1, keepdim=True)
        return Directions(probe.vectors * length, probe.quality, probe.separation)


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
            _separation(
                held_out[value][value].T,
                torch.cat([one[value] for other, one in enumerate(held_out) if other != value or values == 1]).T,
            )
            for value in range(values)
        ]
        return (own_rate + 1 - other_rate) / 2, torch.stack(separation)


def split(labels: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the 70 % to fit on and of the 30 % held out, with the classes' shares kept.

    With too few sentences for a split, both are all of them.
    """
    from sklearn.model_selection import train_test_split

    numbers = torch.arange(len(labels)).numpy()
    if len(labels) < 4:
        return torch.from_numpy(numbers), torch.from_numpy(numbers)
    train, test = train_test_split(numbers, test_size=HELD_OUT, random_state=seed, stratify=labels.numpy())
    return torch.from_numpy(train), torch.from_numpy(test)


def _mean_difference(positive: States, negative: States) -> torch.Tensor:
    pairs = zip(positive, negative, strict=True)
    return torch.stack([(above.double().mean(0) - below.double().mean(0)).float() for above, below in pairs])


def _with_quality(
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
        separation.append(_separation(above[:, test], below[:, test]))
    return Directions(fit(positive, negative), torch.stack(accuracy), torch.stack(separation))


def _separation(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """Difference of means over the pooled standard deviation, over the last axis."""
    spread = ((above.var(-1, correction=0) + below.var(-1, correction=0)) / 2).sqrt()
    return (above.mean(-1) - below.mean(-1)) / spread.clamp_min(1e-12)
