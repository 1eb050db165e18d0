"""Make the bank that ships for a named model: `python -m training.ship_bank MODEL BANK [--recipe FILE]`.

Of BANK (a file, or a cached one as `vispa bank list` names it) the package gets the entry of its recipe and that of the
published recipe, with vectors in half precision, and with the record of how the recipe was tuned. What half precision
costs is measured and refused beyond a thousandth.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from vispa.cli.bank.finding import find_bank
from vispa.errors import BankError
from vispa.files.reading import read_toml
from vispa.models.loading import load_model
from vispa.steering.bank import VectorBank
from vispa.steering.named_recipes import is_tuned
from vispa.steering.recipe import Recipe
from vispa.steering.shipped_banks import SHIPPED
from vispa.steering.soundness import bank_problems

#: Most that a direction's length (as a share) or cosine may change by being stored in half precision.
LARGEST_CHANGE = 1e-3


def shipped_part(bank: VectorBank) -> VectorBank:
    """The bank with no other entries than its recipe and the published one need.

    Raises:
        BankError: its recipe is only the portable one, or an entry is missing.
        InputError: the bank lacks an entry.
    """
    if not is_tuned(bank):
        raise BankError("bank", "has no tuned recipe.", "Run `vispa tune` first, or give one with --recipe.")
    names = dict.fromkeys((bank.recipe.estimator, Recipe().estimator))
    strengths = {recipe: found for recipe, found in bank.strengths.items() if recipe.estimator in names}
    part = replace(bank, entries={name: bank.entry(name) for name in names}, strengths=strengths)
    if problems := bank_problems(part):
        raise BankError("bank", f"is not sound: {problems[0]}.", "See `vispa bank verify`.")
    return part


def check_halved(bank: VectorBank, path: Path) -> float:
    """The largest change of a direction's length or cosine between a bank and its file.

    Raises:
        BankError: it is larger than `LARGEST_CHANGE`.
    """
    changes = [0.0]
    for name, entry in VectorBank.load(path).entries.items():
        stored, vectors = entry.directions.vectors.double(), bank.entry(name).directions.vectors.double()
        there = vectors.norm(dim=-1) > 0
        ratio = (stored.norm(dim=-1) / vectors.norm(dim=-1))[there]
        cosine = torch.cosine_similarity(stored, vectors, dim=-1)[there]
        changes += [float((1 - ratio).abs().max()), float((1 - cosine).max())]
    if not max(changes) <= LARGEST_CHANGE:
        raise BankError(str(path), f"half precision changes directions by {max(changes):.2g}.", "Scale the vectors.")
    return max(changes)


def main() -> None:
    """Make the file and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="named model that the bank was fitted on")
    parser.add_argument("bank", help="file, or beginning of a cached bank's name")
    parser.add_argument("--recipe", type=Path, help="TOML file; by default the bank's recipe")
    arguments = parser.parse_args()
    bank = VectorBank.load(find_bank(arguments.bank))
    if arguments.recipe is not None:
        bank = bank.with_tuned(Recipe.from_mapping(read_toml(arguments.recipe), str(arguments.recipe)), {})
    bank.require(
        model_fingerprint=load_model(arguments.model).fingerprint, taxonomy_fingerprint=bank.info.taxonomy_fingerprint
    )
    part = shipped_part(bank)
    path = SHIPPED / f"{arguments.model}.safetensors"
    path.parent.mkdir(exist_ok=True)
    part.save(path, half=True)
    change = check_halved(part, path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {', '.join(part.entries)}; directions change by {change:.1e}")


if __name__ == "__main__":
    main()
