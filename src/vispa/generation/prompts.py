"""Everyday prompts to steer when the caller brings none."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from vispa.files.door import read_text, text_lines

_BUILT_IN = Path(__file__).parent / "prompts.txt"


@cache
def everyday_prompts() -> tuple[str, ...]:
    """The prompts that ship with the package, one a line of its file."""
    return tuple(line for line in text_lines(read_text(_BUILT_IN, "items")) if line.strip())
