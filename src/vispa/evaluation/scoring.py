"""Scoring a run's records: figures with intervals, breakdowns, differences to the first method.

Nothing is generated here, so scoring can be redone at any time. Every item of the run counts
under every method: one that failed, is missing or cannot be read is as wrong as can be (0 in
coverage and agreement, √ln 2 in Jensen-Shannon distance), and the counts say how many these are.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from vispa.errors import InputError
from vispa.evaluation.agreement import STANCES, UNREADABLE, AgreementFigures, agreement_figures
from vispa.evaluation.coverage import COVERED_ABOVE, embedding_likenesses, entailment_scores
from vispa.evaluation.distribution import jensen_shannon_distances, most_likely_agreements
from vispa.evaluation.intervals import (
    Interval,
    PairedDifference,
    bootstrap_mean,
    bootstrap_statistic,
    paired_difference,
    scores_by_id,
)
from vispa.evaluation.items import TaskItem
from vispa.evaluation.metrics import group_positions
from vispa.evaluation.nli import NliJudge
from vispa.evaluation.records import ItemRecord, RunFolder
from vispa.evaluation.tasks import Metric, Task, find_task, load_task
from vispa.files import replacing
from vispa.inputs import Identifier, read_text
from vispa.modes.answers import LETTERS
from vispa.records import Record
from vispa.selection.encoder import load_encoder

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Progress = Callable[[int], None]

#: File of a run's figures.
SCORES_FILE = "scores.json"
#: File of each item's scores under each method, one line an item.
ITEM_SCORES_FILE = "item-scores.jsonl"
#: Largest Jensen-Shannon distance there is, which an item without an answer is given.
LARGEST_DISTANCE = math.sqrt(math.log(2))

Outcome = Literal["answered", "unreadable", "failed", "missing"]


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
    records_digests: dict[str, str]
    methods: dict[str, MethodScores]


@dataclass(frozen=True)
class Run:
    """A run folder that has been read.

    Attributes:
        folder: where it is.
        config: what the run was made with.
        task: whose items were answered.
        items: the run's items, in the task's order.
        records: method → identifier → record, in the run's order of methods.
    """

    folder: Path
    config: dict[str, Any]
    task: Task
    items: tuple[TaskItem, ...]
    records: dict[str, dict[Identifier, ItemRecord]]

    @property
    def ids(self) -> list[Identifier]:
        """Identifiers of the items."""
        return [item.id for item in self.items]

    @property
    def items_digest(self) -> str:
        """SHA-256 of all items, which tells whether two runs had the same."""
        return _digest(item.model_dump(mode="json") for item in self.items)

    def records_digest(self, method: str) -> str:
        """SHA-256 of a method's records, whatever the order of their lines."""
        found = self.records[method]
        return _digest(found[i].model_dump(mode="json") for i in self.ids if i in found)

    def outcome(self, method: str, item: TaskItem) -> Outcome:
        """What became of an item."""
        record = self.records[method].get(item.id)
        if record is None:
            return "missing"
        if record.error is not None:
            return "failed"
        if self.task.metric == "coverage":
            return "answered" if (record.response or "").strip() else "unreadable"
        readable = answer_position(record, item) is not None
        if self.task.metric != "agreement":
            readable = readable or record.distribution is not None
        return "answered" if readable else "unreadable"


def read_run(folder: Path, data: Path | None = None) -> Run:
    """Read a run folder's settings, items and records.

    Args:
        folder: of the run.
        data: folder of the data sets, if it has moved since the run.

    Raises:
        InputError: no run folder, no items, or a record that is malformed, of an item that the
            run does not have, or of one that has a record already.
    """
    config = RunFolder(folder).config()
    for field in ("task", "methods"):
        if not config.get(field):
            raise InputError(
                str(folder / "config.json"), f"names no {field}.", "Name a folder that `vispa eval` wrote."
            )
    where = data or (Path(config["folder"]) if config.get("folder") else None)
    items = tuple(load_task(config["task"], where)[: config.get("limit")])
    ids = {item.id for item in items}
    records = {str(method): _read_records(folder, str(method), ids) for method in config["methods"]}
    return Run(folder, config, find_task(config["task"]), items, records)


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
    if judge not in ("none", "embedding") and not re.fullmatch(r"nli:\S.*", judge):
        raise InputError("judge", f"is {judge!r}.", "Choose none, embedding or nli:MODEL.")
    run = read_run(folder, data)
    judge_name, by_method = _item_scores(run, judge, progress)
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
        records_digests={method: run.records_digest(method) for method in run.records},
        methods=methods,
    ).model_dump(mode="json")
    _write_item_scores(run, by_method)
    write_json(folder / SCORES_FILE, found)
    return found


