"""How well names in free words are found in a domain, and what methods answer to its tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.reports import told
from benchmarks.selection_figures import area
from training.domain_suites import SHIPPED
from vispa.evaluation.intervals import bootstrap_mean
from vispa.evaluation.methods import Bench
from vispa.evaluation.metrics import METRICS
from vispa.evaluation.metrics.distribution import jensen_shannon_distances
from vispa.evaluation.runner import run
from vispa.evaluation.scoring import score
from vispa.evaluation.tasks import LoadedTask
from vispa.files.reading import json_entries
from vispa.models.encoder import Encoder, FloatArray
from vispa.models.nli import NliClassifier
from vispa.selection.nli import HYPOTHESIS

#: Part of a suite → how its task is called after the domain.
TASKS = {"overton": "", "steerable": "-steerable", "survey": "-survey", "values": "-values"}

#: Figure → its interval: `estimate`, `low`, `high` and `n`, of so many situations or items.
Told = dict[str, dict[str, float]]
#: Pairs of situation and name in, a score of each out.
Scorer = Callable[[Sequence[tuple[str, str]]], FloatArray]


@dataclass(frozen=True)
class Named:
    """A situation with names of values, rights and duties.

    Attributes:
        text: the situation.
        own: names at stake in it.
        foreign: names that are not.
    """

    text: str
    own: tuple[str, ...]
    foreign: tuple[str, ...]


def named_situations(domain: str, limit: int | None = None) -> list[Named]:
    """A domain's situations that have names which are not at stake."""
    rows = [entry.value for entry in json_entries(SHIPPED / f"{domain}.json")]
    found = (Named(row["situation"], tuple(row["vrd"]), tuple(row["not_at_stake"])) for row in rows)
    return [one for one in found if one.foreign][:limit]


def cosines(encoder: Encoder) -> Scorer:
    """Scores by the cosine of a situation's and a name's embeddings."""

    def scores(pairs: Sequence[tuple[str, str]]) -> FloatArray:
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        vectors = dict(zip(texts, encoder.encode(texts), strict=True))
        return np.array([vectors[text] @ vectors[name] for text, name in pairs], dtype=np.float32)

    return scores


def entailments(model: str) -> Scorer:
    """Scores by the paper's gate: whether a situation entails that it is relevant to the name."""
    classifier = NliClassifier(model, contrast=True, cut="only_first")

    def scores(pairs: Sequence[tuple[str, str]]) -> FloatArray:
        asked = [(text, HYPOTHESIS.replace("{label}", name)) for text, name in pairs]
        return np.asarray(classifier.entailment(asked), dtype=np.float32)

    return scores


def selection_figures(situations: Sequence[Named], scorer: Scorer) -> Told:
    """AUC, precision and what chance gives for the latter, each a mean over situations."""
    found = iter(scorer([(one.text, name) for one in situations for name in (*one.own, *one.foreign)]))
    areas, precisions = [], []
    for one in situations:
        own = len(one.own)
        scores = np.array([next(found) for _ in range(own + len(one.foreign))])
        gold = np.arange(len(scores)) < own
        areas.append(float(area(scores[None], gold[None], 1)[0]))
        precisions.append(float(gold[np.argsort(-scores, kind="stable")[:own]].mean()))
    chance = [len(one.own) / (len(one.own) + len(one.foreign)) for one in situations]
    columns = {"AUC": areas, "precision": precisions, "precision by chance": chance}
    return {name: told(bootstrap_mean(values)) for name, values in columns.items()}


def chance_figures(task: LoadedTask, limit: int | None) -> Told:
    """What needs no model: the commonest gold answer always, or equal shares."""
    items = task.items[:limit]
    if task.task.metric == "agreement":
        ((commonest, _),) = Counter(item.label for item in items).most_common(1)
        return {"accuracy": told(bootstrap_mean([float(item.label == commonest) for item in items]))}
    if task.task.metric == "distribution":
        gold = [item.gold_distribution or () for item in items]
        equal = jensen_shannon_distances(gold, [np.ones(len(one)) for one in gold])
        return {"jensen_shannon": told(bootstrap_mean(equal))}
    return {}


def headlines(
    task: LoadedTask, methods: Sequence[str], bench: Bench, folder: Path, limit: int | None
) -> dict[str, Told]:
    """Method → headline figures of a task, with chance first."""
    scores = score(run(task, methods, bench, folder, limit=limit).run)
    names = [figure.name for figure in METRICS[task.task.metric].figures if figure.headline]
    found = {"chance": chance_figures(task, limit)}
    for method, own in scores.methods.items():
        found[method] = {name: told(own.figures[name]) for name in names if name in own.figures}
    return {method: figures for method, figures in found.items() if figures}
