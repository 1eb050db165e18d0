"""The tables and the figure of a report on the domains beyond health, as Markdown and a drawing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from benchmarks.reports import SHARE, reach, shown, table
from vispa.files.drawing import drawing

Report = Mapping[str, Any]

#: Part of a suite and its figure → how its column is called.
COLUMNS = {
    ("overton", "cosine_beyond_text"): "coverage beyond the text",
    ("overton", "cosine_above_chance"): "coverage above chance",
    ("overton", "cosine_same_length"): "coverage by three sentences",
    ("overton", "cosine_same_length_shuffled"): "the same, other situations",
    ("overton", "length_words"): "words",
    ("steerable", "accuracy"): "steerable: accuracy",
    ("survey", "jensen_shannon"): "survey: distance",
    ("values", "accuracy"): "values: accuracy",
}
#: Columns that are drawn.
_DRAWN = (("steerable", "accuracy"), ("values", "accuracy"))
_SELECTED = ("AUC", "precision", "precision by chance")
#: The encoders that are always compared, and the row of their difference.
READS, BUNDLED, DIFFERENCE = "that reads values", "bundled", "difference of the two"


def section(report: Report) -> str:
    """The tables of all parts that a report has."""
    parts = [_selection(report["selection"])]
    if "tasks" in report:
        parts.append(_answers(report["tasks"]))
    return "\n\n".join(parts)


def _selection(found: Report) -> str:
    rows = [
        [f"{domain}, {own['AUC']['n']}", name, *(shown(own.get(figure), 3) for figure in _SELECTED)]
        for domain, encoders in found.items()
        for name, own in encoders.items()
    ]
    words = (
        "**Selection**: names of values, rights and duties in the writer's words beside drawn names that both readers "
        "find not at stake, each scored by the cosine of its and the situation's embedding. *AUC*: how often an own "
        "name scores higher than a drawn one. *Precision*: share of own names among the highest, as many as there are, "
        "and what chance gives. Names that the encoder that reads values learnt from are left out. Intervals by "
        "bootstrap over situations, of the difference too."
    )
    return f"{words}\n\n{table(['domain, situations', 'encoder', *_SELECTED], rows)}"


def _answers(tasks: Report) -> str:
    columns = {key: words for key, words in COLUMNS.items() if key[0] in tasks}
    rows = []
    for domain in next(iter(tasks.values())):
        methods = dict.fromkeys(method for own in tasks.values() for method in own[domain])
        for method in sorted(methods, key=lambda one: one != "chance"):
            figures = [tasks[part][domain].get(method, {}).get(figure) for part, figure in columns]
            digits = [0 if figure == "length_words" else 2 for _, figure in columns]
            rows.append([domain, method, *map(shown, figures, digits)])
    words = (
        f"**Answers** of the model under each method, of {_items(tasks)}. *Coverage*: cosine of the answer to the "
        "explanations of what is at stake, beyond what the situation's own text has of it; above that to explanations "
        "of other situations; and of three sentences at most of each answer, where one of fewer counts as it is, "
        "beside what the same sentences have of other situations' explanations. *Words*: of a whole answer. "
        "*Accuracy*: share of the answers of a target, or of someone who puts a value first, that are the gold ones. "
        "*Distance*: Jensen–Shannon, 0 to 0.83, to a mixture of values, not of people; less is better. *Chance* always "
        "gives the commonest answer, or equal shares. Intervals by bootstrap over situations or questions, whose items "
        "are drawn together."
    )
    return f"{words}\n\n{table(['domain', 'method', *columns.values()], rows)}"


def _items(tasks: Report) -> str:
    """What figures are of, `24 situations and questions, accuracies of 4 to 8`."""
    items: set[float] = set()
    questions: set[float] = set()
    for own in tasks.values():
        for methods in own.values():
            for one in methods.values():
                for name, figure in one.items():
                    (questions if name == "accuracy" else items).add(figure["n"])
    counts = [f"{_span(items)} situations or questions"] if items else []
    return ", ".join([*counts, *([f"accuracies of {_span(questions)}"] if questions else [])])


def _span(counts: Collection[float]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def draw(report: Report, path: Path) -> None:
    """How well names are found, by domain, and accuracies of methods where there are some."""
    tasks = report.get("tasks", {})
    drawn = [key for key in _DRAWN if key[0] in tasks]
    with drawing(path, 0.6 + 3.4 * (1 + len(drawn)), 3.2) as figure:
        axes = figure.subplots(1, 1 + len(drawn), squeeze=False)[0]
        selection = {
            domain: {name: one["AUC"] for name, one in own.items() if name != DIFFERENCE}
            for domain, own in report["selection"].items()
        }
        _points(axes[0], selection)
        axes[0].axhline(0.5, color="0.6", lw=0.8, ls="--")
        axes[0].set(ylabel="AUC: own names before drawn ones", ylim=SHARE)
        for axis, (part, name) in zip(axes[1:], drawn, strict=True):
            _points(
                axis,
                {domain: {method: one[name] for method, one in own.items()} for domain, own in tasks[part].items()},
            )
            axis.set(ylabel=COLUMNS[part, name], ylim=SHARE)
        for axis in axes:
            axis.legend(fontsize=6)


def _points(axis: Any, found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """A group of points for each domain, in each a point for each encoder or method."""
    names = list(dict.fromkeys(name for own in found.values() for name in own))
    for place, name in enumerate(names):
        x = [group + 0.15 * (place - (len(names) - 1) / 2) for group, own in enumerate(found.values()) if name in own]
        ones = [own[name] for own in found.values() if name in own]
        axis.errorbar(
            x, [one["estimate"] for one in ones], yerr=reach(ones), marker="os^Dv*Px"[place % 8], ls="", ms=4, lw=1,
            capsize=2, label=name,
        )  # fmt: skip
    axis.set_xticks(range(len(found)), list(found))
    axis.grid(alpha=0.3)
