"""Choose how the embedded model is steered: `python -m training.choose_recipe`.

Tries estimators, blocks and magnitudes on the development situations (which no benchmark judges on)
and prints the table. Of the recipes with at most 5 % broken comments and hits within one point of the
most, the package gets the one with which the steered model's own options are right most often on acts
of the training corpus. The benchmarks' data get the published probe's best target confidence.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.expression import comments, describe, rates
from benchmarks.stance_shift import own_options, right, spoken
from training.judge import Judge
from training.sources import HERE, Scene, load_sources
from vispa.models.loading import EMBEDDED_PATH, LoadedModel, load_model
from vispa.pipeline import Vispa
from vispa.request import EMBEDDED
from vispa.selection.embedding import EmbeddingSelector
from vispa.steering.bank import VectorBank
from vispa.steering.fitting import fit_bank
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

SITUATIONS = HERE / "development_situations.txt"
PUBLISHED_TUNED = HERE.parent / "benchmarks" / "data" / "published_tuned.toml"
#: Most broken comments that a recipe may give.
BROKEN = 0.05
#: How far from the most hits a recipe may lie that answers questions better.
NEAR = 0.01
#: Acts that the stances are tried on.
ACTS = 96

_BLOCKS = ((1,), (2,), (1, 2), (2, 3))
_FRACTIONS = (0.4, 0.5, 0.65, 0.8, 0.95)
_TARGETS = (0.9, 0.99, 0.999, 0.9999, 0.999999, 0.99999999)


def fixed_recipes(bank: VectorBank, estimators: Iterable[str]) -> list[Recipe]:
    """Every estimator at fractions of the residual norm, at one or two blocks, over the prompt or everywhere."""
    return [
        Recipe(
            name,
            blocks,
            magnitude="residual",
            amount=round(fraction / len(blocks) ** 0.5, 3),
            minimal_quality=0.0,
            scope=scope,
        )
        for scope in ("prompt", "all")
        for name in estimators
        for blocks in _BLOCKS
        if max(blocks) < len(bank.residual_norm)
        for fraction in _FRACTIONS
    ]


def published_recipes() -> list[Recipe]:
    """The published probe with other target confidences."""
    return [Recipe("probe", amount=target) for target in _TARGETS]


def trial(
    loaded: LoadedModel, bank: VectorBank, situations: Sequence[str], recipe: Recipe, judge: Judge
) -> list[float]:
    """Shares of hits and of broken comments."""
    verdicts = [[judge.judge(text) for text in row] for row in comments(loaded, bank, situations, recipe)]
    found = rates(verdicts, bank.info.values)
    return [found["hits"][0], found["broken"][0]]


def best(tried: dict[Recipe, list[float]]) -> list[Recipe]:
    """Those nearly with the most hits among those with few broken comments; fewest broken if none has.

    The one with the most hits comes first.
    """
    sound = {recipe: hits for recipe, (hits, broken) in tried.items() if broken <= BROKEN}
    if not sound:
        return [max(tried, key=lambda recipe: tried[recipe][0] - tried[recipe][1])]
    ordered = sorted(sound, key=lambda recipe: -sound[recipe])
    return [recipe for recipe in ordered if sound[recipe] >= sound[ordered[0]] - NEAR]


def stance_accuracy(vispa: Vispa, acts: Sequence[Scene]) -> float:
    """How often the steered model's likeliest option is the stance of the value steered toward."""
    return float(right(own_options(vispa, acts, vispa.bank)).mean())


def recipe_toml(recipe: Recipe, comment: str) -> str:
    """The fields that differ from the defaults, as TOML."""
    lines = [f"# {comment}"]
    for name, value in vars(recipe).items():
        if value != getattr(Recipe(), name) or name in ("estimator", "magnitude", "amount"):
            written = list(value) if isinstance(value, tuple) else value
            lines.append(f'{name} = "{written}"' if isinstance(written, str) else f"{name} = {written}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Search, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--situations", type=int, default=10, help="how many development situations to use")
    parser.add_argument("--estimators", nargs="*", default=["one_versus_others", "one_versus_others_last"])
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    sources, taxonomy = load_sources(), Taxonomy.built_in()
    judge, situations = Judge(sources), SITUATIONS.read_text(encoding="utf-8").splitlines()
    loaded = load_model(arguments.model)
    bank = fit_bank(loaded, taxonomy, recipe=Recipe())
    for name, entry in bank.entries.items():
        print(name, "held-out accuracy by block", [round(float(q), 3) for q in entry.directions.quality.mean(0)])
    results: list[dict[Recipe, list[float]]] = []
    for group in (fixed_recipes(bank, arguments.estimators), published_recipes()):
        tried = {}
        for recipe in group:
            tried[recipe] = trial(loaded, bank, situations[: arguments.situations], recipe, judge)
            print(f"{describe(recipe):<70} hits {tried[recipe][0]:6.1%}  broken {tried[recipe][1]:6.1%}", flush=True)
        results.append(tried)
    near = best(results[0])
    acts = spoken(random.Random(0).sample(sources.acts, ACTS), sources)
    accuracies = []
    for recipe in near:
        vispa = Vispa(loaded, bank, EmbeddingSelector(taxonomy), taxonomy=taxonomy, recipe=recipe)
        accuracies.append(stance_accuracy(vispa, acts))
        print(f"{describe(recipe):<70} stances {accuracies[-1]:6.1%}", flush=True)
    chosen = [near[accuracies.index(max(accuracies))], best(results[1])[0]]
    for recipe in chosen:
        print("chosen:", describe(recipe))
    if not arguments.dry_run:
        comment = "How the embedded model is steered by default, chosen by training/choose_recipe.py."
        _write(EMBEDDED_PATH / "steering.toml", recipe_toml(chosen[0], comment))
        _write(PUBLISHED_TUNED, recipe_toml(chosen[1], "The published probe with its target confidence tuned."))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