def load_scores(run: Run) -> RunScores:
    """The scores of a run, if they are of its present records.

    Raises:
        InputError: there are none, or they are older than the records.
    """
    path = run.folder / SCORES_FILE
    if not path.is_file():
        raise InputError(str(path), "is missing.", "Score the run first.")
    try:
        scores = RunScores.model_validate(read_object(path))
    except ValidationError as error:
        raise InputError(str(path), "is not a file of scores.", "Score the run anew.") from error
    digests = {method: run.records_digest(method) for method in run.records}
    if (scores.items_digest, scores.records_digests) != (run.items_digest, digests):
        raise InputError(str(path), "belongs to other records than the run holds now.", "Score the run anew.")
    return scores


def load_item_scores(folder: Path) -> dict[str, dict[str, dict[Identifier, float]]]:
    """Method → figure → identifier → score, from `item-scores.jsonl`.

    Raises:
        InputError: missing or malformed.
    """
    path = folder / ITEM_SCORES_FILE
    found: dict[str, dict[str, dict[Identifier, float]]] = {}
    try:
        for line in read_text(path).splitlines():
            entry = json.loads(line)
            for method, scores in entry["scores"].items():
                for name, score in scores.items():
                    found.setdefault(method, {}).setdefault(name, {})[entry["id"]] = float(score)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(str(path), "is not a file of item scores.", "Score the run anew.") from error
    return found


def answer_position(record: ItemRecord, item: TaskItem) -> int | None:
    """Position of the option whose letter a record holds; None if it holds none of the item's."""
    letter = (record.answer or "").strip().upper()
    position = LETTERS.find(letter) if len(letter) == 1 else -1
    return position if 0 <= position < len(item.options) else None


def predicted_distribution(record: ItemRecord | None, item: TaskItem) -> tuple[float, ...] | None:
    """The distribution over an item's options; all on the letter where a record has only that.

    Raises:
        InputError: it has not a number for each option.
    """
    if record is None or record.error is not None:
        return None
    if record.distribution is not None:
        if len(record.distribution) != len(item.options):
            raise InputError(
                f"record of item {item.id!r}",
                f"has {len(record.distribution)} probabilities for {len(item.options)} options.",
                "Make the run anew with the data it is scored with.",
            )
        return record.distribution
    position = answer_position(record, item)
    return None if position is None else tuple(float(place == position) for place in range(len(item.options)))


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        InputError: unreadable, or something else.
    """
    try:
        found = json.loads(read_text(path))
    except ValueError as error:
        raise InputError(str(path), f"is not valid JSON ({error}).", "Make the run anew.") from error
    if not isinstance(found, dict):
        raise InputError(str(path), "is not a JSON object.", "Make the run anew.")
    return found


def write_json(path: Path, data: object) -> None:
    """Write a JSON file whole; the same data gives the same bytes."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


# ---------------------------------------------------------------- scores of items


def _item_scores(
    run: Run, judge: str, progress: Progress | None
) -> tuple[str | None, dict[str, dict[str, FloatArray]]]:
    """Name of the judge; method → figure → score of each item [N], in the items' order."""
    if run.task.metric == "coverage":
        return _coverage_scores(run, judge, progress)
    if run.task.metric == "agreement":
        gold = _gold_labels(run)
        hits = {method: (gold == _predicted_labels(run, method)).astype(float) for method in run.records}
        return None, {method: {"accuracy": scores} for method, scores in hits.items()}
    return None, {method: _distribution_scores(run, method) for method in run.records}


