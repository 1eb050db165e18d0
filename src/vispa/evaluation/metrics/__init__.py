"""What tasks are judged by: a metric is one file here and one line in `METRICS`."""

from __future__ import annotations

import re

from vispa.errors import InputError
from vispa.evaluation.metrics.agreement import Agreement
from vispa.evaluation.metrics.base import CheckWords, Figure, Metric
from vispa.evaluation.metrics.coverage import Coverage
from vispa.evaluation.metrics.distribution import DistributionDistance
from vispa.evaluation.metrics.most_likely import MostLikely

#: Name in a task's `metric` → the metric.
METRICS: dict[str, Metric] = {
    metric.name: metric for metric in (Coverage(), Agreement(), MostLikely(), DistributionDistance())
}

__all__ = ["METRICS", "CheckWords", "Figure", "Metric", "check_judge", "check_words", "figure_of", "judge_in_words"]


def figure_of(name: str) -> Figure:
    """The figure of a name; one that no metric has is known by its name alone."""
    found = (figure for metric in METRICS.values() for figure in metric.figures if figure.name == name)
    return next(found, Figure(name, name, ""))


def check_words(name: str) -> CheckWords | None:
    """How the report writes a metric's check; None where it is no metric's."""
    return next((metric.check_words[name] for metric in METRICS.values() if name in metric.check_words), None)


def check_judge(judge: str) -> None:
    """Refuse a judge that no metric knows.

    Args:
        judge: `none`, `embedding`, or `nli:MODEL`.

    Raises:
        InputError: something else.
    """
    kinds = [kind for metric in METRICS.values() for kind in metric.judges]
    if judge not in ("none", *(kind for kind in kinds if kind != "nli")) and not re.fullmatch(r"nli:\S.*", judge):
        raise InputError("judge", f"is {judge!r}.", "Choose none, embedding or nli:MODEL.")


def judge_in_words(judge: str) -> str:
    """`nli:NAME` or `embedding:NAME` as a phrase; an unknown one as it is."""
    kind, _, name = judge.partition(":")
    phrase = next((metric.judges[kind] for metric in METRICS.values() if kind in metric.judges), "")
    return f"{phrase} {name}" if phrase and name else judge
