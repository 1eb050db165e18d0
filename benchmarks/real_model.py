"""Do steered comments of real models express their value, and what does it cost? Beside random vectors and prompting.

    python -m benchmarks.real_model [--models smollm2,gemma3-270m] [--situations 60] [--rows tuned,persona]
                                    [--json FILE] [--figure FILE] [--resume FILE]

Each situation of `data/held_out_situations.csv`, which no tuning sees, is commented on for each of the 31 values,
greedy and in 32 tokens at most. A judge (`vispa.study.taxonomy_judge`) that learnt from other texts than selection
reads the comments; how often it is right about texts that it has not seen is printed first. Figures are means over
situations with 95 % bootstrap intervals; `vispa.study.expression` says what each is. A row takes minutes on two cores:
with `--resume` its comments are kept a block of situations at a time, and a later call goes on after them; `--json` is
written anew after every row.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.expression import describe, with_random_vectors
from benchmarks.kept import Kept
from benchmarks.reports import SHARE, reach
from vispa.errors import NumericalError
from vispa.evaluation.intervals import Interval, bootstrap_mean, bootstrap_statistic, paired_difference
from vispa.files.drawing import drawing
from vispa.files.tables import read_table
from vispa.files.writing import replacing
from vispa.generation.rows import Sampling
from vispa.generation.strengths import measured_bank
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoder import load_encoder
from vispa.models.loading import LoadedModel, load_model
from vispa.steering.bank_cache import cached_bank
from vispa.steering.named_recipes import is_tuned
from vispa.steering.recipe import Recipe, portable_recipe
from vispa.study.expressed import FIGURES
from vispa.study.expression import Expression, Situation, asked_situations, commented, leaked_share, measured, surprise
from vispa.study.personas import persona_situations
from vispa.study.taxonomy_judge import taxonomy_judge
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy

HELD_OUT = Path(__file__).parent / "data" / "held_out_situations.csv"

#: Rows of the table, in its order; the first is the yardstick of relation, fluency and leakage, and always there.
ROWS = {
    "unsteered": "not steered",
    "random": "random vectors of the same length",
    "published": "published recipe",
    "portable": "portable recipe",
    "tuned": "tuned recipe",
    "persona": "persona prompt, not steered",
    "persona_tuned": "persona prompt and tuned recipe",
}

TOKENS = 32
#: Situations whose comments are written, and kept, at a time.
BLOCK = 6
#: Situations whose comments go into the JSON file.
EXAMPLES = 3


@dataclass(frozen=True)
class Row:
    """A way to ask for comments.

    Attributes:
        engine: the model with the vectors.
        recipe: how it is steered; None where it is not.
        situations: with their prompts.
    """

    engine: TransformersEngine
    recipe: Recipe | None
    situations: tuple[Situation, ...]


class Comments:
    """Comments with their likelihoods, written a block of situations at a time, and kept in a file where there is one.

    Args:
        values: slugs of the values to comment for.
        path: of a JSON Lines file that grows; None keeps nothing.
    """

    def __init__(self, values: Sequence[str], path: Path | None) -> None:
        self.values = tuple(values)
        self._kept = Kept(path)

    def of(self, row: Row, name: str) -> tuple[list[str], list[float]]:
        """All comments of a row, situation by situation, and the negative log-likelihood of each."""
        texts: list[str] = []
        nll: list[float] = []
        for start in range(0, len(row.situations), BLOCK):
            block = replace(row, situations=row.situations[start : start + BLOCK])
            found = self._kept.get(self._parts(block), partial(self._written, block, name))
            texts += found["texts"]
            nll += [math.nan if one is None else one for one in found["nll"]]
        return texts, nll

    def _written(self, row: Row, name: str) -> dict[str, Any]:
        texts = commented(row.engine, row.situations, self.values, (row.recipe,), sampling=Sampling(TOKENS))[0]
        nll = surprise(row.engine.loaded, row.situations, texts)
        likelihoods = [None if math.isnan(one) else float(one) for one in nll]
        return {"model": row.engine.loaded.name, "row": name, "texts": texts, "nll": likelihoods}

    def _parts(self, row: Row) -> list[Any]:
        """Everything that determines a block's comments."""
        steering: Any = None
        if row.recipe is not None:
            bank = row.engine.bank
            assert bank is not None
            vectors = bank.entry(row.recipe.estimator).directions.vectors.contiguous().numpy().tobytes()
            steering = [asdict(bank.in_fractions(row.recipe)), hashlib.sha256(vectors).hexdigest()]
            steering[0]["amounts"] = dict(steering[0]["amounts"])
        prompts = [[one.plain.text, *(one.personas[value].text for value in one.personas)] for one in row.situations]
        model = [row.engine.loaded.fingerprint, str(row.engine.loaded.model.dtype)]
        # Files of before hold likelihoods of comments that no space parted from such prompts; of others they hold good.
        is_parted = all(one.plain.text[-1:].isspace() for one in row.situations)
        return [model, self.values, TOKENS, prompts, steering, *([] if is_parted else ["parted by a space"])]


