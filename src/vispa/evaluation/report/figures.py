"""Figures of a scored run, as SVG with captions and their numbers in words; the same run gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vispa.evaluation.diagnostics import value_use
from vispa.evaluation.intervals import Interval
from vispa.evaluation.metrics import METRICS, Figure
from vispa.evaluation.report.drawings import draw_groups, draw_methods, draw_reliability, draw_values
from vispa.evaluation.report.reliability import Reliability, reliability
from vispa.evaluation.report.words import drawn_over, readable
from vispa.evaluation.runs.run import Run
from vispa.evaluation.scoring import RunScores
from vispa.records import Record

#: So many groups are drawn, those with most items.
DRAWN_GROUPS = 40

# Of all intervals drawn; no line breaks before the sign.
_CONFIDENCE = "95\u00a0%"


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
    drawn = (
        _methods(scores, folder / "methods.svg"),
        _reliability(run, folder / "reliability.svg"),
        _groups(scores, folder / "groups.svg"),
        _values(run, folder / "values.svg"),
    )
    return [one for one in drawn if one is not None]


def groups_by_size(scores: RunScores) -> list[str]:
    """Attribute groups, those with most items first."""
    groups = scores.methods[scores.baseline].groups
    sizes = {group: next(iter(figures.values())).n for group, figures in groups.items()}
    return sorted(sizes, key=lambda group: (-sizes[group], group))


# ---------------------------------------------------------------- one figure each, None where there is nothing to draw


def _headlines(scores: RunScores) -> list[Figure]:
    """The figures that say most about the task, of those that the run has."""
    return [
        one
        for one in METRICS[scores.metric].figures
        if one.headline and any(one.name in found.figures for found in scores.methods.values())
    ]


def _methods(scores: RunScores, path: Path) -> DrawnFigure | None:
    headlines = _headlines(scores)
    if not headlines:
        return None
    draw_methods(scores, headlines, path)
    alternative = "; ".join(
        f"{figure.drawn_as}: " + ", ".join(f"{m} {_said(one.figures[figure.name])}" for m, one in having.items())
        for figure in headlines
        if (having := {m: one for m, one in scores.methods.items() if figure.name in one.figures})
    )
    over = drawn_over(next(figure for one in scores.methods.values() for figure in one.figures.values()))
    caption = f"Points are the results in the table, bars their {_CONFIDENCE} bootstrap intervals over {over}s."
    if any(figure.chance in one.figures for figure in headlines for one in scores.methods.values()):
        caption += " Hollow points are the same answers against other situations: what chance gives."
    return DrawnFigure(path=path, title="Results by method", caption=caption, alternative=alternative)


def _reliability(run: Run, path: Path) -> DrawnFigure | None:
    curves = {method: curve for method in run.records if (curve := reliability(run, method)) is not None}
    if not curves:
        return None
    draw_reliability(curves, list(run.records), path)
    caption = (
        "Options in ten bins of their predicted probability, with their mean gold share: the share of people who "
        "chose them, or 1 for the right option and 0 for any other. On the dashed line the two are equal; below it "
        "options got too much probability, above it too little. Larger points hold more options."
    )
    said = "; ".join(f"{method}: {_said_curve(curve)}" for method, curve in curves.items())
    alternative = f"Predicted probability and gold share. {said}"
    return DrawnFigure(path=path, title="Reliability of option distributions", caption=caption, alternative=alternative)


def _groups(scores: RunScores, path: Path) -> DrawnFigure | None:
    every = groups_by_size(scores)
    groups = every[:DRAWN_GROUPS]
    by_group = scores.methods[scores.baseline].groups
    headline = next((one for one in _headlines(scores) if any(one.name in by_group[group] for group in groups)), None)
    if headline is None:
        return None
    draw_groups(scores, groups, headline, path)
    which = "" if groups == every else f" Drawn are the {len(groups)} of {len(every)} groups with most items."
    drawn = {drawn_over(by_group[group][headline.name]) for group in groups}
    over = "text" if "text" in drawn else "item"
    caption = (
        f"Groups with their number of items, sorted by {list(scores.methods)[-1]}. Bars are {_CONFIDENCE} bootstrap "
        f"intervals over {over}s; a group of one {over} has none.{which}"
    )
    title = headline.drawn_as
    alternative = f"{title} of {len(groups)} groups; the numbers are in the table."
    return DrawnFigure(path=path, title=title, caption=caption, alternative=alternative)


def _values(run: Run, path: Path) -> DrawnFigure | None:
    uses = {method: use for method in run.records if (use := value_use(run, method))}
    if not uses:
        return None
    draw_values(uses, list(run.records), path)
    caption = "Share of a method's items in which a value takes part; values that never do are not drawn."
    alternative = "Share of items. " + "; ".join(f"{method}: {_said_use(use)}" for method, use in uses.items())
    return DrawnFigure(path=path, title="Share of items by value", caption=caption, alternative=alternative)


# ---------------------------------------------------------------- figures in words


def _said(interval: Interval) -> str:
    if interval.drawn == 1:
        return f"{interval.estimate:.3f} (one {'item' if interval.n == 1 else 'text'})"
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _said_curve(curve: Reliability) -> str:
    points = zip(curve.predicted, curve.gold, curve.options, strict=True)
    return ", ".join(f"{predicted:.2f} and {gold:.2f} ({n} options)" for predicted, gold, n in points)


def _said_use(use: Mapping[str, float]) -> str:
    order = sorted(use, key=lambda value: (-use[value], value))
    return ", ".join(f"{readable(value)} {use[value]:.2f}" for value in order)
