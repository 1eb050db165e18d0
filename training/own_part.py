"""Lengthen what each value's vectors have of their own: `python -m training.own_part BANK OUTPUT [--factor 1.15]`.

At a block a value's vector is what all values have in common, their mean, and a rest of its own. The common part keeps
comments to their situation, the rest tells them apart: longer rests make the comments on a situation less like each
other and express more, at some closeness to the situation and some fluency. BANK is a file with a tuned recipe of fixed
amounts; the vectors of values that `--keep` names stay as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch

from training.rewarded_vectors import FIXED
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import REFINED
from vispa.tuning.search import fixed_vectors, with_refined


def lengthened(vectors: torch.Tensor, factor: float, kept: Collection[int] = ()) -> torch.Tensor:
    """Vectors whose differences from their common mean are so many times as long.

    Args:
        vectors: [V, L, H].
        factor: of what is a value's own.
        kept: places of values whose vectors stay; they count in the mean.
    """
    common = vectors.mean(0, keepdim=True)
    found = common + factor * (vectors - common)
    found[list(kept)] = vectors[list(kept)]
    return found


def main() -> None:
    """Write the bank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bank", type=Path, help="file with a tuned recipe of fixed amounts")
    parser.add_argument("output", type=Path, help="file to write")
    parser.add_argument("--factor", type=float, default=1.15, help="of what is a value's own")
    parser.add_argument("--keep", default="commonsense_morality", help="comma-separated values that stay as they are")
    given = parser.parse_args()
    bank = VectorBank.load(given.bank)
    recipe = bank.recipe
    if recipe.magnitude not in FIXED:
        parser.error(f"BANK: its recipe measures amounts ({recipe.magnitude}); give one of {', '.join(sorted(FIXED))}.")
    kept = [bank.row(name) for name in given.keep.split(",") if name]
    # What the recipe adds becomes part of the vectors, but for a coefficient that holds for all values.
    share = recipe.amount if recipe.magnitude == "coefficient" else 1.0
    vectors = lengthened(fixed_vectors(bank, recipe) / share, given.factor, kept)
    longer = replace(recipe, estimator=REFINED, magnitude="coefficient", amount=share, amounts={}, table=None)
    words = f"What is a value's own in its vectors was made {given.factor:g} times as long (training/own_part.py)"
    words += f", but for {given.keep.replace(',', ', ')}." if kept else "."
    record = {**(bank.tuning or {}), "reasons": [*(bank.tuning or {}).get("reasons", ()), words]}
    with_refined(bank, vectors, recipe).with_tuned(longer, record).save(given.output)


if __name__ == "__main__":
    main()
