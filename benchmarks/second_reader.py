"""How well one reader's labels tell the other's, beside selectors: `python -m benchmarks.second_reader`.

    python -m benchmarks.second_reader [--selectors embedding,mpnet] [--limit 100] [--json FILE]

Labels are judgements, so no selector can tell all of them. Here the labels of one reader alone are what has to be told,
of the project's test split, and the other reader's are a contender like any selector: 0, 1 or 2 for each value. Figures
are those of `benchmarks.selection`, first of telling the first reader, then of telling the second. A reader has three
levels only, between which the order is drawn once, by a seed; selectors have any number between 0 and 1, which
areas under a curve favour.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import selection
from benchmarks.agreement import matrices
from benchmarks.selection_figures import Array, Measured, figures_of
from training.readings import codes, key, load_readings
from vispa.evaluation.intervals import Interval
from vispa.selection.labelled import load_situations
from vispa.taxonomy import Taxonomy

# A reader tells no probabilities, and sides are not looked at here.
COLUMNS = {name: shown for name, shown in selection.COLUMNS.items() if name not in ("ece", "side_right")}
_READERS = ("first", "second")


def in_random_order(scale: Array, seed: int = 0) -> Array:
    """Scores [N, V] of a reader: the scale, and something below 1 beside it that parts what has the same."""
    drawn: Array = scale + np.random.default_rng(seed).random(scale.shape) / 2
    return drawn


def told(scores: Array, scale: Array) -> dict[str, Interval]:
    """The figures of telling a reader's labels."""
    found = figures_of(Measured(scores, scale, probabilities=False))
    return {name: found[name] for name in COLUMNS}


def run(names: str, limit: int | None) -> dict[str, dict[str, dict[str, Interval]]]:
    """Contender → reader who is told → figures.

    Raises:
        InputError: a selector's name is unknown.
    """
    taxonomy, readings = Taxonomy.built_in(), load_readings()
    texts = list(load_situations(selection.TEST).texts[:limit])
    values = list(codes().values())
    said = matrices([readings[key(text)] for text in texts], values)
    scales = {reader: one.astype(float) for reader, one in zip(_READERS, said, strict=True)}
    found: dict[str, dict[str, dict[str, Interval]]] = {"the other reader": {}}
    for reader, other in zip(_READERS, _READERS[::-1], strict=True):
        # The scale itself for areas, in which ties count half; an order where six are chosen.
        figures = told(in_random_order(scales[other]), scales[reader])
        ties = told(scales[other], scales[reader])
        areas = {name: one for name, one in ties.items() if name.startswith("auc")}
        found["the other reader"][reader] = figures | areas
    order = [list(taxonomy).index(value) for value in values]
    for name, make in selection.selectors(taxonomy, names).items():
        scores = make().scores(texts)[:, order]
        found[name] = {reader: told(scores, scales[reader]) for reader in _READERS}
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--selectors", default="embedding,mpnet", help="separated by commas")
    parser.add_argument("--limit", type=int, help="the first situations only")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args(arguments)
    found = run(given.selectors, given.limit)
    print(f"| told by | whose labels | {' | '.join(COLUMNS.values())} |\n{'| --- ' * (2 + len(COLUMNS))}|")
    for name, by_reader in found.items():
        for reader, own in by_reader.items():
            cells = [f"{one.estimate:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in own.values()]
            print(f"| {name} | the {reader} reader's | {' | '.join(cells)} |")
    if given.json is not None:
        figures = {
            name: {
                reader: {column: one.model_dump() for column, one in own.items()} for reader, own in by_reader.items()
            }
            for name, by_reader in found.items()
        }
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