def rows_of(loaded: LoadedModel, taxonomy: Taxonomy, texts: Sequence[str], names: Sequence[str]) -> dict[str, Row]:
    """The rows that a model can have, by name; without those of a tuned recipe where none was tuned.

    Args:
        loaded: the model.
        taxonomy: its values.
        texts: the situations.
        names: of the rows wanted, of `ROWS`.
    """
    plain, personas = asked_situations(loaded, texts), persona_situations(loaded, taxonomy.values, texts)
    alone = TransformersEngine(loaded)
    found = {"unsteered": Row(alone, None, plain), "persona": Row(alone, None, personas)}
    # Fitting a bank takes minutes: only where it is needed.
    if set(names) - found.keys():
        published, portable = Recipe(), portable_recipe()
        bank = cached_bank(loaded, taxonomy, estimators={published.estimator, portable.estimator})
        for recipe in (portable, bank.recipe):
            bank = measured_bank(loaded, bank, recipe)
        engine = TransformersEngine(loaded, bank)
        found["published"], found["portable"] = Row(engine, published, plain), Row(engine, portable, plain)
        random = TransformersEngine(loaded, with_random_vectors(bank, bank.recipe))
        found["random"] = Row(random, bank.recipe, plain)
        if is_tuned(bank):
            found["tuned"], found["persona_tuned"] = (Row(engine, bank.recipe, asked) for asked in (plain, personas))
    return {name: found[name] for name in ROWS if name in found and (name in names or name == "unsteered")}


def figures_of(expression: Expression, plain: Expression) -> dict[str, Interval | None]:
    """Every figure with its interval over situations; None where it is not defined."""
    scores = expression.scores(plain)
    found: dict[str, Interval | None] = {}
    for name in FIGURES:
        if name == "leakage":
            found[name] = _leakage(expression, plain)
        else:
            known = scores[name][np.isfinite(scores[name])]
            found[name] = bootstrap_mean(known) if len(known) else None
    return found


def _leakage(expression: Expression, plain: Expression) -> Interval | None:
    """None where nothing becomes likelier, on all situations or on those of a resample."""
    try:
        return bootstrap_statistic(leaked_share, expression.likelihood, plain.likelihood)
    except NumericalError:
        return None


