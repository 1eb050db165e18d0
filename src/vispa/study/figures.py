"""Heat maps and curves of a study, as PNG or SVG; the same numbers give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vispa.files.drawing import drawing
from vispa.study.dose import DoseResponse, Measure
from vispa.study.expressed import Expressed
from vispa.study.inspection import Inspection
from vispa.study.leakage import Leakage
from vispa.study.quality import Quality
from vispa.study.similarity import Similarity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

# Inches for one row or column of a heat map, enough for its label at the font size of `vispa.files.drawing`.
_CELL = 0.19

Labels = Mapping[str, str]


def write_figures(inspection: Inspection, folder: Path, suffix: str, labels: Labels | None = None) -> list[Path]:
    """Draw every part that was computed, into one file each.

    Args:
        inspection: what was found.
        folder: made if it is not there.
        suffix: one of `vispa.files.drawing.FORMATS`.
        labels: slug → words to show; the slug where there are none.

    Returns:
        The files written.

    Raises:
        InputError: matplotlib is missing, or the folder cannot be written to.
    """
    labels = labels or {}
    written = []
    if inspection.quality is not None:
        written.append(folder / f"quality.{suffix}")
        draw_quality(inspection.quality, written[-1], labels)
    if inspection.similarity is not None:
        written.append(folder / f"similarity.{suffix}")
        draw_similarity(inspection.similarity, written[-1], labels)
    if inspection.dose is not None:
        written.append(folder / f"dose.{suffix}")
        draw_dose(inspection.dose, written[-1], labels)
    if inspection.leakage is not None:
        written.append(folder / f"leakage.{suffix}")
        draw_leakage(inspection.leakage, written[-1], labels)
    if inspection.expression is not None:
        written.append(folder / f"expression.{suffix}")
        draw_expression(inspection.expression, written[-1], labels)
    return written


def draw_quality(table: Quality, path: Path, labels: Labels | None = None) -> None:
    """Heat maps of held-out accuracy, separation and relative norm, values by blocks."""
    parts = (
        ("held-out accuracy", table.accuracy, 0.5, 1.0),
        ("separation (d′)", table.separation, 0.0, None),
        ("length / residual norm", table.relative_norm, 0.0, None),
    )
    rows, columns = table.accuracy.shape
    # Blocks have numbers for names, of which some can be left out: deep models need not be wide.
    width = 1.6 + len(parts) * (0.9 + min(max(1.2, columns * _CELL), 3.6))
    with drawing(path, width, 1.2 + rows * _CELL) as figure:
        axes = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
        for axis, (title, numbers, low, high) in zip(axes, parts, strict=True):
            image = axis.imshow(numbers, cmap="viridis", vmin=low, vmax=high, aspect="auto", interpolation="none")
            axis.set(title=title, xlabel="block", xticks=_spread(columns))
            figure.colorbar(image, ax=axis, shrink=0.6, extend="min" if numbers.min() < low else "neither")
        axes[0].set_yticks(range(rows), _names(table.values, labels))
        figure.suptitle(f"Directions: {table.estimator}")


def draw_similarity(table: Similarity, path: Path, labels: Labels | None = None) -> None:
    """Heat map of the cosines, similar values side by side."""
    order = list(table.order)
    blocks = f"block {table.blocks[0]}" if len(table.blocks) == 1 else f"blocks {_ranges(table.blocks)}"
    names = _names([table.values[place] for place in order], labels)
    with drawing(path, *_square(len(order))) as figure:
        axis = figure.subplots()
        image = _heat_map(axis, table.cosine[np.ix_(order, order)], names, 1.0)
        axis.set_title(f"Cosine of directions: {table.estimator}, {blocks}")
        figure.colorbar(image, ax=axis, shrink=0.6)


def draw_leakage(table: Leakage, path: Path, labels: Labels | None = None) -> None:
    """Heat map of the changes of probability, steered values by read ones."""
    with drawing(path, *_square(len(table.values))) as figure:
        axis = figure.subplots()
        largest = max(float(np.abs(table.change).max()), 1e-6)
        image = _heat_map(axis, table.change, _names(table.values, labels), largest)
        axis.set(
            title=f"Change of the probes' probability after block {table.block}",
            ylabel="steered toward",
            xlabel="read",
        )
        figure.colorbar(image, ax=axis, shrink=0.6)


def draw_dose(table: DoseResponse, path: Path, labels: Labels | None = None) -> None:
    """Curves over the magnitude: a thin one for each value, a thick one for their mean."""
    measures: tuple[tuple[Measure, str], ...] = (
        ("probability", "probe probability"),
        ("perplexity", "perplexity, unsteered model"),
        ("repetition", "share of repeated 3-grams"),
    )
    legend_columns = math.ceil((len(table.values) + 2) / 16)
    with drawing(path, 9.5 + 1.7 * legend_columns, 3.4) as figure:
        axes = figure.subplots(1, len(measures), squeeze=False)[0]
        for axis, (measure, title) in zip(axes, measures, strict=True):
            _curves(axis, table, measure, _names(table.values, labels))
            axis.set(title=title, xlabel=_dose_label(table))
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center", ncols=legend_columns, fontsize=7, frameon=False)


def draw_expression(table: Expressed, path: Path, labels: Labels | None = None) -> None:
    """Bars for each value's steered comments with a mark for the unsteered ones, the most expressed value on top."""
    parts = (
        ("hit", f"found among {len(table.steered.values)}", (-0.03, 1.03)),
        ("rank", "AUC: ahead of the others", (-0.03, 1.03)),
        ("promotes", "for it rather than against it", (-0.03, 1.03)),
        ("topic", "cosine with the situation", (None, None)),
    )
    steered, plain = table.steered.by_value(), table.plain.by_value()
    order = np.lexsort((steered["rank"], steered["hit"]))
    names = _names([table.steered.values[place] for place in order], labels)
    with drawing(path, 10.0, 1.4 + len(order) * _CELL) as figure:
        axes = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
        for axis, (measure, title, limits) in zip(axes, parts, strict=True):
            axis.barh(range(len(order)), steered[measure][order], color="C0", height=0.7, label="steered")
            axis.plot(plain[measure][order], range(len(order)), ls="", marker="|", color="black", label="unsteered")
            axis.set(title=title, xlim=limits)
        axes[0].set_yticks(range(len(order)), names)
        axes[0].set_ylim(-0.6, len(order) - 0.4)
        handles, words = axes[0].get_legend_handles_labels()
        figure.legend(handles, words, loc="outside lower center", ncols=2, fontsize=7, frameon=False)


