"""GGUF control vectors, as llama.cpp and repeng read and write them: one value a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from vispa.errors import InputError
from vispa.files.writing import replacing
from vispa.steering.bank import VectorBank
from vispa.steering.exchange.checking import check_file, check_widths
from vispa.steering.exchange.fixed import Scale, fixed_vectors

_ARCHITECTURE = "controlvector"
# Longer numbers than any model has blocks are as wrong as letters.
_TENSOR = re.compile(r"direction\.(?P<block>\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class ControlVector:
    """What a GGUF control vector file holds.

    Attributes:
        model_hint: what the file says of its model.
        directions: block number → float32 [H].
    """

    model_hint: str
    directions: dict[int, torch.Tensor]


def export_gguf(
    bank: VectorBank,
    path: Path,
    *,
    value: str,
    estimator: str | None = None,
    blocks: Sequence[int] | None = None,
    scale: Scale = "recipe",
    model_hint: str | None = None,
) -> dict[int, torch.Tensor]:
    """Write one value as a control vector that llama.cpp and repeng read.

    The file has `general.architecture` = `controlvector`, `controlvector.model_hint`,
    `controlvector.layer_count` (the number of tensors, as repeng counts) and one float32 tensor
    `direction.{n}` [H] a block. **`direction.n` is the vector of block n, without an offset.**
    llama.cpp's loader (`common_control_vector_load`) puts `direction.n` at place n - 1 of its
    buffer and `llama_set_adapter_cvec` takes place n - 1 for layer n, counted from 0; repeng numbers
    its directions by the block whose output they are read from and added to. Neither can say
    block 0: llama.cpp refuses a file with `direction.0`. Blocks without a tensor stay as they are.

    Args:
        bank: the fitted directions.
        path: file to write.
        value: slug of the one value.
        estimator: the bank's entry to take; the recipe's by default.
        blocks: blocks to write; by default those at which the recipe steers toward the value.
        scale: see `fixed_vectors`.
        model_hint: what to call the model (repeng: its type, such as `llama`); by default the
            last part of the name it was fitted under. llama.cpp does not read it.

    Returns:
        What was written: block number → float32 [H].

    Raises:
        InputError: as `fixed_vectors`; block 0; the package gguf is not installed.
        NumericalError: as `fixed_vectors`.
    """
    gguf = _gguf()
    vectors = fixed_vectors(bank, value, estimator=estimator, blocks=blocks, scale=scale)
    if 0 in vectors:
        raise InputError("blocks", "0 cannot be written to a control vector.", "Name the blocks, from 1 on.")
    with replacing(path) as temporary:
        writer = gguf.GGUFWriter(str(temporary), _ARCHITECTURE)
        writer.add_string(f"{_ARCHITECTURE}.model_hint", model_hint or bank.info.model.rstrip("/").split("/")[-1])
        writer.add_uint32(f"{_ARCHITECTURE}.layer_count", len(vectors))
        for block, vector in vectors.items():
            writer.add_tensor(f"direction.{block}", vector.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return vectors


def import_gguf(path: Path) -> ControlVector:
    """Read a control vector as llama.cpp's generator, repeng or `export_gguf` writes it.

    Raises:
        InputError: a missing or damaged file, or one that is no control vector; the package gguf is
            not installed.
    """
    gguf = _gguf()
    advice = "Give a GGUF control vector."
    check_file(path)
    try:
        reader = gguf.GGUFReader(str(path))
        kind = reader.get_field("general.architecture")
        hint = reader.get_field(f"{_ARCHITECTURE}.model_hint")
        kind, hint = (None if entry is None else entry.contents() for entry in (kind, hint))
        tensors = [(tensor.name, tensor.data, tensor.tensor_type) for tensor in reader.tensors]
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, OSError) as error:
        raise InputError(str(path), f"is not a GGUF file that can be read ({error}).", advice) from error
    if kind != _ARCHITECTURE:
        raise InputError(str(path), f"holds a {kind}, not a control vector.", advice)
    directions: dict[int, torch.Tensor] = {}
    for name, data, tensor_type in tensors:
        match = _TENSOR.fullmatch(name)
        block = int(match["block"]) if match else 0
        if block == 0:
            raise InputError(str(path), f"has a tensor {name!r}.", "A control vector has direction.1, direction.2, …")
        if block in directions:
            raise InputError(str(path), f"has two vectors for block {block}.", advice)
        if tensor_type != gguf.GGMLQuantizationType.F32 or data.ndim != 1:
            raise InputError(str(path), f"{name} is not a float32 vector.", advice)
        directions[block] = torch.from_numpy(data.astype("float32"))
    check_widths(path, directions.values())
    return ControlVector(str(hint or ""), dict(sorted(directions.items())))


def _gguf() -> Any:
    if find_spec("gguf") is None:
        raise InputError("gguf", "is not installed.", "Install it with `pip install gguf`.")
    import gguf

    return gguf
