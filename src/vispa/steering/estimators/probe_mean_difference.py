"""The probe's direction at the length of the mean difference."""

from __future__ import annotations

from vispa.steering.estimators.base import Contrast, Directions, States
from vispa.steering.estimators.mean_difference import mean_difference
from vispa.steering.estimators.probe import Probe
from vispa.steering.readings import Reading


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
        length = mean_difference(positive, negative).norm(dim=-1, keepdim=True)
        return Directions(probe.vectors * length, probe.quality, probe.separation)