def shown(interval: Interval | None) -> str:
    """`0.36 [0.31, 0.41]`."""
    if interval is None:
        return "–"
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def reported(
    expression: Expression,
    plain: Expression,
    figures: Mapping[str, Interval | None],
    texts: Sequence[str],
    recipe: Recipe | None,
) -> dict[str, Any]:
    """What the JSON file has of a row."""
    scores = expression.scores(plain)
    examples = {
        text: dict(zip(expression.values, own, strict=True))
        for text, own in zip(texts[:EXAMPLES], expression.texts, strict=False)
    }
    return {
        "recipe": None if recipe is None else describe(recipe),
        "figures": {name: None if one is None else one.model_dump() for name, one in figures.items()},
        "harmonic_mean_by_situation": [round(float(one), 4) for one in scores["harmonic_mean"]],
        "hit_by_value": dict(zip(expression.values, expression.hit.mean(0).round(4).tolist(), strict=True)),
        "examples": examples,
    }


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Expression against fluency, a panel for each model and a point for each row."""
    models = report["models"]
    with drawing(path, 1.0 + 4.2 * len(models), 3.8) as figure:
        axes = figure.subplots(1, len(models), sharex=True, sharey=True, squeeze=False)[0]
        for axis, (model, rows) in zip(axes, models.items(), strict=True):
            for place, name in enumerate(name for name in ROWS if name in rows):
                x, y = (rows[name]["figures"][one] for one in ("fluency", "hit"))
                axis.errorbar(
                    x["estimate"], y["estimate"], xerr=reach([x]), yerr=reach([y]), marker="os^Dv*P"[place], ls="",
                    color=f"C{list(ROWS).index(name)}", capsize=2, label=ROWS[name],
                )  # fmt: skip
            axis.set(title=model, xlabel="fluency", ylabel="expression: value found among 31", xlim=SHARE, ylim=SHARE)
            axis.grid(alpha=0.3)
        handles, labels = max((axis.get_legend_handles_labels() for axis in axes), key=lambda one: len(one[1]))
        figure.legend(handles, labels, loc="outside lower center", ncols=2 * len(models), fontsize=7, frameon=False)


def measure_model(
    loaded: LoadedModel, rows: Mapping[str, Row], judge: ValueJudge, comments: Comments, finished: Any
) -> None:
    """Print a line for each row, and hand its report over.

    Args:
        loaded: the model.
        rows: the unsteered one first.
        judge: of the comments.
        comments: where they come from.
        finished: called with name and report of each row.
    """
    texts = [situation.text for situation in rows["unsteered"].situations]
    print(f"\n{loaded.name}: {len(texts)} situations × {len(comments.values)} values\n")
    print(
        "| | " + " | ".join(name.replace("_", " ") for name in FIGURES) + " |\n" + "| --- " * (len(FIGURES) + 1) + "|"
    )
    plain: Expression | None = None
    harmonic: dict[str, dict[int | str, float]] = {}
    for name, row in rows.items():
        started = time.perf_counter()
        said, nll = comments.of(row, name)
        expression = measured(judge, texts, comments.values, said, np.array(nll))
        plain = plain or expression
        figures = figures_of(expression, plain)
        report = reported(expression, plain, figures, texts, row.recipe)
        harmonic[name] = dict(enumerate(report["harmonic_mean_by_situation"]))
        cells = [shown(one) for one in figures.values()]
        print(f"| {ROWS[name]} | " + " | ".join(cells) + " |", flush=True)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        finished(name, report)
    print()
    for name in ("tuned", "persona_tuned"):
        if name in harmonic and "persona" in harmonic:
            found = paired_difference(harmonic[name], harmonic["persona"])
            ends = f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}], p = {found.p_value:.4f}"
            print(f"harmonic mean, {ROWS[name]} − persona prompt on the same situations: {ends}")


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="smollm2,gemma3-270m", help="names, hub ids or folders, comma-separated")
    parser.add_argument("--situations", type=int, default=60, help="the first N of the held-out ones")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)}; unsteered is always there")
    parser.add_argument("--json", type=Path, help="also write the figures and some comments here")
    parser.add_argument("--figure", type=Path, help="also draw expression against fluency here (PNG or SVG)")
    parser.add_argument("--resume", type=Path, help="keep comments here, and go on after those that are there")
    arguments = parser.parse_args()
    if unknown := set(arguments.rows.split(",")) - ROWS.keys():
        parser.error(f"--rows: {', '.join(sorted(unknown))}: choose of {', '.join(ROWS)}")
    if arguments.situations < 1:
        parser.error("--situations: give a number from 1")
    return arguments


def main() -> None:
    """Print the tables."""
    arguments = _parsed()
    taxonomy = Taxonomy.built_in()
    texts = [row.fields["situation"] for row in read_table(HELD_OUT, ("situation",)).rows][: arguments.situations]
    judge = taxonomy_judge(taxonomy, load_encoder())
    print(judge.words, flush=True)
    comments = Comments([value.slug for value in taxonomy.values], arguments.resume)
    report: dict[str, Any] = {"judge": dict(judge.accuracy), "situations": len(texts), "models": {}}
    for name in arguments.models.split(","):
        loaded = load_model(name)
        rows = rows_of(loaded, taxonomy, texts, arguments.rows.split(","))
        own: dict[str, Any] = {}
        report["models"][loaded.name] = own

        def finished(row: str, found: dict[str, Any], own: dict[str, Any] = own) -> None:
            own[row] = found
            if arguments.json:
                with replacing(arguments.json) as temporary:
                    temporary.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")

        measure_model(loaded, rows, judge.judge, comments, finished)
        if arguments.figure:
            draw(report, arguments.figure)
        if missing := [ROWS[row] for row in arguments.rows.split(",") if row not in rows]:
            print(f"No recipe is tuned for {loaded.name}: without {', '.join(missing)}.")


if __name__ == "__main__":
    main()
