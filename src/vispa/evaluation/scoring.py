"""Scoring a run's records: figures with intervals, breakdowns, differences to the first method.

Nothing is generated here, so scoring can be redone at any time. Every item of the run counts
under every method: one that failed, is missing or cannot be read is as wrong as can be (0 in
coverage and agreement, √ln 2 in Jensen-Shannon distance), and the counts say how many these are.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vispa.errors import InputError
from vispa.evaluation.agreement import STANCES, AgreementFigures, agreement_figures, without_either
from vispa.evaluation.intervals import (
    Interval,
    PairedDifference,
    bootstrap_mean,
    bootstrap_statistic,
    paired_difference,
    scores_by_id,
)
from vispa.evaluation.item_scores import gold_labels, item_scores, predicted_labels
from vispa.evaluation.metrics import group_positions
from vispa.evaluation.runs.run import Outcome, Run, read_run
from vispa.evaluation.tasks import Metric
from vispa.files.writing import replacing, write_json
from vispa.records import Record
from vispa.request import check_seed

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Progress = Callable[[int], None]

#: File of a run's figures.
SCORES_FILE = "scores.json"
#: File of each item's scores under each method, one line an item.
ITEM_SCORES_FILE = "item-scores.jsonl"


class Counts(Record):
    """What became of a run's items under a method; the four kinds add up to `items`.

    Attributes:
        items: number of items of the run.
        answered: with an answer that could be scored.
        unreadable: answered, but no option can be read from it (or the response is empty).
        failed: with an error instead of an answer.
        missing: without a record, because the run has not come to its end.
    """

    items: int
    answered: int
    unreadable: int
    failed: int
    missing: int


class MethodScores(Record):
    """The figures of one method.

    Attributes:
        counts: what became of the items.
        figures: name → figure over all items.
        groups: attribute group → name → mean over its items.
        differences: name → this method minus the run's first; empty for the first itself.
    """

    counts: Counts
    figures: dict[str, Interval]
    groups: dict[str, dict[str, Interval]]
    differences: dict[str, PairedDifference]


class RunScores(Record):
    """The figures of a run.

    Attributes:
        task: name of the task.
        metric: what the task is judged by.
        judge: of coverage: `nli:` or `embedding:` with the model's name; None if nothing judged.
        seed: of bootstrap and permutations.
        baseline: the first method, with which the others are compared.
        items: number of items.
        items_digest: SHA-256 of the items.
        config_digest: SHA-256 of the run's settings.
        item_scores_digest: SHA-256 of the file of item scores.
        records_digests: method → SHA-256 of the records that were scored.
        methods: method → its figures, in the run's order.
    """

    task: str
    metric: Metric
    judge: str | None
    seed: int
    baseline: str
    items: int
    items_digest: str
    config_digest: str
    item_scores_digest: str
    records_digests: dict[str, str]
    methods: dict[str, MethodScores]


def score_run(
    folder: Path,
    *,
    judge: str = "embedding",
    seed: int = 0,
    data: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a run and write `scores.json` and `item-scores.jsonl`, whole.

    Args:
        folder: of the run.
        judge: of Overton coverage: `nli:MODEL` for coverage as published, `embedding` for
            likeness by the bundled encoder, `none` for counts alone. Other metrics need none.
        seed: of bootstrap and permutations.
        data: see `read_run`.
        progress: called with the number of text pairs just judged or texts encoded.

    Returns:
        What `scores.json` holds; see `RunScores`.

    Raises:
        InputError: unknown judge; see `read_run`.
        ModelError: the judge cannot be loaded.
    """
    check_seed(seed)
    if judge not in ("none", "embedding") and not re.fullmatch(r"nli:\S.*", judge):
        raise InputError("judge", f"is {judge!r}.", "Choose none, embedding or nli:MODEL.")
    run = read_run(folder, data)
    judge_name, by_method = item_scores(run, judge, progress)
    baseline = next(iter(run.records))
    methods = {}
    for method, scores in by_method.items():
        methods[method] = MethodScores(
            counts=_counts(run, method),
            figures=_figures(run, method, scores, seed),
            groups=_groups(run, scores, seed),
            differences={}
            if method == baseline
            else {
                name: paired_difference(
                    scores_by_id(run.ids, scores[name]), scores_by_id(run.ids, by_method[baseline][name]), seed=seed
                )
                for name in scores
            },
        )
    found = RunScores(
        task=run.task.name,
        metric=run.task.metric,
        judge=judge_name,
        seed=seed,
        baseline=baseline,
        items=len(run.items),
        items_digest=run.items_digest,
        config_digest=run.config_digest,
        item_scores_digest=_write_item_scores(run, by_method),
        records_digests={method: run.records_digest(method) for method in run.records},
        methods=methods,
    ).model_dump(mode="json")
    write_json(folder / SCORES_FILE, found)
    return found


