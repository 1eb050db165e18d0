"""The prompts, from the package's file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

_BUILT_IN = Path(__file__).parent / "prompts.toml"


@dataclass(frozen=True)
class Prompts:
    """Prompt texts with named placeholders."""

    comment: str
    stance: str


@cache
def built_in_prompts() -> Prompts:
    """The prompts that ship with the package."""
    table = tomllib.loads(_BUILT_IN.read_text(encoding="utf-8"))
    return Prompts(**{field.name: table[field.name].strip() for field in fields(Prompts)})
