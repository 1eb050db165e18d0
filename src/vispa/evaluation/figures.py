"""Figures of a scored run, as SVG.

Matplotlib is only needed here. The same run gives the same bytes: files carry no date, and
nothing of the user's own matplotlib settings enters. Names of methods, groups and values come from
the user; none of them is read as a formula.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vispa.evaluation.intervals import Interval
from vispa.evaluation.runs import Run
from vispa.evaluation.scoring import RunScores
from vispa.evaluation.signatures import value_use
from vispa.files import replacing
from vispa.records import Record
from vispa.study.figures import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The figures that say most about a task; drawn where a run has them.
HEADLINES = {
    "entailment_mean": "entailment score",
    "covered_share": "share of situations covered",
    "cosine_mean": "embedding likeness (not entailment)",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "jensen_shannon": "Jensen-Shannon distance (lower is better)",
    "most_likely": "most likely option agrees",
}
#: So many groups are drawn, those with most items.
DRAWN_GROUPS = 40

_BINS = 10
# Inches for a row with its label at the font size below.
_ROW = 0.2
_SETTINGS: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # Text stays text, which can be searched and read aloud, and a dollar sign stays one.
    "svg.fonttype": "none",
    "text.parse_math": False,
    # Names of the SVG's elements are drawn from it instead of from chance.
    "svg.hashsalt": "vispa",
}
_METADATA: dict[str, None] = dict.fromkeys(("Creator", "Date", "Format", "Type"))


class Reliability(Record):
    """How often options of some predicted probability are chosen.

    Attributes:
        predicted: mean predicted probability of the options in each bin that has any.
        gold: mean gold share of the same options.
        options: number of these options.
    """

    predicted: tuple[float, ...]
    gold: tuple[float, ...]
    options: tuple[int, ...]


class DrawnFigure(Record):
    """A figure's file with what it shows.

    Attributes:
        path: the SVG file.
        title: of the figure.
        caption: how to read it.
    """

    path: Path
    title: str
    caption: str


def draw_run(run: Run, scores: RunScores, folder: Path) -> list[DrawnFigure]:
    """Draw what the run has figures for.

    Args:
        run: that was scored.
        scores: its scores.
        folder: made if it is not there.

    Returns:
        The figures, each written to a file of its own.

    Raises:
        InputError: matplotlib is missing, or the folder cannot be written to.
    """
    drawn = []
    headlines = [name for name in HEADLINES if any(name in one.figures for one in scores.methods.values())]
    if headlines:
        path = folder / "methods.svg"
        draw_methods(scores, headlines, path)
        drawn.append(
            DrawnFigure(path=path, title="Figures by method", caption="Bars are 95 % bootstrap intervals over items.")
        )
    curves = {method: curve for method in run.records if (curve := reliability(run, method)) is not None}
    if curves:
        path = folder / "reliability.svg"
        draw_reliability(curves, path)
        caption = (
            "Mean gold share of options, binned by their predicted probability. On the diagonal predicted "
            "probabilities are what people chose; below it they are too sure. Larger points hold more options."
        )
        drawn.append(DrawnFigure(path=path, title="Reliability of option distributions", caption=caption))
    groups = groups_by_size(scores)[:DRAWN_GROUPS]
    grouped = [name for name in headlines if any(name in scores.methods[scores.baseline].groups[g] for g in groups)]
    if grouped:
        path = folder / "groups.svg"
        draw_groups(scores, groups, grouped[0], path)
        caption = f"{HEADLINES[grouped[0]].capitalize()}; at most the {DRAWN_GROUPS} groups with most items."
        drawn.append(DrawnFigure(path=path, title="By attribute", caption=caption))
    uses = {method: use for method in run.records if (use := value_use(run, method))}
    if uses:
        path = folder / "values.svg"
        draw_values(uses, path)
        caption = "Share of a method's items in which a value takes part; values that never do are not drawn."
        drawn.append(DrawnFigure(path=path, title="Use of values", caption=caption))
    return drawn


def groups_by_size(scores: RunScores) -> list[str]:
    """Attribute groups, those with most items first."""
    groups = scores.methods[scores.baseline].groups
    sizes = {group: next(iter(figures.values())).n for group, figures in groups.items()}
    return sorted(sizes, key=lambda group: (-sizes[group], group))


def reliability(run: Run, method: str) -> Reliability | None:
    """Predicted probabilities of options against their gold shares, in ten equal bins.

    Every option of every item with a predicted distribution counts once; where the gold is a
    label, its share is 1. Distributions are divided by their sums; one without mass is left out,
    and so are items with a single option.

    Returns:
        None if no item has both.
    """
    predicted: list[float] = []
    gold: list[float] = []
    for item in run.items:
        record = run.records[method].get(item.id)
        given = None if record is None or record.error is not None else record.distribution
        shares = item.gold_distribution
        if shares is None and item.label is not None:
            shares = tuple(float(place == item.label) for place in range(len(item.options)))
        if given is None or shares is None or len(shares) < 2 or sum(given) <= 0:
            continue
        predicted += [share / sum(given) for share in given]
        gold += [share / sum(shares) for share in shares]
    if not predicted:
        return None
    bins = np.minimum((np.array(predicted) * _BINS).astype(int), _BINS - 1)
    filled = np.unique(bins)

    def means(numbers: Sequence[float]) -> tuple[float, ...]:
        return tuple(float(np.array(numbers)[bins == place].mean()) for place in filled)

    counts = tuple(int((bins == place).sum()) for place in filled)
    return Reliability(predicted=means(predicted), gold=means(gold), options=counts)


# ---------------------------------------------------------------- drawings


def draw_methods(scores: RunScores, names: Sequence[str], path: Path) -> None:
    """Each figure in a panel of its own: methods downwards, with their intervals."""
    methods = list(scores.methods)
    with _drawing(path, 1.6 + 2.8 * len(names), 0.9 + 0.3 * len(methods)) as figure:
        axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axis, name in zip(axes, names, strict=True):
            for place, method in enumerate(methods):
                if name in scores.methods[method].figures:
                    _interval(axis, scores.methods[method].figures[name], place, f"C{place % 10}")
            axis.set_title(HEADLINES[name])
            axis.grid(axis="x", lw=0.4, alpha=0.6)
        _rows(axes[0], methods)


def draw_reliability(curves: Mapping[str, Reliability], path: Path) -> None:
    """Predicted against gold shares, a curve for each method."""
    with _drawing(path, 5.6, 3.6) as figure:
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color="grey", ls=(0, (6, 3)), lw=1)
        for place, (method, curve) in enumerate(curves.items()):
            color = f"C{place % 10}"
            sizes = 8 + 60 * np.sqrt(np.array(curve.options) / max(curve.options))
            axis.plot(curve.predicted, curve.gold, color=color, lw=1, label=method)
            axis.scatter(curve.predicted, curve.gold, s=sizes, color=color, alpha=0.7)
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="gold share", aspect="equal")
        figure.legend(loc="outside right upper", frameon=False)


def draw_groups(scores: RunScores, groups: Sequence[str], name: str, path: Path) -> None:
    """A figure by group: groups downwards, a point for each method."""
    methods = list(scores.methods)
    order = sorted(groups, key=lambda group: scores.methods[methods[-1]].groups[group][name].estimate)
    with _drawing(path, 7.2, 0.9 + len(order) * max(_ROW, 0.09 * len(methods))) as figure:
        axis = figure.subplots()
        for number, method in enumerate(methods):
            shift = 0.6 * ((number + 0.5) / len(methods) - 0.5)
            for place, group in enumerate(order):
                label = method if place == 0 else None
                _interval(
                    axis, scores.methods[method].groups[group][name], place + shift, f"C{number % 10}", label, thin=True
                )
        sizes = [scores.methods[methods[0]].groups[group][name].n for group in order]
        _rows(axis, [f"{group} ({size})" for group, size in zip(order, sizes, strict=True)])
        axis.set_xlabel(HEADLINES[name])
        axis.grid(axis="x", lw=0.4, alpha=0.6)
        figure.legend(loc="outside right upper", frameon=False)


def draw_values(uses: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Share of items by value: values downwards, a point for each method."""
    values = sorted({value for use in uses.values() for value in use})
    values.sort(key=lambda value: -max(use.get(value, 0.0) for use in uses.values()))
    with _drawing(path, 6.4, 0.9 + _ROW * len(values)) as figure:
        axis = figure.subplots()
        places = np.arange(len(values))
        for number, (method, use) in enumerate(uses.items()):
            shares = [use.get(value, 0.0) for value in values]
            height = 0.8 / len(uses)
            axis.barh(places - 0.4 + height * (number + 0.5), shares, height, color=f"C{number % 10}", label=method)
        _rows(axis, [value.replace("_", " ") for value in values])
        axis.set(xlabel="share of items", xlim=(0, None))
        figure.legend(loc="outside right upper", frameon=False)


def _interval(
    axis: Axes, interval: Interval, place: float, color: str, label: str | None = None, *, thin: bool = False
) -> None:
    axis.plot(
        [interval.low, interval.high], [place, place], color=color, lw=0.8 if thin else 1.8, alpha=0.6 if thin else 1
    )
    axis.plot([interval.estimate], [place], color=color, marker="o", ms=3 if thin else 5, ls="", label=label)


def _rows(axis: Axes, names: Sequence[str]) -> None:
    """Names downwards, the first one on top."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)


@contextmanager
def _drawing(path: Path, width: float, height: float) -> Iterator[Figure]:
    """An empty figure (inches), written to `path` when the block ends without an error."""
    require_matplotlib()
    from matplotlib import style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with style.context(["default", _SETTINGS]):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure
        with replacing(path) as temporary:
            figure.savefig(temporary, format="svg", metadata=_METADATA)
