"""Vectors from elsewhere as an entry of a bank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from vispa.errors import InputError
from vispa.files.names import check_name
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import EARLIER, REFINED, Entry
from vispa.steering.estimators import FITTED
from vispa.steering.estimators.base import Directions


def with_vectors(bank: VectorBank, name: str, vectors: Mapping[str, Mapping[int, torch.Tensor]]) -> VectorBank:
    """The bank with one more entry, made of vectors from elsewhere.

    Steer with it by `Recipe(estimator=name, magnitude="coefficient", amount=1.0)`. The quality of
    blocks with a vector is taken on trust (1); values and blocks without one, or with one that is zero,
    have quality 0, and no recipe steers there.

    Args:
        bank: fitted on the model that the vectors are for.
        name: of the new entry; replaces one of that name, but never a fitted or tuned one.
        vectors: value → block number → [H].

    Raises:
        InputError: a name that is none, or that fitting or tuning uses; a value, block or width that the bank
            does not have; a vector that is not finite; a bank without entries, which does not say how
            wide its model is.
    """
    check_name("name", name)
    if name in FITTED:
        raise InputError("name", f"{name!r} is what fitted directions are called.", "Choose another name.")
    if name in (REFINED, EARLIER):
        # What ships under this name would take their place.
        raise InputError("name", f"{name!r} is what tuned directions are called.", "Choose another name.")
    blocks, width = len(bank.residual_norm), bank.width
    if width is None:
        raise InputError("bank", "has no directions that tell how wide its model is.", "Fit it anew with `vispa fit`.")
    stack = torch.zeros(len(bank.info.values), blocks, width)
    quality = torch.zeros(len(bank.info.values), blocks)
    for slug, by_block in vectors.items():
        row = bank.row(slug)
        for block, vector in by_block.items():
            if not 0 <= block < blocks:
                raise InputError("blocks", f"{block} is not a block of the bank.", f"It has blocks 0 to {blocks - 1}.")
            if vector.shape != (width,):
                raise InputError(
                    f"{slug}.layer_{block}",
                    f"has {vector.numel()} elements, the bank's model is {width} wide.",
                    "Take vectors of the same model.",
                )
            if not torch.isfinite(vector).all():
                raise InputError(f"{slug}.layer_{block}", "is not finite.", "Export the vector anew.")
            stack[row, block], quality[row, block] = vector.float(), float(bool(vector.any()))
    entry = Entry(Directions(stack, quality, torch.zeros_like(quality)), "last", "pairs", imported=True)
    # What was measured with earlier vectors of this name says nothing of these.
    return replace(bank.without_strengths({name}), entries={**bank.entries, name: entry})
