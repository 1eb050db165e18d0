"""What tuning tried, as a table and a figure: expression against fluency."""

from __future__ import annotations

import csv
import io
import json
from math import isfinite
from pathlib import Path

from vispa.files.drawing import drawing, require_matplotlib
from vispa.files.writing import replacing
from vispa.steering.recipe import Recipe
from vispa.tuning.search import describe
from vispa.tuning.tune import Tuned


def write_frontier(found: Tuned, folder: Path) -> list[Path]:
    """Write `frontier.csv`, `frontier.png` and the recipe, `recipe.toml`, to a folder.

    Raises:
        InputError: the folder cannot be written to, or matplotlib is missing.
        OutputError: there is no room.
    """
    require_matplotlib()
    folder.mkdir(parents=True, exist_ok=True)
    table, figure, recipe = (folder / name for name in ("frontier.csv", "frontier.png", "recipe.toml"))
    names = list(found.chosen.figures)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["round", "recipe", "situations", *names])
    for stage, one in found.trials:
        # Nothing where nothing was said.
        figures = (f"{one.figures[name]:.4f}" if isfinite(one.figures[name]) else "" for name in names)
        writer.writerow([stage, describe(one.recipe), len(one.expression.texts), *figures])
    for path, content in ((table, text.getvalue()), (recipe, _as_toml(found.bank.recipe))):
        with replacing(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    _draw(found, figure)
    return [table, figure, recipe]


def _as_toml(recipe: Recipe) -> str:
    """What of a recipe is not as it is by default, as `--recipe` reads it."""
    plain = recipe.as_mapping()
    amounts = plain.pop("amounts", {})
    # Names, numbers, lists and truth values are written alike in JSON and TOML.
    lines = [f"{name} = {json.dumps(own)}" for name, own in plain.items()]
    own = [f"{json.dumps(value)} = {amount}" for value, amount in amounts.items()]
    return "\n".join([*lines, *(["", "[amounts]", *own] if own else []), ""])


def _draw(found: Tuned, path: Path) -> None:
    with drawing(path, 6.0, 4.0) as figure:
        axes = figure.subplots()
        for stage in dict.fromkeys(stage for stage, _ in found.trials):
            own = [one.figures for name, one in found.trials if name == stage]
            axes.scatter([one["fluency"] for one in own], [one["expression"] for one in own], s=14, label=stage)
        chosen = found.chosen.figures
        axes.scatter(
            [chosen["fluency"]], [chosen["expression"]], s=80, facecolors="none", edgecolors="black", label="chosen"
        )
        axes.set_xlabel("fluency (1: as the unsteered model)")
        axes.set_ylabel("expression (share of comments whose value is found)")
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.legend(frameon=False)
