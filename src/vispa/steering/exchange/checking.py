"""What every file of vectors must be, whatever its layout."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from vispa.errors import InputError


def check_file(path: Path) -> None:
    """Refuse a path at which there is no file.

    Raises:
        InputError: there is none.
    """
    if not path.is_file():
        raise InputError(str(path), "is not there.", "Name a file.")


def check_widths(path: Path, vectors: Iterable[torch.Tensor]) -> None:
    """Refuse a file whose vectors [H] cannot be of one model.

    Raises:
        InputError: it holds no vector, or vectors of different widths.
    """
    widths = sorted({len(vector) for vector in vectors})
    if not widths:
        raise InputError(str(path), "holds no vector.", "Export it anew.")
    if len(widths) > 1:
        raise InputError(str(path), f"has vectors of different widths ({widths}).", "Export it anew.")
