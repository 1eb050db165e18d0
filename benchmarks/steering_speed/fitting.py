"""Comparison of fitting: batched against one sentence at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import published_procedure as published
from benchmarks.measure import Timer
from benchmarks.steering_speed.report import TOLERANCE, Part
from benchmarks.steering_speed.setting import Setting, sentences
from vispa.steering.activations import read_activations
from vispa.steering.estimators.base import Estimator
from vispa.steering.estimators.mean_difference import MeanDifference
from vispa.steering.estimators.probe import Probe
from vispa.steering.estimators.projection import Projection
from vispa.taxonomy import Taxonomy


def compare_fitting(setting: Setting, timer: Timer) -> Part:
    """The three published estimators on all pairs: batched against one sentence at a time."""
    loaded, count = setting.loaded, setting.sizes.pairs
    taxonomy = Taxonomy.built_in()
    slugs = tuple(taxonomy)[: setting.sizes.fitted_values]
    texts = sentences(taxonomy, slugs, count)
    estimators: dict[str, Estimator] = {
        "mean difference": MeanDifference(),
        "projection": Projection(),
        "probe": Probe(),
    }

    def ours() -> dict[str, Any]:
        states = read_activations(loaded, texts)["last"]
        shaped = states.reshape(len(slugs), 2, count, *states.shape[1:])
        return {name: e.fit(shaped[:, 0], shaped[:, 1]).vectors.numpy() for name, e in estimators.items()}

    def one_by_one() -> dict[str, Any]:
        states = published.read_one_by_one(loaded, texts)
        return {"states": states, **_fit_one_by_one(states, len(slugs), count)}

    times, results = timer.alternate({"ours": ours, "one by one": one_by_one})
    part = Part([f"{len(slugs)} values × {count} pairs, {len(loaded.blocks)} blocks, {', '.join(estimators)}"])
    part.add_times(times)
    part.add_ratio(times, "one by one", "ours")
    # The timed side has scikit-learn's default solver; the directions are compared with the optimum.
    tight = _fit_one_by_one(results["one by one"]["states"].astype(np.float64), len(slugs), count, exact=True)
    early = _cosine(results["one by one"]["probe"], tight["probe"])
    part.lines.append(f"the timed one-by-one probes stop at cosine {early:.3f} of the optimum or nearer")
    for name in estimators:
        cosine = _cosine(results["ours"][name], tight[name])
        part.lines.append(f"{name}: lowest cosine 1 - {1 - cosine:.1e}")
        part.figures[f"{name}, lowest cosine"] = cosine
        part.checks[f"same directions, {name}"] = cosine >= 1 - TOLERANCE
    return part


def _fit_one_by_one(states: published.Array, values: int, pairs: int, *, exact: bool = False) -> dict[str, Any]:
    """Directions [V, L, H] by estimator."""
    shaped = states.reshape(values, 2, pairs, *states.shape[1:])
    fits: dict[str, Callable[[published.Array, published.Array], published.Array]] = {
        "mean difference": published.mean_difference,
        "projection": published.first_component,
        "probe": lambda positive, negative: published.probe(positive, negative, exact=exact),
    }
    blocks = range(states.shape[1])
    return {
        name: np.array([[fit(sides[0][:, block], sides[1][:, block]) for block in blocks] for sides in shaped])
        for name, fit in fits.items()
    }


def _cosine(one: published.Array, other: published.Array) -> float:
    """The lowest cosine of directions [V, L, H] that ought to be the same."""
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return float(((one.astype(np.float64) * other).sum(-1) / lengths).min())