# ---------------------------------------------------------------- parts of drawings


def _heat_map(axis: Axes, numbers: npt.NDArray[np.float64], names: Sequence[str], largest: float) -> AxesImage:
    """A square heat map around 0, with the same names on both sides."""
    image = axis.imshow(numbers, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="none")
    axis.set_yticks(range(len(names)), names)
    axis.set_xticks(range(len(names)), names, rotation=90)
    return image


def _curves(axis: Axes, table: DoseResponse, measure: Measure, names: Sequence[str]) -> None:
    from matplotlib.ticker import LogFormatter

    order = np.argsort(table.magnitudes)
    # Magnitudes stand at equal distances: targets crowd toward 1, multiples toward 0.
    places = np.arange(len(order))
    by_value, overall = table.by_value(measure), table.overall(measure)
    styles = ("-", "--", ":", "-.")
    for number, name in enumerate(names):
        style = styles[number // 10 % len(styles)]
        axis.plot(places, by_value[1:, number][order], color=f"C{number % 10}", ls=style, lw=0.9, label=name)
    axis.plot(places, overall[1:][order], color="black", lw=2.2, marker="o", ms=4, label="mean")
    axis.axhline(overall[0], color="grey", ls=(0, (6, 3)), lw=1.2, label="unsteered")
    axis.set_xticks(places, [f"{table.magnitudes[place]:g}" for place in order])
    if measure == "perplexity" and np.isfinite(by_value).any():
        axis.set_yscale("log")
        # Matplotlib's own labels are formulas, which `drawing` does not read.
        axis.yaxis.set_major_formatter(LogFormatter())
        axis.yaxis.set_minor_formatter(LogFormatter())
    elif measure == "probability":
        axis.set_ylim(-0.03, 1.03)


def _dose_label(table: DoseResponse) -> str:
    return "target confidence" if table.recipe.magnitude == "calibrated" else "multiple of the recipe's amount"


def _names(values: Sequence[str], labels: Labels | None) -> list[str]:
    return [(labels or {}).get(value, value) for value in values]


def _square(values: int) -> tuple[float, float]:
    """Width and height of a heat map of so many values a side, with room for names and colour bar."""
    side = 2.2 + values * _CELL
    return side + 0.7, side


def _spread(count: int) -> list[int]:
    """Block numbers far enough from each other to be read."""
    return list(range(0, count, math.ceil(count / 16)))


def _ranges(numbers: Sequence[int]) -> str:
    """`2–5, 9` for 2, 3, 4, 5, 9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
