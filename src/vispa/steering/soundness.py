"""Whether the numbers of a bank, such as one from another machine, can be right."""

from __future__ import annotations

import torch

from vispa.errors import InputError
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import Entry, shape_problems


def number_problems(bank: VectorBank) -> list[str]:
    """What is wrong with a bank's numbers: shapes that disagree, NaN, values out of range; none if sound."""
    found = []
    if len(set(bank.info.values)) < len(bank.info.values):
        found.append("values: some are named twice")
    if not (torch.isfinite(bank.residual_norm) & (bank.residual_norm > 0)).all():
        found.append("residual_norm: has entries that are not finite and positive")
    found += shape_problems(len(bank.info.values), bank.residual_norm, bank.entries)
    for name, entry in bank.entries.items():
        found += entry_problems(name, entry)
    return found


def bank_problems(bank: VectorBank) -> list[str]:
    """What is wrong with a bank's numbers and its recipe; none if sound."""
    found = number_problems(bank)
    if bank.recipe.estimator not in bank.entries:
        found.append(f"recipe: its estimator {bank.recipe.estimator} is not in the bank")
    try:
        bank.recipe.chosen_blocks(len(bank.residual_norm))
    except InputError as error:
        found.append(f"recipe: {error}")
    return found


def entry_problems(name: str, entry: Entry) -> list[str]:
    """What is wrong with the numbers of one entry; none if sound."""
    found = []
    for part, tensor in vars(entry.directions).items():
        bad = 0 if tensor is None else int((~torch.isfinite(tensor)).sum())
        if bad:
            found.append(f"{name}.{part}: {bad} of {tensor.numel()} numbers are not finite")
    if not ((entry.directions.quality >= 0) & (entry.directions.quality <= 1)).all():
        found.append(f"{name}.quality: is not between 0 and 1 everywhere")
    return found
