"""Figures of a scored run, as SVG; the same run gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vispa.evaluation.diagnostics import value_use
from vispa.evaluation.intervals import Interval
from vispa.evaluation.report_words import readable
from vispa.evaluation.runs.run import Run
from vispa.evaluation.scoring import RunScores
from vispa.files.drawing import drawing
from vispa.records import Record

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
# Inches: every figure has this width, so that its text can be read on a phone; a row with its label.
_WIDTH = 4.8
_ROW = 0.22
_SETTINGS = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "axes.titlesize": 9}
# Each colour has a contrast of at least 4.5 to white; markers tell methods apart without colours.
_COLORS = ("#1f5fa8", "#b34700", "#1b7a4b", "#7b3fa0", "#a3195b", "#00707f", "#7a5c00", "#4d4d4d")
_MARKERS = "osD^vPX*p"
# Of all intervals drawn; no line breaks before the sign.
_CONFIDENCE = "95\u00a0%"
# From so many rows on, the axis is written above them too.
_TALL = 15


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
        alternative: its numbers in words, for those who do not see it.
    """

    path: Path
    title: str
    caption: str
    alternative: str


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
    methods = list(run.records)
    drawn = []
    headlines = [name for name in HEADLINES if any(name in one.figures for one in scores.methods.values())]
    if headlines:
        path = folder / "methods.svg"
        draw_methods(scores, headlines, path)
        caption = f"Points are the results in the table, bars their {_CONFIDENCE} bootstrap intervals over items."
        alternative = "; ".join(
            f"{HEADLINES[name]}: " + ", ".join(f"{m} {_said(one.figures[name])}" for m, one in having.items())
            for name in headlines
            if (having := {m: one for m, one in scores.methods.items() if name in one.figures})
        )
        drawn.append(DrawnFigure(path=path, title="Results by method", caption=caption, alternative=alternative))
    curves = {method: curve for method in methods if (curve := reliability(run, method)) is not None}
    if curves:
        path = folder / "reliability.svg"
        draw_reliability(curves, methods, path)
        caption = (
            "Options in ten bins of their predicted probability, with their mean gold share: the share of people who "
            "chose them, or 1 for the right option and 0 for any other. On the dashed line the two are equal; below it "
            "options got too much probability, above it too little. Larger points hold more options."
        )
        alternative = "Predicted probability and gold share. " + "; ".join(
            f"{method}: {_said_curve(curve)}" for method, curve in curves.items()
        )
        drawn.append(
            DrawnFigure(
                path=path, title="Reliability of option distributions", caption=caption, alternative=alternative
            )
        )
    all_groups = groups_by_size(scores)
    groups = all_groups[:DRAWN_GROUPS]
    grouped = [name for name in headlines if any(name in scores.methods[scores.baseline].groups[g] for g in groups)]
    if grouped:
        path = folder / "groups.svg"
        draw_groups(scores, groups, grouped[0], path)
        which = (
            "" if groups == all_groups else f" Drawn are the {len(groups)} of {len(all_groups)} groups with most items."
        )
        caption = (
            f"Groups with their number of items, sorted by {methods[-1]}. Bars are {_CONFIDENCE} bootstrap intervals "
            f"over items; a group of one item has none.{which}"
        )
        title = HEADLINES[grouped[0]]
        alternative = f"{title} of {len(groups)} groups; the numbers are in the table."
        drawn.append(DrawnFigure(path=path, title=title, caption=caption, alternative=alternative))
    uses = {method: use for method in methods if (use := value_use(run, method))}
    if uses:
        path = folder / "values.svg"
        draw_values(uses, methods, path)
        caption = "Share of a method's items in which a value takes part; values that never do are not drawn."
        alternative = "Share of items. " + "; ".join(f"{method}: {_said_use(use)}" for method, use in uses.items())
        drawn.append(DrawnFigure(path=path, title="Share of items by value", caption=caption, alternative=alternative))
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
    """Each figure in a panel of its own, one below the other: methods downwards, with their intervals."""
    methods = list(scores.methods)
    with drawing(path, _WIDTH, len(names) * (0.7 + 0.26 * len(methods)), _SETTINGS) as figure:
        for axis, name in zip(figure.subplots(len(names), 1, squeeze=False)[:, 0], names, strict=True):
            for place, method in enumerate(methods):
                if name in scores.methods[method].figures:
                    _interval(axis, scores.methods[method].figures[name], place, place)
            axis.set_title(HEADLINES[name])
            axis.grid(axis="x", lw=0.4, alpha=0.6)
            _rows(axis, methods)


