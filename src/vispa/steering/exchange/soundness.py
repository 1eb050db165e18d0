"""Whether the numbers of a bank, such as one from another machine, can be right."""

from __future__ import annotations

import torch

from vispa.errors import InputError
from vispa.steering.bank import Entry, VectorBank


def bank_problems(bank: VectorBank) -> list[str]:
    """What is wrong with a bank's numbers: shapes that disagree, NaN, values out of range; none if sound."""
    values, blocks = len(bank.info.values), len(bank.residual_norm)
    found = []
    if len(set(bank.info.values)) < values:
        found.append("values: some are named twice")
    if not (torch.isfinite(bank.residual_norm) & (bank.residual_norm > 0)).all():
        found.append("residual_norm: has entries that are not finite and positive")
    for name, entry in bank.entries.items():
        found += _entry_problems(name, entry, values, blocks)
    widths = {entry.directions.vectors.shape[-1] for entry in bank.entries.values()}
    if len(widths) > 1:
        found.append(f"vectors: estimators disagree about the width ({', '.join(map(str, sorted(widths)))})")
    if bank.recipe.estimator not in bank.entries:
        found.append(f"recipe: its estimator {bank.recipe.estimator} is not in the bank")
    try:
        bank.recipe.chosen_blocks(blocks)
    except InputError as error:
        found.append(f"recipe: {error}")
    return found


def _entry_problems(name: str, entry: Entry, values: int, blocks: int) -> list[str]:
    found = []
    for part, tensor in vars(entry.directions).items():
        if tensor is None:
            continue
        shape = tuple(tensor.shape)
        if shape[:2] != (values, blocks) or len(shape) != (3 if part == "vectors" else 2):
            found.append(f"{name}.{part}: is {list(shape)} for {values} values and {blocks} blocks")
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            found.append(f"{name}.{part}: {bad} of {tensor.numel()} numbers are not finite")
    if not ((entry.directions.quality >= 0) & (entry.directions.quality <= 1)).all():
        found.append(f"{name}.quality: is not between 0 and 1 everywhere")
    return found
