"""How well selectors find the values that matter in a text, beside baselines.

    python -m benchmarks.selection [--labels FILE] [--domain health] [--selectors embedding,nli:FOLDER]
                                   [--by-value] [--figure FILE] [--json FILE] [--vital FILE]

By default on the project's test split, which no selector is trained, chosen or calibrated on. A figure a column:

- AUC by value: does a value score higher where it is at stake? Mean over values, each over all situations. Choosing
  the most popular values every time gives 0.5.
- AUC by situation: do the values at stake score higher than the others? Popularity alone does well here.
- Precision at 6: share at stake, secondary or clearly, of the six values that score highest. Clear found at 6: share
  among these six of all that is clearly at stake.
- ECE: expected calibration error over all texts and values, 15 bins of equal width.
- Side right: where a situation promotes or violates a value, the share of cases in which the selector says which.

`--vital` also gives the mean AUC by value against the free-text values, rights and duties of VITAL's situations,
mapped to the values by data/vital_mapping.toml. It is a noisy measure: what a situation's list does not name
counts as not at stake, and a pattern of words stands for a value, so that figures saturate far below the
agreement of two readers. Use it to compare, not to say how good selection is.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.selection_figures import Measured, figures_of, reliability, value_areas
from vispa.errors import InputError, VispaError
from vispa.evaluation.intervals import Interval
from vispa.evaluation.report.drawings import draw_reliability
from vispa.files.reading import read_json
from vispa.models.encoder import FloatArray, load_encoder
from vispa.selection import SELECTORS, SelectorKind
from vispa.selection.labelled import Labelled, label_matrix, load_situations, scale_matrix, side_matrix
from vispa.selection.selector import StanceSelector
from vispa.selection.settings import SelectorSettings
from vispa.taxonomy import Taxonomy

DATA = Path(__file__).parent / "data"
TEST = DATA / "test_situations.csv"
MAPPING = DATA / "vital_mapping.toml"
#: The most texts that speed is measured on, in a batch and each alone.
BATCH, ALONE = 256, 20
#: From so many texts a second on, a contender does not read them.
NO_READING = 1e5
#: Values at stake in fewer of VITAL's situations, or in all but so many, are left out.
VITAL_LEAST = 20
COLUMNS = {
    "auc_by_value": "AUC by value",
    "auc_by_situation": "AUC by situation",
    "precision_at_6": "precision at 6",
    "clear_recall_at_6": "clear found at 6",
    "ece": "ECE",
    "side_right": "side right",
}


@dataclass(frozen=True)
class Contender:
    """What is measured.

    Attributes:
        scores: texts in, [N, V] out.
        probabilities: whether scores mean to be probabilities.
        stances: texts in, [N, V] out, where it tells sides.
    """

    scores: Callable[[Sequence[str]], FloatArray]
    probabilities: bool = True
    stances: Callable[[Sequence[str]], FloatArray] | None = None


def baselines(taxonomy: Taxonomy) -> dict[str, Callable[[], Contender]]:
    """What a selector should beat, by name."""

    def popularity() -> Contender:
        shares = label_matrix(load_situations(), list(taxonomy)).mean(0)
        return Contender(lambda texts: np.tile(shares, (len(texts), 1)))

    def cosine(words: Sequence[str]) -> Contender:
        encoder = load_encoder()
        values = encoder.encode(words)
        return Contender(lambda texts: encoder.encode(texts) @ values.T, probabilities=False)

    return {
        "popularity": popularity,
        "cosine to label": lambda: cosine([value.label for value in taxonomy.values]),
        "cosine to definition": lambda: cosine([f"{value.label}: {value.definition}" for value in taxonomy.values]),
    }


def asked_selectors(names: str | None) -> dict[str, tuple[SelectorKind, str | None]]:
    """Kinds of selectors by what is asked for, each with the model that it is to be made with; loads nothing.

    Args:
        names: `NAME` or `NAME:MODEL`, separated by commas; None for every kind with its own model.

    Raises:
        InputError: an unknown name, no model after a colon, or one for a kind that takes no other than its own.
    """
    found: dict[str, tuple[SelectorKind, str | None]] = {}
    for asked in SELECTORS if names is None else names.split(","):
        if problem := _problem(asked):
            others = ", ".join(name for name, kind in SELECTORS.items() if _takes_models(kind))
            advice = f"Choose of {', '.join(SELECTORS)}, separated by commas; NAME:MODEL is for {others}."
            raise InputError("--selectors", problem, advice)
        name, _, model = asked.partition(":")
        found[asked] = (SELECTORS[name], model or None)
    return found


def _problem(asked: str) -> str | None:
    """What is wrong with a selector as it is asked for; None if nothing."""
    name, colon, model = asked.partition(":")
    if name not in SELECTORS:
        return f"{asked!r} is unknown."
    if colon and not _takes_models(SELECTORS[name]):
        return f"{asked!r} names a model, but {name} takes no other than its own."
    return f"{asked!r} names no model." if colon and not model else None


def _takes_models(kind: SelectorKind) -> bool:
    return "selector_model" not in kind.idle


def selectors(taxonomy: Taxonomy, names: str | None) -> dict[str, Callable[[], Contender]]:
    """What makes selectors, by what they are asked for as.

    Raises:
        InputError: see `asked_selectors`.
    """
    return {
        name: partial(_made, kind, taxonomy, SelectorSettings(model=model))
        for name, (kind, model) in asked_selectors(names).items()
    }


def _made(kind: SelectorKind, taxonomy: Taxonomy, settings: SelectorSettings) -> Contender:
    selector = kind.make(taxonomy, settings)
    return Contender(selector.scores, stances=selector.stances if isinstance(selector, StanceSelector) else None)


def speeds(contender: Contender, texts: Sequence[str]) -> dict[str, float]:
    """Texts a second in a warm batch, and milliseconds of a text alone; medians."""
    batch, alone = texts[:BATCH], texts[:ALONE]
    contender.scores(batch[:8])
    # In other orders: a selector may still have what it made of the very texts that it was asked for last.
    seconds = statistics.median(_seconds(contender, [*batch[turn:], *batch[:turn]]) for turn in range(1, 4))
    each = statistics.median(_seconds(contender, [text]) for text in alone)
    return {"texts_a_second": len(batch) / seconds, "milliseconds_alone": 1000 * each}


def _seconds(contender: Contender, texts: Sequence[str]) -> float:
    started = time.perf_counter()
    contender.scores(texts)
    return time.perf_counter() - started


def measure(contender: Contender, labelled: Labelled, values: Sequence[str]) -> Measured:
    """A contender's scores beside the labels."""
    return Measured(
        contender.scores(labelled.texts),
        scale_matrix(labelled, values),
        contender.probabilities,
        contender.stances and contender.stances(labelled.texts),
        side_matrix(labelled, values),
    )


