"""What a bank is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from vispa.errors import BankError
from vispa.steering.bank_header import BANK_ADVICE, EntryHeader, InfoHeader
from vispa.steering.estimators.base import Contrast, Directions
from vispa.steering.readings import Reading

#: Name of the entry with refined directions (`vispa tune`), which fitting cannot bring back.
REFINED = "refined"
#: What a model's refined directions are called while tuning makes others.
EARLIER = "refined_earlier"


@dataclass(frozen=True)
class Entry:
    """One estimator's directions, with how they were read and contrasted.

    Attributes:
        directions: what was learned.
        reading: the activations that were read.
        contrast: what was compared.
        imported: the vectors come from elsewhere, so that fitting cannot bring them back.
    """

    directions: Directions
    reading: Reading
    contrast: Contrast
    imported: bool = False


@dataclass(frozen=True)
class BankInfo:
    """What a bank is bound to and was made with.

    Attributes:
        model: its name.
        model_fingerprint: of configuration and weights.
        taxonomy_fingerprint: of the values.
        values: their slugs.
        versions: of the libraries.
        sentences: fingerprint of each value's sentences, in the order of `values`; empty in banks of older releases.
        tokenizer: what read them (`Tokenization.digest`); empty in banks of older releases.
    """

    model: str
    model_fingerprint: str
    taxonomy_fingerprint: str
    values: tuple[str, ...]
    versions: dict[str, str]
    sentences: tuple[str, ...] = ()
    tokenizer: str = ""


def can_be_read_by(info: BankInfo | InfoHeader, tokenizer: str) -> bool:
    """Whether a tokenizer can be the one that read the sentences of a bank; where either is unknown, it can.

    Args:
        info: of the bank.
        tokenizer: its digest (`Tokenization.digest`); empty where it is not known.
    """
    return info.tokenizer == tokenizer or "" in (info.tokenizer, tokenizer)


def entry_from(name: str, about: EntryHeader, tensors: Mapping[str, torch.Tensor], place: str) -> Entry:
    """An entry from what a bank's file holds.

    Args:
        name: of the estimator.
        about: what the header says of it.
        tensors: of the file, by name.
        place: the file, for messages.

    Raises:
        BankError: a tensor is missing.
    """
    directions = Directions(
        *(needed_tensor(f"{name}.{part}", tensors, place) for part in ("vectors", "quality", "separation")),
        *(tensors.get(f"{name}.{part}") for part in ("bias", "weight_norm")),
    )
    return Entry(directions, about.reading, about.contrast, about.imported)


def needed_tensor(name: str, tensors: Mapping[str, torch.Tensor], place: str) -> torch.Tensor:
    """A tensor of a bank's file; in single precision where it is stored in half.

    Raises:
        BankError: it is missing.
    """
    if name not in tensors:
        raise BankError(place, f"lacks the tensor {name}.", BANK_ADVICE)
    tensor = tensors[name]
    return tensor.float() if tensor.dtype is torch.float16 else tensor


def shape_problems(values: int, residual_norm: torch.Tensor, entries: Mapping[str, Entry]) -> list[str]:
    """The tensors that hold no floating-point numbers, or have a shape that disagrees with the rest; none if sound.

    Args:
        values: number of values.
        residual_norm: of the bank; its length is the number of blocks.
        entries: by estimator name.
    """
    blocks = residual_norm.numel()
    found = []
    if residual_norm.ndim != 1 or not residual_norm.is_floating_point():
        found.append(f"residual_norm: is {residual_norm.dtype} {list(residual_norm.shape)}")
    for name, entry in entries.items():
        for part, tensor in vars(entry.directions).items():
            if tensor is None:
                continue
            shape = tuple(tensor.shape)
            if shape[:2] != (values, blocks) or len(shape) != (3 if part == "vectors" else 2):
                found.append(f"{name}.{part}: is {list(shape)} for {values} values and {blocks} blocks")
            if not tensor.is_floating_point():
                found.append(f"{name}.{part}: is {tensor.dtype}")
    widths = {entry.directions.vectors.shape[-1] for entry in entries.values() if entry.directions.vectors.ndim}
    if len(widths) > 1:
        found.append(f"vectors: estimators disagree about the width ({', '.join(map(str, sorted(widths)))})")
    return found
