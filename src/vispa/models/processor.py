"""Whether this machine's processor is good at bfloat16."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import torch

from vispa.errors import VispaError
from vispa.files.caching import say_unused
from vispa.files.folders import cache_folder
from vispa.files.reading import read_object
from vispa.files.writing import write_json

# Instructions for products in bfloat16; x86 processors without any of them are many times slower than in float32.
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
_SHAPE, _ROUNDS = (64, 1024), 7


@cache
def has_fast_bfloat16() -> bool:
    """Whether matrices are multiplied faster in bfloat16 than in float32.

    Measured once (some 20 ms) on processors that have the instructions; the verdict is kept in the
    user's cache folder, so that a busy machine does not change it from one call to the next.
    """
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities.get("architecture") == "x86_64" and not any(capabilities.get(name) for name in _INSTRUCTIONS):
        return False
    # By processor: machines may share a folder.
    path = cache_folder() / "processor.json"
    processor = f"{capabilities.get('cpu_name')}, torch {torch.__version__}"
    try:
        known = read_object(path, "settings") if path.is_file() else {}
    except VispaError:
        known = {}
    if not isinstance(known.get(processor), bool):
        known[processor] = _seconds(torch.bfloat16) < _seconds(torch.float32)
        try:
            write_json(path, known)
        except VispaError as error:
            say_unused(path, error)
    return bool(known[processor])


def _seconds(dtype: torch.dtype) -> float:
    """The shortest time of several of a product like those of a small model's step."""
    rows, width = _SHAPE
    left, weights = torch.ones(rows, width, dtype=dtype), torch.ones(width, width, dtype=dtype)
    times = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        torch.nn.functional.linear(left, weights)
        times.append(time.perf_counter() - started)
    return min(times)