def _coverage_scores(
    run: Run, judge: str, progress: Progress | None
) -> tuple[str | None, dict[str, dict[str, FloatArray]]]:
    methods = list(run.records)
    if judge == "none":
        return None, {method: {} for method in methods}
    # All methods at once: what they share, the explanations above all, is judged or encoded once.
    responses = [_response(run, method, item) for method in methods for item in run.items]
    explanations = [item.explanations for _ in methods for item in run.items]
    if judge == "embedding":
        encoder = load_encoder()
        likeness = embedding_likenesses(responses, explanations, encoder, progress).reshape(len(methods), -1)
        return f"embedding:{encoder.name}", {
            method: {"cosine_mean": scores} for method, scores in zip(methods, likeness, strict=True)
        }
    nli = NliJudge(judge.removeprefix("nli:"))
    table = entailment_scores(responses, explanations, nli, progress).reshape(len(methods), -1)
    return f"nli:{nli.name}", {
        method: {"entailment_mean": scores, "covered_share": (scores > COVERED_ABOVE).astype(float)}
        for method, scores in zip(methods, table, strict=True)
    }


def _response(run: Run, method: str, item: TaskItem) -> str:
    """The text to be judged; nothing where an item failed or is missing, which scores 0."""
    return (run.records[method][item.id].response or "") if run.outcome(method, item) == "answered" else ""


def _distribution_scores(run: Run, method: str) -> dict[str, FloatArray]:
    distances = np.full(len(run.items), LARGEST_DISTANCE)
    agreements = np.zeros(len(run.items))
    predicted = [predicted_distribution(run.records[method].get(item.id), item) for item in run.items]
    places = [place for place, distribution in enumerate(predicted) if distribution is not None]
    if places:
        gold = [run.items[place].gold_distribution or () for place in places]
        given = [predicted[place] or () for place in places]
        distances[places] = jensen_shannon_distances(gold, given)
        agreements[places] = most_likely_agreements(gold, given)
    scores = {"most_likely": agreements}
    return scores if run.task.metric == "most-likely" else {"jensen_shannon": distances, **scores}


def _gold_labels(run: Run) -> IntArray:
    return np.array([item.label for item in run.items], dtype=np.int64)


def _predicted_labels(run: Run, method: str) -> IntArray:
    positions = []
    for item in run.items:
        answered = run.outcome(method, item) == "answered"
        position = answer_position(run.records[method][item.id], item) if answered else None
        positions.append(UNREADABLE if position is None else position)
    return np.array(positions, dtype=np.int64)


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
    gold, predicted = _gold_labels(run), _predicted_labels(run, method)
    figures = _agreement_intervals(gold, predicted, max(len(item.options) for item in run.items), seed)
    if all(item.options == STANCES for item in run.items):
        # The third stance is Either; without it an unreadable answer stays, as a wrong one.
        kept = (gold != len(STANCES) - 1) & (predicted != len(STANCES) - 1)
        if kept.any():
            binary = _agreement_intervals(gold[kept], predicted[kept], len(STANCES) - 1, seed)
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


# ---------------------------------------------------------------- files


def _read_records(folder: Path, method: str, ids: set[Identifier]) -> dict[Identifier, ItemRecord]:
    """A method's records under their identifiers; none where a run was stopped before the method began."""
    files = RunFolder(folder)
    path = files.records_path(method)
    found: dict[Identifier, ItemRecord] = {}
    for record in files.records(method) if path.exists() else ():
        if record.id in found or record.id not in ids:
            problem = "twice" if record.id in found else "though the run has no such item"
            raise InputError(str(path), f"holds item {record.id!r} {problem}.", "Make the run anew.")
        found[record.id] = record
    return found


def _write_item_scores(run: Run, by_method: Mapping[str, Mapping[str, FloatArray]]) -> None:
    with replacing(run.folder / ITEM_SCORES_FILE) as temporary, temporary.open("w", encoding="utf-8") as file:
        for place, identifier in enumerate(run.ids):
            scores = {
                method: {name: float(values[place]) for name, values in figures.items()}
                for method, figures in by_method.items()
            }
            file.write(json.dumps({"id": identifier, "scores": scores}, ensure_ascii=False) + "\n")


def _digest(objects: Any) -> str:
    digest = hashlib.sha256()
    for one in objects:
        digest.update(json.dumps(one, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
