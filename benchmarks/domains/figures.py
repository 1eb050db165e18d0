"""How well names in free words are found in a domain, and what methods answer to its tasks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.reports import told
from benchmarks.selection_figures import area
from training import domain_suites as suites
from training.domain_suites import SHIPPED
from vispa.evaluation.intervals import bootstrap_mean, bootstrap_statistic
from vispa.evaluation.methods import Bench
from vispa.evaluation.metrics import METRICS
from vispa.evaluation.metrics.distribution import jensen_shannon_distances
from vispa.evaluation.runner import run
from vispa.evaluation.score_files import load_item_scores
from vispa.evaluation.scoring import score
from vispa.evaluation.tasks import LoadedTask
from vispa.files.append_log import Identifier
from vispa.files.reading import json_entries
from vispa.files.tables import read_table
from vispa.models.encoder import Encoder, FloatArray
from vispa.models.nli import NliClassifier
from vispa.selection.nli import HYPOTHESIS

#: Part of a suite → how its task is called after the domain.
TASKS = {"overton": "", "steerable": "-steerable", "survey": "-survey", "values": "-values"}

#: The names in free words that the encoder that reads values learnt from; see docs/adapter.md.
TOLD_VALUES = Path(suites.__file__).with_name("told_values.csv")

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
    """A domain's situations with the names that the encoder never learnt from, some at stake in them and some not.

    It learnt from many names in free words (`training/told_values.csv`); those are left out on both sides.
    """
    rows, learnt = [entry.value for entry in json_entries(SHIPPED / f"{domain}.json")], learnt_names()

    def new(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if plain(name) not in learnt)

    found = (Named(row["situation"], new(row["vrd"]), new(row["not_at_stake"])) for row in rows)
    return [one for one in found if one.own and one.foreign][:limit]


@cache
def learnt_names() -> frozenset[str]:
    """The names of values that the encoder that reads values learnt from, plain."""
    rows = (row.fields["values"] for row in read_table(TOLD_VALUES, ("values",)).rows)
    return frozenset(plain(one.partition(":")[0]) for row in rows for one in row.split(" ; "))


def plain(name: str) -> str:
    """A name's words in lower case."""
    return " ".join(re.findall(r"\w+", name.lower()))


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


@dataclass(frozen=True)
class Selected:
    """How well a scorer tells names at stake from others, situation by situation.

    Attributes:
        areas: of an own and a drawn name, how often the own one scores higher.
        precisions: share of own names among as many as there are of those that score highest.
        chances: what chance gives for these.
    """

    areas: list[float]
    precisions: list[float]
    chances: list[float]

    @property
    def figures(self) -> Told:
        """Means over situations."""
        columns = {"AUC": self.areas, "precision": self.precisions, "precision by chance": self.chances}
        return {name: told(bootstrap_mean(values)) for name, values in columns.items()}

    def less(self, other: Selected) -> Told:
        """How far this one is ahead of another on the same situations."""
        columns = {"AUC": (self.areas, other.areas), "precision": (self.precisions, other.precisions)}
        return {
            name: told(bootstrap_mean(np.subtract(mine, theirs).tolist())) for name, (mine, theirs) in columns.items()
        }


def selection(situations: Sequence[Named], scorer: Scorer) -> Selected:
    """Names scored by one scorer, all in one call."""
    found = iter(scorer([(one.text, name) for one in situations for name in (*one.own, *one.foreign)]))
    areas, precisions = [], []
    for one in situations:
        own = len(one.own)
        scores = np.array([next(found) for _ in range(own + len(one.foreign))])
        gold = np.arange(len(scores)) < own
        areas.append(float(area(scores[None], gold[None], 1)[0]))
        precisions.append(float(gold[np.argsort(-scores, kind="stable")[:own]].mean()))
    chances = [len(one.own) / (len(one.own) + len(one.foreign)) for one in situations]
    return Selected(areas, precisions, chances)


def chance_figures(task: LoadedTask, limit: int | None) -> Told:
    """What needs no model: the gold answer that is commonest in the whole task always, or equal shares."""
    items = task.items[:limit]
    if task.task.metric == "agreement":
        ((commonest, _),) = Counter(item.label for item in task.items).most_common(1)
        return {"accuracy": by_question({item.id: float(item.label == commonest) for item in items})}
    if task.task.metric == "distribution":
        gold = [item.gold_distribution or () for item in items]
        equal = jensen_shannon_distances(gold, [np.ones(len(one)) for one in gold])
        return {"jensen_shannon": told(bootstrap_mean(equal))}
    return {}


def by_question(scores: Mapping[Identifier, float]) -> dict[str, float]:
    """The mean over items, its interval over what they share: a situation's targets, or a question's values.

    Items of one situation are not independent: an interval over items would be too narrow.
    """
    groups: dict[str, list[float]] = {}
    for identifier, value in scores.items():
        groups.setdefault(str(identifier).rpartition("-")[0], []).append(value)
    own = list(groups.values())
    sums, counts = np.array([sum(one) for one in own]), np.array([float(len(one)) for one in own])
    return told(bootstrap_statistic(lambda total, count: float(total.sum() / count.sum()), sums, counts))


def headlines(
    task: LoadedTask, methods: Sequence[str], bench: Bench, folder: Path, limit: int | None
) -> dict[str, Told]:
    """Method → headline figures of a task and what they are to be read with, chance first."""
    done = run(task, methods, bench, folder, limit=limit).run
    scores = score(done)
    items = load_item_scores(done, scores)
    names = [figure.name for figure in METRICS[task.task.metric].figures if figure.headline or figure.context]
    found = {"chance": chance_figures(task, limit)}
    for method, own in scores.methods.items():
        found[method] = {name: told(own.figures[name]) for name in names if name in own.figures}
        if task.task.metric == "agreement":
            found[method]["accuracy"] = by_question(items[method]["accuracy"])
    return {method: figures for method, figures in found.items() if figures}
