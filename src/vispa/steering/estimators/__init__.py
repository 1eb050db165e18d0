"""Estimators: from the activations of sentences to one direction a value and block.

A new estimator is a file here and a line in `ESTIMATORS`.
"""

from __future__ import annotations

from vispa.steering.estimators.base import Estimator
from vispa.steering.estimators.mean_difference import MeanDifference
from vispa.steering.estimators.one_versus_others import OneVersusOthers
from vispa.steering.estimators.probe import Probe
from vispa.steering.estimators.probe_mean_difference import ProbeMeanDifference
from vispa.steering.estimators.projection import Projection

#: What a bank holds: the published three, the probe at another length, and one value against the others on three
#: readings.
ESTIMATORS: tuple[Estimator, ...] = (
    Projection("projection", "last"),
    MeanDifference("mean_difference", "last"),
    Probe("probe", "last"),
    ProbeMeanDifference("probe_mean_difference", "last"),
    OneVersusOthers("one_versus_others", "mean"),
    OneVersusOthers("one_versus_others_last", "last"),
    OneVersusOthers("one_versus_others_sink_free", "sink_free_mean"),
)
#: Their names: what fitting gives. A bank may hold more, refined or imported.
FITTED = frozenset(one.name for one in ESTIMATORS)
