"""Beyond health: selection, coverage and answers in law, education, work and care, by domain.

    python -m benchmarks.domains [--model embedded] [--methods vanilla,prompting,vispa] [--domains law,work]
                                 [--tasks overton,steerable,survey,values] [--limit N] [--tokens N] [--nli MODEL]
                                 [--output DIR] [--json FILE]

Selection: the values, rights and duties of a situation in the writer's own words, which both readers find at stake,
beside names drawn from other situations that both readers find not at stake; selectors know none of them, and see name
and situation alone. So it is told how well a value in free words is found, not how well the built-in 31 are.
AUC: of an own and a drawn name of one situation, how often the own one scores higher, mean over situations. Precision:
share of own names among as many as there are of those that score highest, beside what chance gives. There are one or
two drawn names a situation, which mostly come from another topic: the figures compare selectors, and are easier to
reach than telling apart what nearly matters.

Answers: the tasks `domains/…` under each method, with the headline figures of their metrics. `chance` is always the
commonest gold answer, or equal shares of the options. The survey's gold is an equal mixture of values, not of people.

Intervals are 95 % bootstrap intervals over situations or items. With `--output` the runs are kept, and go on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.selection_figures import area
from training.domain_suites import DOMAINS, SHIPPED
from vispa.evaluation.intervals import Interval, bootstrap_mean
from vispa.evaluation.methods import Bench
from vispa.evaluation.metrics import METRICS
from vispa.evaluation.metrics.distribution import jensen_shannon_distances
from vispa.evaluation.runner import run
from vispa.evaluation.scoring import score
from vispa.evaluation.tasks import LoadedTask, load_task
from vispa.files.reading import json_entries
from vispa.models.encoder import Encoder, FloatArray, load_encoder
from vispa.models.nli import NliClassifier
from vispa.pipeline import Vispa
from vispa.selection.adapted import load_adapted
from vispa.selection.nli import HYPOTHESIS

#: Part of a suite → how its task is called after the domain.
TASKS = {"overton": "", "steerable": "-steerable", "survey": "-survey", "values": "-values"}

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


def selection_figures(situations: Sequence[Named], scorer: Scorer) -> dict[str, Interval]:
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
    return {name: bootstrap_mean(values) for name, values in columns.items()}


def chance_figures(task: LoadedTask, limit: int | None) -> dict[str, Interval]:
    """What needs no model: the commonest gold answer always, or equal shares."""
    items = task.items[:limit]
    if task.task.metric == "agreement":
        ((commonest, _),) = Counter(item.label for item in items).most_common(1)
        return {"accuracy": bootstrap_mean([float(item.label == commonest) for item in items])}
    if task.task.metric == "distribution":
        gold = [item.gold_distribution or () for item in items]
        equal = jensen_shannon_distances(gold, [np.ones(len(one)) for one in gold])
        return {"jensen_shannon": bootstrap_mean(equal)}
    return {}


def headlines(
    task: LoadedTask, methods: Sequence[str], bench: Bench, folder: Path, limit: int | None
) -> dict[str, Any]:
    """Method → headline figures of a task, with chance first."""
    scores = score(run(task, methods, bench, folder, limit=limit).run)
    names = [figure.name for figure in METRICS[task.task.metric].figures if figure.headline]
    found = {"chance": chance_figures(task, limit)}
    for method, own in scores.methods.items():
        found[method] = {name: own.figures[name] for name in names if name in own.figures}
    return {method: figures for method, figures in found.items() if figures}


# ---------------------------------------------------------------- telling


def shown(figures: dict[str, Interval], names: Sequence[str]) -> str:
    """Cells of a row."""
    cells = (figures.get(name) for name in names)
    return " | ".join(f"{one.estimate:.3f} [{one.low:.3f}, {one.high:.3f}]" if one else "–" for one in cells)


def tell(title: str, rows: dict[str, dict[str, Interval]], first: bool) -> None:
    """A table's rows, its head where it is new; the names of figures come from the rows."""
    names = list(dict.fromkeys(name for figures in rows.values() for name in figures))
    if first:
        print(f"\n| | | {' | '.join(name.replace('_', ' ') for name in names)} |\n{'| --- ' * (2 + len(names))}|")
    for name, figures in rows.items():
        print(f"| {title} | {name} | {shown(figures, names)} |", flush=True)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help="a named model, hub id or folder; none for selection alone")
    parser.add_argument("--methods", default="vanilla,prompting,vispa")
    parser.add_argument("--domains", default=",".join(DOMAINS))
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--limit", type=int, help="the first N situations or items of each task only")
    parser.add_argument("--tokens", type=int, default=200, help="longest comment")
    parser.add_argument("--nli", help="also select with this NLI model")
    parser.add_argument("--output", type=Path, help="keep the runs here")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parsed = parser.parse_args(arguments)
    for option, known in (("domains", DOMAINS), ("tasks", tuple(TASKS))):
        asked = getattr(parsed, option).split(",")
        if unknown := [one for one in asked if one not in known]:
            parser.error(f"--{option}: {', '.join(unknown)}: choose of {', '.join(known)}")
        setattr(parsed, option, asked)
    if parsed.limit is not None and parsed.limit < 1:
        parser.error("--limit: give a number from 1")
    return parsed


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Print the tables; table → domain → row → figures."""
    scorers = {"encoder that reads values": cosines(load_adapted().encoder), "bundled encoder": cosines(load_encoder())}
    if arguments.nli:
        scorers[f"nli:{arguments.nli}"] = entailments(arguments.nli)
    report: dict[str, Any] = {"selection": {}}
    for domain in arguments.domains:
        situations = named_situations(domain, arguments.limit)
        report["selection"][domain] = {name: selection_figures(situations, one) for name, one in scorers.items()}
        tell(f"{domain}, {len(situations)}", report["selection"][domain], domain == arguments.domains[0])
    if arguments.model == "none":
        return report
    bench = Bench(Vispa.from_pretrained(arguments.model), max_new_tokens=arguments.tokens)
    for part in arguments.tasks:
        report[part] = {}
        for domain in arguments.domains:
            task = load_task(f"domains/{domain}{TASKS[part]}")
            where = folder / f"{domain}{TASKS[part]}"
            report[part][domain] = headlines(task, arguments.methods.split(","), bench, where, arguments.limit)
            title = f"{task.task.name}, {len(task.items[: arguments.limit])}"
            tell(title, report[part][domain], domain == arguments.domains[0])
    return report


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, and write them where it is asked for."""
    parsed = _parsed(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        report = measure(parsed, parsed.output or Path(temporary))
    if parsed.json:
        parsed.json.write_text(json.dumps(report, indent=1, default=Interval.model_dump), encoding="utf-8")


if __name__ == "__main__":
    main()
