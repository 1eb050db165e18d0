"""What values that change do to a steered model: directions, selection, comments, mixtures.

    python -m benchmarks.drift [--model embedded|smollm2] [--parts directions,selection,expression,mixtures]
                               [--draws N] [--situations N] [--questions N] [--others N] [--json FILE]

Four changes of the built-in values, with pairs that language models wrote for this study (benchmarks/data/drift):
10, 25, 50 and 100 % of a value's pairs in another generation's wording; a value under another label; a value split
in two; a value that nobody foresaw. Figures are of the model's own recipe where its directions are fitted on pairs,
else (refined directions ship, and a change of pairs cannot bring them back) of the portable one.

Directions: mean cosine at the recipe's blocks to the direction before. For 10, 25 and 50 % the mean over draws of which
pairs are replaced, and where the middle 95 % of the draws lie; else with a 95 % jackknife interval over the new pairs.
Selection: the default selector on the project's test situations, the same for every model. Comments: held-out
situations, 32 tokens, found by the judge of `vispa.study`, for the changed value and a few others. Mixtures: the
steered model's own answers to survey questions of the domains' suites. All other intervals are 95 % bootstrap intervals
over situations or questions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.drift import directions, selection
from benchmarks.drift.answers import Answering, changes, others_of
from benchmarks.drift.section import section
from benchmarks.reports import command_line, write_report
from vispa.models.loading import load_model
from vispa.request import EMBEDDED
from vispa.steering.bank_cache import cached_bank
from vispa.steering.fitting import fitted_recipe
from vispa.steering.recipe import portable_recipe
from vispa.taxonomy import Taxonomy
from vispa.versions import versions

PARTS = ("directions", "selection", "expression", "mixtures")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure; returns what `--json` writes, anew after every part."""
    taxonomy, seed = Taxonomy.built_in(), arguments.seed
    loaded = load_model(arguments.model)
    bank = cached_bank(loaded, taxonomy, estimators={portable_recipe().estimator})
    recipe = fitted_recipe(bank.recipe)
    report: dict[str, Any] = {
        "model": arguments.model, "seed": seed, "command": arguments.command, "versions": versions(),
        "recipe": recipe.as_mapping(),
    }  # fmt: skip

    @cache
    def readings() -> directions.Readings:
        return directions.Readings.of(loaded, bank, taxonomy, recipe)

    def answering() -> Answering:
        others = others_of(readings().values, arguments.others)
        return Answering(loaded, bank, recipe, readings().after(), others)

    parts: dict[str, Callable[[], Any]] = {
        "directions": lambda: directions.study(readings(), draws=arguments.draws, seed=seed),
        "selection": lambda: selection.study(arguments.texts, draws=max(1, arguments.draws // 4), seed=seed),
        "expression": lambda: answering().expression(changes(readings(), seed), arguments.situations),
        "mixtures": lambda: answering().mixtures(changes(readings(), seed), arguments.questions),
    }
    for part in arguments.parts:
        print(f"{part} …", file=sys.stderr, flush=True)
        report[part] = parts[part]()
        write_report(arguments.json, report)
    return report


def _parts(text: str) -> list[str]:
    named = text.split(",")
    if unknown := set(named) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))} is unknown; choose of {', '.join(PARTS)}")
    return named


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=EMBEDDED, help="the model that is steered")
    parser.add_argument("--parts", type=_parts, default=list(PARTS), help="which parts, by default all")
    parser.add_argument("--draws", type=int, default=20, help="of which pairs are replaced; a quarter for selection")
    parser.add_argument("--texts", type=int, help="first test situations that are selected for, by default all")
    parser.add_argument("--situations", type=int, default=8, help="held-out situations that are commented on")
    parser.add_argument("--questions", type=int, default=12, help="survey questions")
    parser.add_argument("--others", type=int, default=6, help="values watched beside the changed one")
    parser.add_argument("--seed", type=int, default=0, help="of draws")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = sys.argv[1:] if arguments is None else list(arguments)
    parsed = parser.parse_args(given)
    parsed.command = command_line("benchmarks.drift", given)
    report = run(parsed)
    print(section(report))
    return report


if __name__ == "__main__":
    main()