# ---------------------------------------------------------------- VITAL


def vital_situations(path: Path) -> list[dict[str, Any]]:
    """The situations of VITAL's Overton file, which name values, rights and duties.

    Raises:
        InputError: unreadable, or of another form.
    """
    items = read_json(path, "items")
    if not isinstance(items, list) or not all(isinstance(i, dict) and {"situation", "vrd"} <= i.keys() for i in items):
        raise InputError(str(path), "is no list of situations with vrd.", "Give vital_overton_valuekaleidoscope.json.")
    return items


def gold_matrix(items: list[dict[str, Any]], taxonomy: Taxonomy) -> npt.NDArray[np.bool_]:
    """[N, V], true where a gold string of the item matches a pattern of the value."""
    patterns = {slug: re.compile("|".join(p)) for slug, p in tomllib.loads(MAPPING.read_text(encoding="utf-8")).items()}
    rows = [[any(patterns[slug].search(v.lower()) for v in item["vrd"]) for slug in taxonomy] for item in items]
    return np.array(rows)


# ---------------------------------------------------------------- telling


def row(name: str, figures: dict[str, Interval], speed: dict[str, float], vital: float | None) -> str:
    """A row of the table."""
    shown = [f"{one.estimate:.3f} [{one.low:.3f}, {one.high:.3f}]" if one else "–" for one in map(figures.get, COLUMNS)]
    last = [] if vital is None else [f"{vital:.3f}"]
    reads = speed["texts_a_second"] < NO_READING
    times = [f"{speed['texts_a_second']:.0f}", f"{speed['milliseconds_alone']:.1f}"] if reads else ["–", "–"]
    return f"| {' | '.join([name, *shown, *times, *last])} |"


