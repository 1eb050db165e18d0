"""Fit the heads of an adapted encoder anew: `python -m training.last_heads`.

For a file that `training.adapter` wrote, such as what ships for the larger encoder: its changes and what tells values
without labels stay, its heads become those of `training.adapter.fitted_last`. As the regressions are quick, and the
training of the encoder is not, other penalties can be tried with it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import safe_open

from training.adapter import PLANS, fitted_last, mean_auc
from training.readings import learnt_from
from vispa.models.encoder import MPNET
from vispa.selection.adapted import ADAPTER_FILE, ADAPTER_FILES, adaptation, load_adapted, save_adapted
from vispa.selection.labelled import (
    DEVELOPMENT,
    label_matrix,
    load_situations,
    scale_matrix,
    side_matrix,
    target_matrix,
)
from vispa.selection.shared_head import read_values
from vispa.selection.unlabelled import Moments, measured
from vispa.taxonomy import Taxonomy


def refit(path: Path, output: Path, penalty: float) -> None:
    """Write a file with the same changes and other heads, and print what they are worth on the development split.

    Args:
        path: of a file that `training.adapter` wrote.
        output: that is written.
        penalty: see `fitted_last`.
    """
    values, adapted, old = tuple(Taxonomy.built_in()), load_adapted(path), adaptation(path)
    labelled, others = learnt_from(), load_situations(DEVELOPMENT)
    vectors, held_out = (adapted.encoder.encode(one.texts) for one in (labelled, others))
    sides = ((side_matrix(labelled, values) + 1) / 2).astype(np.float32)
    relevance, stance = fitted_last(vectors, target_matrix(labelled, values), sides, penalty)
    labels, clear = label_matrix(others, values), scale_matrix(others, values) == 2
    relevance = relevance.calibrated(held_out, labels)
    for name, head in (("before", old.relevance), ("now", relevance)):
        found = head.probabilities(held_out)
        print(f"{name}: development, AUC a value {mean_auc(found, labels):.4f}, clearly {mean_auc(found, clear):.4f}")
    with safe_open(path, "np") as file:
        about = file.metadata() | {"heads": f"fitted last, penalty {penalty}"}
    tellings = read_values(adapted.encoder, Taxonomy.built_in(), values)
    assert old.relevance.unlabelled is not None
    known = replace(
        measured(relevance, Moments.of(vectors), tellings), calibration=old.relevance.unlabelled.calibration
    )
    relevance = replace(relevance, unlabelled=known)
    save_adapted(output, old.factors, relevance, stance, about, old.encoder_sha256)


def main() -> None:
    """Fit, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shipped = next(path for path in ADAPTER_FILES.values() if path != ADAPTER_FILE)
    parser.add_argument("--file", type=Path, default=shipped, help="by default what ships for the larger encoder")
    parser.add_argument("--output", type=Path, help="by default the file itself")
    parser.add_argument("--penalty", type=float, default=PLANS[MPNET].penalty, help="C of the logistic regressions")
    given = parser.parse_args()
    refit(given.file, given.output or given.file, given.penalty)


if __name__ == "__main__":
    main()