def draw_reliability(curves: Mapping[str, Reliability], methods: Sequence[str], path: Path) -> None:
    """Predicted against gold shares, a curve for each method; `methods` are the run's, for their colours."""
    with drawing(path, _WIDTH, _WIDTH, _SETTINGS) as figure:
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color="#666666", ls=(0, (6, 3)), lw=1)
        for method, curve in curves.items():
            color, marker = _style(methods.index(method))
            sizes = 8 + 60 * np.sqrt(np.array(curve.options) / max(curve.options))
            axis.plot(curve.predicted, curve.gold, color=color, marker=marker, markevery=[], ms=4, lw=1, label=method)
            # A point on the frame is drawn whole.
            axis.scatter(curve.predicted, curve.gold, s=sizes, color=color, marker=marker, alpha=0.7, clip_on=False)
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="gold share", aspect="equal")
        _legend(figure, list(curves))


def draw_groups(scores: RunScores, groups: Sequence[str], name: str, path: Path) -> None:
    """A figure by group: groups downwards, a point for each method."""
    methods = list(scores.methods)
    order = sorted(groups, key=lambda group: scores.methods[methods[-1]].groups[group][name].estimate)
    with drawing(path, _WIDTH, 1.1 + len(order) * max(_ROW, 0.09 * len(methods)), _SETTINGS) as figure:
        axis = figure.subplots()
        for place in range(0, len(order), 2):
            axis.axhspan(place - 0.5, place + 0.5, color="#f3f4f6", lw=0)
        for number, method in enumerate(methods):
            shift = 0.6 * ((number + 0.5) / len(methods) - 0.5)
            for place, group in enumerate(order):
                label = method if place == 0 else None
                _interval(axis, scores.methods[method].groups[group][name], place + shift, number, label, thin=True)
        sizes = [scores.methods[methods[0]].groups[group][name].n for group in order]
        _rows(axis, [f"{group} ({size})" for group, size in zip(order, sizes, strict=True)])
        # Below the whole figure: long names of groups leave the axes too narrow for it.
        figure.supxlabel(HEADLINES[name], fontsize="medium")
        axis.tick_params(top=len(order) > _TALL, labeltop=len(order) > _TALL)
        axis.grid(axis="x", lw=0.4, alpha=0.6)
        _legend(figure, methods)


def draw_values(uses: Mapping[str, Mapping[str, float]], methods: Sequence[str], path: Path) -> None:
    """Share of items by value: values downwards, a bar for each method; `methods` are the run's, for their colours."""
    values = sorted({value for use in uses.values() for value in use})
    values.sort(key=lambda value: -max(use.get(value, 0.0) for use in uses.values()))
    with drawing(path, _WIDTH, 1.1 + len(values) * max(_ROW, 0.07 * len(uses)), _SETTINGS) as figure:
        axis = figure.subplots()
        places = np.arange(len(values))
        height = 0.8 / len(uses)
        for number, (method, use) in enumerate(uses.items()):
            shares = [use.get(value, 0.0) for value in values]
            color, _ = _style(methods.index(method))
            axis.barh(places - 0.4 + height * (number + 0.5), shares, height, color=color, label=method)
        _rows(axis, [readable(value) for value in values])
        axis.set(xlabel="share of items", xlim=(0, None))
        axis.tick_params(top=len(values) > _TALL, labeltop=len(values) > _TALL)
        axis.grid(axis="x", lw=0.4, alpha=0.6)
        axis.set_axisbelow(True)
        _legend(figure, list(uses))


def _interval(
    axis: Axes, interval: Interval, place: float, number: int, label: str | None = None, *, thin: bool = False
) -> None:
    """A point in the style of method `number`, with its interval unless that is of one item."""
    color, marker = _style(number)
    if interval.n > 1:
        axis.plot([interval.low, interval.high], [place, place], color=color, lw=0.8 if thin else 1.8)
    axis.plot([interval.estimate], [place], color=color, marker=marker, ms=3 if thin else 5, ls="", label=label)


def _style(number: int) -> tuple[str, str]:
    """Colour and marker of a run's method, the same in every figure."""
    return _COLORS[number % len(_COLORS)], _MARKERS[number % len(_MARKERS)]


def _legend(figure: Figure, names: Sequence[str]) -> None:
    """Above the axes, where it takes no width; long names get a line each."""
    figure.legend(loc="outside upper left", frameon=False, ncols=1 if max(map(len, names)) > 14 else min(4, len(names)))


def _rows(axis: Axes, names: Sequence[str]) -> None:
    """Names downwards, the first one on top."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)


# ---------------------------------------------------------------- figures in words


def _said(interval: Interval) -> str:
    if interval.n == 1:
        return f"{interval.estimate:.3f} (one item)"
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _said_curve(curve: Reliability) -> str:
    points = zip(curve.predicted, curve.gold, curve.options, strict=True)
    return ", ".join(f"{predicted:.2f} and {gold:.2f} ({n} options)" for predicted, gold, n in points)


def _said_use(use: Mapping[str, float]) -> str:
    order = sorted(use, key=lambda value: (-use[value], value))
    return ", ".join(f"{readable(value)} {use[value]:.2f}" for value in order)