def by_value(areas: dict[str, FloatArray], labels: FloatArray, values: Sequence[str]) -> list[str]:
    """Lines of the table of values: situations at stake and the AUC of each contender."""
    lines = [f"| value | at stake | {' | '.join(areas)} |", "| --- " * (len(areas) + 2) + "|"]
    for place, slug in enumerate(values):
        cells = ["–" if np.isnan(own[place]) else f"{own[place]:.3f}" for own in areas.values()]
        lines.append(f"| {slug} | {int(labels[:, place].sum())} | {' | '.join(cells)} |")
    return lines


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, default=TEST, help="labelled situations, CSV or JSON Lines")
    parser.add_argument("--domain", help="situations of this walk of life only")
    parser.add_argument("--selectors", help="NAME or NAME:MODEL, separated by commas; by default all that can be made")
    parser.add_argument("--by-value", action="store_true", help="also print the AUC of every value")
    parser.add_argument("--figure", type=Path, help="also draw how reliable probabilities are (PNG or SVG)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--vital", type=Path, help="VITAL's Overton file, for a secondary and noisy figure")
    return parser.parse_args(arguments)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what `--json` writes."""
    # First of all: whoever mistypes a name is not to wait for what loads before it.
    asked_selectors(arguments.selectors)
    taxonomy = Taxonomy.built_in()
    values = list(taxonomy)
    labelled = load_situations(arguments.labels, values)
    if arguments.domain:
        labelled = labelled.of_domain(arguments.domain)
    contenders = {**baselines(taxonomy), **selectors(taxonomy, arguments.selectors)}
    items = vital_situations(arguments.vital) if arguments.vital else []
    print(f"{len(labelled.texts)} situations of {arguments.labels.name}\n")
    header = ["", *COLUMNS.values(), "texts/s", "ms alone", *(["VITAL AUC"] if items else [])]
    print(f"| {' | '.join(header)} |\n{'| --- ' * len(header)}|")
    report: dict[str, Any] = {}
    areas, curves = {}, {}
    for name, make in contenders.items():
        try:
            one = make()
        except VispaError as error:
            print(f"{name} is not measured: {error}", file=sys.stderr)
            continue
        measured = measure(one, labelled, values)
        figures, speed = figures_of(measured), speeds(one, labelled.texts)
        vital = vital_area(one, items, taxonomy) if items else None
        print(row(name, figures, speed, vital), flush=True)
        areas[name] = value_areas(measured)
        if one.probabilities:
            curves[name] = reliability(measured)
        report[name] = {
            "figures": {figure: found.model_dump() for figure, found in figures.items()},
            "by_value": {s: float(a) for s, a in zip(values, areas[name], strict=True) if not np.isnan(a)},
            **speed,
            "vital_auc": vital,
        }
    if arguments.by_value:
        print("", *by_value(areas, label_matrix(labelled, values), values), sep="\n")
    if arguments.figure:
        draw_reliability(curves, list(contenders), arguments.figure)
    return {"labels": arguments.labels.name, "situations": len(labelled.texts), "rows": report}


def vital_area(contender: Contender, items: list[dict[str, Any]], taxonomy: Taxonomy) -> float:
    """Mean AUC by value against the mapped values, rights and duties."""
    scores = contender.scores([item["situation"] for item in items])
    measured = Measured(scores, gold_matrix(items, taxonomy).astype(np.float32))
    return float(np.nanmean(value_areas(measured, VITAL_LEAST)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables; exits with 2 where a file or an option cannot be used."""
    parsed = _parsed(arguments)
    try:
        report = run(parsed)
        if parsed.json:
            parsed.json.write_text(json.dumps(report, indent=1))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
