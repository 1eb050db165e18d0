"""What an estimator is, and what it learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch

from vispa.steering.readings import Reading

#: What a value's expressing sentences are compared with: the opposing sentences of its pairs,
#: or the expressing sentences of all values.
Contrast = Literal["pairs", "others"]

#: Activations of V values, each [N, L, H]; the numbers N of sentences may differ. Also one tensor [V, N, L, H].
States = Sequence[torch.Tensor] | torch.Tensor

#: What a fit across values needs of one value, by name.
Kept = Mapping[str, torch.Tensor]

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


@runtime_checkable
class Comparing(Estimator, Protocol):
    """An estimator that compares a value with the others, from what can be kept of each value by itself.

    Where a value changes, the others' sentences are thus not read again. An estimator whose contrast is `pairs` needs
    none of this: what it fits depends on a value's own sentences alone.
    """

    def kept(self, positive: torch.Tensor) -> Kept:
        """What is needed of a value, from its expressing activations [N, L, H]; its size must not grow with N."""
        ...

    def fit_kept(self, kept: Sequence[Kept]) -> Directions:
        """Fit on what was kept of each of V values."""
        ...
