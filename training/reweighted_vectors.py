"""Weigh anew what a bank's vectors have in common and what is each value's own.

    python -m training.reweighted_vectors BANK OUTPUT [--own 1.25] [--common 1.1] [--half-life 16]

At a block a value's vector is what all values have in common, their mean, and a rest of its own. The common part keeps
comments to their situation, the rest tells them apart: longer rests make the comments on a situation less like each
other and express more, at some closeness to the situation and some fluency, which a shift that fades sooner gives back.
BANK is a file with a tuned recipe of fixed amounts; the vectors of values that `--keep` names stay as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch

from training.tuned_by_hand import fixed_recipe, record_with
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import REFINED
from vispa.tuning.refining import fixed_vectors, with_refined
from vispa.tuning.search import describe


def reweighted(vectors: torch.Tensor, own: float, common: float, kept: Collection[int] = ()) -> torch.Tensor:
    """Vectors whose mean over values, and whose differences from it, are so many times as long.

    Args:
        vectors: [V, L, H].
        own: times the differences.
        common: times the mean.
        kept: places of values whose vectors stay; they count in the mean.
    """
    mean = vectors.mean(0, keepdim=True)
    found = common * mean + own * (vectors - mean)
    found[list(kept)] = vectors[list(kept)]
    return found


def main() -> None:
    """Write the bank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bank", type=Path, help="file with a tuned recipe of fixed amounts")
    parser.add_argument("output", type=Path, help="file to write")
    parser.add_argument("--own", type=float, default=1.25, help="how many times as long what is a value's own becomes")
    parser.add_argument("--common", type=float, default=1.1, help="the same of what values have in common")
    parser.add_argument("--half-life", type=float, default=16.0, help="tokens after which half of a shift remains")
    parser.add_argument("--keep", default="commonsense_morality", help="comma-separated values that stay as they are")
    given = parser.parse_args()
    bank = VectorBank.load(given.bank)
    recipe = fixed_recipe(bank, parser)
    kept = [bank.row(name) for name in given.keep.split(",") if name]
    # What the recipe adds becomes part of the vectors, but for a coefficient that holds for all values.
    share = recipe.amount if recipe.magnitude == "coefficient" else 1.0
    vectors = reweighted(fixed_vectors(bank, recipe) / share, given.own, given.common, kept)
    found = replace(
        recipe,
        estimator=REFINED,
        magnitude="coefficient",
        amount=share,
        amounts={},
        table=None,
        half_life=given.half_life,
    )
    words = f"What is a value's own in its vectors was made {given.own:g} times as long, what all have in common "
    words += f"{given.common:g} times, and shifts halve in {given.half_life:g} tokens (training/reweighted_vectors.py)"
    words += f"; the vectors of {given.keep.replace(',', ', ')} stayed." if kept else "."
    record = {**record_with(bank, words), "chosen": {"recipe": describe(found)}}
    with_refined(bank, vectors, recipe).with_tuned(found, record).save(given.output)


if __name__ == "__main__":
    main()