# ---------------------------------------------------------------- figures of a method


def _counts(run: Run, method: str) -> Counts:
    outcomes = [run.outcome(method, item) for item in run.items]
    kinds: tuple[Outcome, ...] = ("answered", "unreadable", "failed", "missing")
    return Counts(items=len(outcomes), **{kind: outcomes.count(kind) for kind in kinds})


def _figures(run: Run, method: str, scores: Mapping[str, FloatArray], seed: int) -> dict[str, Interval]:
    figures = {name: bootstrap_mean(values, seed=seed) for name, values in scores.items()}
    for name in ("entailment", "cosine"):
        if f"{name}_mean" in scores:
            figures[f"{name}_deviation"] = bootstrap_statistic(
                lambda sample: float(sample.std()), scores[f"{name}_mean"], seed=seed
            )
    if run.task.metric == "agreement":
        figures |= _agreement(run, method, seed)
    return figures


def _agreement(run: Run, method: str, seed: int) -> dict[str, Interval]:
    gold, predicted = gold_labels(run), predicted_labels(run, method)
    figures = _agreement_intervals(gold, predicted, max(len(item.options) for item in run.items), seed)
    if all(item.options == STANCES for item in run.items):
        binary_gold, binary_predicted = without_either(gold, predicted)
        if len(binary_gold):
            binary = _agreement_intervals(binary_gold, binary_predicted, len(STANCES) - 1, seed)
            figures |= {f"binary_{name}": figure for name, figure in binary.items()}
    return figures


def _agreement_intervals(gold: IntArray, predicted: IntArray, labels: int, seed: int) -> dict[str, Interval]:
    # All figures depend on how often each pair of gold and answer occurs; every name draws the
    # same resamples, so each of them is worked out once.
    known: dict[bytes, AgreementFigures] = {}

    def figures(truth: IntArray, answers: IntArray) -> AgreementFigures:
        pairs = np.bincount(truth * (labels + 1) + answers + 1, minlength=labels * (labels + 1)).tobytes()
        if pairs not in known:
            known[pairs] = agreement_figures(truth, answers, labels)
        return known[pairs]

    def statistic(name: str) -> Callable[[IntArray, IntArray], float]:
        return lambda truth, answers: float(getattr(figures(truth, answers), name))

    names = ("balanced_accuracy", "macro_f1", "micro_f1")
    return {"accuracy": bootstrap_mean((gold == predicted).astype(float), seed=seed)} | {
        name: bootstrap_statistic(statistic(name), gold, predicted, seed=seed) for name in names
    }


def _groups(run: Run, scores: Mapping[str, FloatArray], seed: int) -> dict[str, dict[str, Interval]]:
    positions = group_positions([item.attribute for item in run.items], run.task.groups)
    return {
        group: {name: bootstrap_mean(values[places], seed=seed) for name, values in scores.items()}
        for group, places in positions.items()
        if scores
    }


def _write_item_scores(run: Run, by_method: Mapping[str, Mapping[str, FloatArray]]) -> str:
    """Write the file of item scores; its SHA-256."""
    lines = []
    for place, identifier in enumerate(run.ids):
        scores = {
            method: {name: float(values[place]) for name, values in figures.items()}
            for method, figures in by_method.items()
        }
        lines.append(json.dumps({"id": identifier, "scores": scores}, ensure_ascii=False, allow_nan=False) + "\n")
    data = "".join(lines).encode()
    with replacing(run.folder / ITEM_SCORES_FILE) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()
