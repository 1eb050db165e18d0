"""Scoring a run's records: figures with intervals, breakdowns, differences to the first method.

Nothing is generated here, so scoring can be redone at any time. Every item of the run counts
under every method: one that failed, is missing or cannot be read is as wrong as can be, and the
counts say how many these are. Intervals draw items of one text together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from vispa.errors import InputError
from vispa.evaluation.clusters import texts_of
from vispa.evaluation.groups import group_positions
from vispa.evaluation.intervals import Interval, PairedDifference, bootstrap_mean, paired_difference, scores_by_id
from vispa.evaluation.metrics import METRICS, check_judge
from vispa.evaluation.metrics.base import FloatArray, Progress, Scored, Scoring
from vispa.evaluation.runs.run import Outcome, Run, read_run
from vispa.evaluation.tasks import MetricName
from vispa.files.writing import replacing, write_json
from vispa.records import Record
from vispa.request import check_seed

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
        judge: `nli:` or `embedding:` with the model's name; None if nothing judged.
        seed: of bootstrap, permutations and the choice of other situations.
        budget: how many sentences of each answer count in figures of the same length; None where there are none.
        shuffles: how many other situations each answer was scored against; None where that says nothing.
        baseline: the first method, with which the others are compared.
        items: number of items.
        items_digest: SHA-256 of the items.
        config_digest: SHA-256 of the run's settings.
        item_scores_digest: SHA-256 of the file of item scores.
        records_digests: method → SHA-256 of the records that were scored.
        methods: method → its figures, in the run's order.
    """

    task: str
    metric: MetricName
    judge: str | None
    seed: int
    baseline: str
    items: int
    items_digest: str
    config_digest: str
    item_scores_digest: str
    records_digests: dict[str, str]
    methods: dict[str, MethodScores]
    budget: int | None = None
    shuffles: int | None = None

    @property
    def outdated(self) -> str:
        """What figures of an older release lack, in words; empty where they lack nothing."""
        return METRICS[self.metric].outdated({name for one in self.methods.values() for name in one.figures})


def score_folder(
    folder: Path,
    *,
    judge: str = "embedding",
    seed: int = 0,
    shuffles: int | None = None,
    data: Path | None = None,
    progress: Progress | None = None,
) -> RunScores:
    """Score the run of a folder; see `score`.

    Args:
        folder: of the run.
        judge: see `score`.
        seed: see `score`.
        shuffles: see `score`.
        data: see `read_run`.
        progress: see `score`.

    Raises:
        InputError: see `score` and `read_run`.
        ModelError: the judge cannot be loaded.
    """
    check_seed(seed)
    check_judge(judge)
    return score(read_run(folder, data), judge=judge, seed=seed, shuffles=shuffles, progress=progress)


def score(
    run: Run,
    *,
    judge: str = "embedding",
    seed: int = 0,
    shuffles: int | None = None,
    progress: Progress | None = None,
) -> RunScores:
    """Score a run and write `scores.json` and `item-scores.jsonl` into its folder, whole.

    Args:
        run: with its records.
        judge: of Overton coverage: `nli:MODEL` for coverage as published, `embedding` for
            likeness by the bundled encoder, `none` for counts alone. Other metrics need none.
        seed: of bootstrap, permutations and the choice of other situations.
        shuffles: against how many other situations each Overton answer is scored too, for what chance gives; 0 leaves
            that out. By default 10 with embeddings, and 1 with an NLI model, for which each is as many pairs again.
        progress: called with the number of text pairs just judged or texts encoded.

    Raises:
        InputError: unknown judge, a negative number of shuffles, or a record that does not fit its item.
        ModelError: the judge cannot be loaded.
    """
    check_seed(seed)
    check_judge(judge)
    if shuffles is not None and shuffles < 0:
        raise InputError("shuffles", f"is {shuffles}.", "Give 0 or more.")
    scored, by_method = _item_scores(run, Scoring(judge, seed, run.task.budget, shuffles), progress)
    baseline = next(iter(run.records))
    found = RunScores(
        task=run.task.name,
        metric=run.task.metric,
        judge=scored.judge,
        seed=seed,
        baseline=baseline,
        items=len(run.items),
        items_digest=run.items_digest,
        config_digest=run.config_digest,
        item_scores_digest=_write_item_scores(run, by_method),
        records_digests={method: run.records_digest(method) for method in run.records},
        methods={
            method: MethodScores(
                counts=_counts(run, method),
                figures=METRICS[run.task.metric].intervals(run.items, run.answers(method), scores, seed),
                groups=_groups(run, scores, seed),
                differences={} if method == baseline else _differences(run, scores, by_method[baseline], seed),
            )
            for method, scores in by_method.items()
        },
        budget=scored.budget,
        shuffles=scored.shuffles,
    )
    write_json(run.folder / SCORES_FILE, found.model_dump(mode="json"))
    return found


def _item_scores(run: Run, how: Scoring, progress: Progress | None) -> tuple[Scored, dict[str, dict[str, FloatArray]]]:
    """What the metric says; method → figure → score of each item [N], in the items' order."""
    methods = list(run.records)
    records = [record for method in methods for record in run.answers(method)]
    scored = METRICS[run.task.metric].score(run.items * len(methods), records, how, progress)
    tables = {name: scores.reshape(len(methods), -1) for name, scores in scored.scores.items()}
    return scored, {method: {name: table[row] for name, table in tables.items()} for row, method in enumerate(methods)}


# ---------------------------------------------------------------- figures of a method


def _counts(run: Run, method: str) -> Counts:
    outcomes = [run.outcome(method, item) for item in run.items]
    kinds: tuple[Outcome, ...] = ("answered", "unreadable", "failed", "missing")
    return Counts(items=len(outcomes), **{kind: outcomes.count(kind) for kind in kinds})


def _differences(
    run: Run, scores: Mapping[str, FloatArray], baseline: Mapping[str, FloatArray], seed: int
) -> dict[str, PairedDifference]:
    clusters = dict(zip(run.ids, texts_of(run.items), strict=True))
    pairs = {name: [scores_by_id(run.ids, one[name]) for one in (scores, baseline)] for name in scores}
    return {name: paired_difference(*pair, clusters=clusters, seed=seed) for name, pair in pairs.items()}


def _groups(run: Run, scores: Mapping[str, FloatArray], seed: int) -> dict[str, dict[str, Interval]]:
    positions = group_positions([item.attribute for item in run.items], run.task.groups)
    found = {}
    for group, places in positions.items() if scores else ():
        clusters = texts_of([run.items[place] for place in places])
        found[group] = {
            name: bootstrap_mean(values[places], clusters=clusters, seed=seed) for name, values in scores.items()
        }
    return found


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
