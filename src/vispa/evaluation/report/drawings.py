"""The drawings of a report, by matplotlib: methods with their intervals, reliability, groups, values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vispa.evaluation.intervals import Interval
from vispa.evaluation.metrics import Figure
from vispa.evaluation.report.reliability import Reliability
from vispa.evaluation.report.words import readable
from vispa.evaluation.scoring import RunScores
from vispa.files.drawing import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Inches: every figure has this width, so that its text can be read on a phone; a row with its label.
_WIDTH = 4.8
_ROW = 0.22
_SETTINGS = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "axes.titlesize": 9}
# Each colour has a contrast of at least 4.5 to white; markers tell methods apart without colours.
_COLORS = ("#1f5fa8", "#b34700", "#1b7a4b", "#7b3fa0", "#a3195b", "#00707f", "#7a5c00", "#4d4d4d")
_MARKERS = "osD^vPX*p"
# From so many rows on, the axis is written above them too.
_TALL = 15


def draw_methods(scores: RunScores, figures: Sequence[Figure], path: Path) -> None:
    """Each figure in a panel of its own, one below the other: methods downwards, with their intervals."""
    methods = list(scores.methods)
    with drawing(path, _WIDTH, len(figures) * (0.7 + 0.26 * len(methods)), _SETTINGS) as figure:
        for axis, one in zip(figure.subplots(len(figures), 1, squeeze=False)[:, 0], figures, strict=True):
            for place, method in enumerate(methods):
                found = scores.methods[method].figures
                if one.name in found:
                    _interval(axis, found[one.name], place - (0.15 if one.chance in found else 0), place)
                if one.chance in found:
                    _interval(axis, found[one.chance], place + 0.15, place, hollow=True)
            axis.set_title(one.drawn_as)
            axis.grid(axis="x", lw=0.4, alpha=0.6)
            _keep_to_scale(axis, one)
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


def draw_groups(scores: RunScores, groups: Sequence[str], drawn: Figure, path: Path) -> None:
    """A figure by group: groups downwards, a point for each method."""
    methods, name = list(scores.methods), drawn.name
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
        figure.supxlabel(drawn.drawn_as, fontsize="medium")
        axis.tick_params(top=len(order) > _TALL, labeltop=len(order) > _TALL)
        axis.grid(axis="x", lw=0.4, alpha=0.6)
        _keep_to_scale(axis, drawn)
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
        axis.set(xlabel="share of items", xlim=(0, min(1.0, axis.get_xlim()[1])))
        axis.tick_params(top=len(values) > _TALL, labeltop=len(values) > _TALL)
        axis.grid(axis="x", lw=0.4, alpha=0.6)
        axis.set_axisbelow(True)
        _legend(figure, list(uses))


def _interval(
    axis: Axes,
    interval: Interval,
    place: float,
    number: int,
    label: str | None = None,
    *,
    thin: bool = False,
    hollow: bool = False,
) -> None:
    """A point in the style of method `number`, with its interval unless that is of one item or text."""
    color, marker = _style(number)
    if interval.drawn > 1:
        width = 0.8 if thin or hollow else 1.8
        axis.plot([interval.low, interval.high], [place, place], color=color, lw=width, clip_on=False)
    face = "white" if hollow else color
    size = 3 if thin else 5
    # A point on the frame is drawn whole.
    axis.plot(
        [interval.estimate], [place], color=color, mfc=face, marker=marker, ms=size, ls="", label=label, clip_on=False
    )


def _keep_to_scale(axis: Axes, figure: Figure) -> None:
    """No axis goes on where its figure cannot; where the figure can be negative it shows 0."""
    if figure.span is None:
        return
    least, greatest = figure.span
    if least < 0:
        axis.axvline(0, color="#666666", ls=(0, (6, 3)), lw=1)
    low, high = axis.get_xlim()
    axis.set_xlim(max(low, least), min(high, greatest))


def _style(number: int) -> tuple[str, str]:
    """Colour and marker of a run's method, the same in every figure."""
    return _COLORS[number % len(_COLORS)], _MARKERS[number % len(_MARKERS)]


def _legend(figure: Canvas, names: Sequence[str]) -> None:
    """Above the axes, where it takes no width; long names get a line each."""
    figure.legend(loc="outside upper left", frameon=False, ncols=1 if max(map(len, names)) > 14 else min(4, len(names)))


def _rows(axis: Axes, names: Sequence[str]) -> None:
    """Names downwards, the first one on top."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
