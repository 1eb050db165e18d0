"""Safetensors files with a checksum over header and tensors, so that damage does not go unnoticed.

The metadata holds `vispa`, a JSON object (the header), and `checksum`, the SHA-256 of that text. The
header names under `digests` the SHA-256 of every tensor's type, shape and bytes. A sound header thus
vouches for each tensor by itself: of a damaged file, the tensors that are whole are known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save_file

from vispa.errors import BankError
from vispa.files.writing import replacing
from vispa.steering.bank_header import BANK_ADVICE

_HEADER, _CHECKSUM = "vispa", "checksum"
# Longer headers than any bank has would only fill memory.
_LONGEST_HEADER = 64_000_000


@dataclass(frozen=True)
class Sealed:
    """What a sealed file holds.

    Attributes:
        header: JSON text; empty where there is none.
        tensors: by name.
        broken: names of the tensors that are not as they were written, or that are not in the file.
        whole: whether the header is as it was written.
    """

    header: str
    tensors: dict[str, torch.Tensor]
    broken: frozenset[str]
    whole: bool


def write_sealed(path: Path, header: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Write header and tensors, whole or not at all.

    Raises:
        InputError: the folder cannot be written to.
        OutputError: there is no room.
    """
    # Tensors that share memory are stored each on its own.
    stored = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = canonical({**header, "digests": digests(stored)})
    with replacing(path) as temporary:
        save_file(stored, temporary, metadata={_HEADER: text, _CHECKSUM: _sha256(text.encode())})


def read_sealed(path: Path) -> Sealed:
    """Read a file and compare it with its checksums.

    Raises:
        BankError: there is no file, or it is not one of safetensors.
    """
    if not path.is_file():
        raise BankError(str(path), "is not there.", "Fit one with `vispa fit`.")
    if begins_as_text(path):
        raise BankError(str(path), "is no vector bank, but text.", "Name a bank, such as one of `vispa bank list`.")
    try:
        # Header and size are compared before anything is read: a file of any size may be called a bank.
        with safe_open(path, "pt"):
            pass
        # A copy in memory: the numbers that were checked stay, whatever becomes of the file.
        data = path.read_bytes()
        metadata = _metadata(data)
        tensors = load(data)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise BankError(
            str(path), f"is damaged ({str(error).strip() or type(error).__name__}).", BANK_ADVICE
        ) from error
    except MemoryError as error:
        raise BankError(str(path), "is larger than the memory.", "Use a machine with more.") from error
    text = metadata.get(_HEADER, "")
    whole = metadata.get(_CHECKSUM) == _sha256(text.encode())
    wanted, found = (_named_digests(text), digests(tensors)) if whole else ({}, {})
    broken = {name for name in {*wanted, *tensors} if wanted.get(name) != found.get(name, "")}
    return Sealed(text, tensors, frozenset(broken), whole)


def begins_as_text(path: Path) -> bool:
    """Whether a file is text, and so never was one of safetensors.

    Such a file begins with the length of its header in eight bytes, of which the last are 0.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(8)
    except OSError:
        return False
    # No text holds a control character below the tabulator, nor this byte, which UTF-8 does not have.
    return bool(beginning) and min(beginning) >= ord("\t") and 0xFF not in beginning


def stored_header(path: Path) -> str:
    """The header of a file without its tensors, also of one that was cut off; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            file.seek(0)
            return _metadata(file.read(8 + min(length, _LONGEST_HEADER))).get(_HEADER, "")
    except (OSError, ValueError):
        return ""


def canonical(header: Mapping[str, Any]) -> str:
    """JSON text that is the same for the same content."""
    return json.dumps(header, sort_keys=True, separators=(",", ":"))


def digests(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """SHA-256 in hex of each tensor's type, shape and bytes."""
    found = {}
    for name, tensor in sorted(tensors.items()):
        about = f"{tensor.dtype} {list(tensor.shape)} ".encode()
        data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        found[name] = _sha256(about, data.data)
    return found


def _metadata(data: bytes) -> dict[str, str]:
    """The texts that stand beside the tensors of a safetensors file.

    Raises:
        ValueError: it is no such file.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        return {str(name): text for name, text in metadata.items() if isinstance(text, str)}
    except (AttributeError, RecursionError) as error:
        raise ValueError("no header") from error


def _named_digests(header: str) -> dict[str, str]:
    try:
        named = json.loads(header)["digests"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return named if isinstance(named, dict) else {}


def _sha256(*parts: bytes | memoryview) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()
