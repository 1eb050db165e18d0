"""The score of each item under each method; see `vispa.evaluation.scoring` for how wrong answers count."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from vispa.evaluation.agreement import UNREADABLE
from vispa.evaluation.coverage import COVERED_ABOVE, embedding_likenesses, entailment_scores
from vispa.evaluation.distribution import jensen_shannon_distances, most_likely_agreements
from vispa.evaluation.runs.run import Run, answer_position, predicted_distribution
from vispa.items.item import Item
from vispa.models.encoder import load_encoder
from vispa.models.nli import NliJudge

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Progress = Callable[[int], None]

#: Largest Jensen-Shannon distance there is, which an item without an answer is given.
LARGEST_DISTANCE = math.sqrt(math.log(2))


def item_scores(run: Run, judge: str, progress: Progress | None) -> tuple[str | None, dict[str, dict[str, FloatArray]]]:
    """Name of the judge; method → figure → score of each item [N], in the items' order."""
    if run.task.metric == "coverage":
        return _coverage_scores(run, judge, progress)
    if run.task.metric == "agreement":
        gold = gold_labels(run)
        hits = {method: (gold == predicted_labels(run, method)).astype(float) for method in run.records}
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


def _response(run: Run, method: str, item: Item) -> str:
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


def gold_labels(run: Run) -> IntArray:
    """[N] the right option of each item."""
    return np.array([item.label for item in run.items], dtype=np.int64)


def predicted_labels(run: Run, method: str) -> IntArray:
    """[N] the chosen option of each item, `UNREADABLE` where there is none."""
    positions = []
    for item in run.items:
        answered = run.outcome(method, item) == "answered"
        position = answer_position(run.records[method][item.id], item) if answered else None
        positions.append(UNREADABLE if position is None else position)
    return np.array(positions, dtype=np.int64)
