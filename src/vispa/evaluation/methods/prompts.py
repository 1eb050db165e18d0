"""The prompts that only the methods VISPA is compared with need."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from vispa.files.reading import read_toml

_FILE = Path(__file__).parents[1] / "methods.toml"


@dataclass(frozen=True)
class MethodPrompts:
    """Prompt texts with named placeholders; what each is for stands in `methods.toml`."""

    toward_value: str
    toward_group: str
    named_stance: str
    as_value: str
    as_group: str
    many: str
    many_in: str
    personas: str
    persona_comment: str
    best: str


@cache
def method_prompts() -> MethodPrompts:
    """The prompts of the package's file."""
    table = read_toml(_FILE)
    return MethodPrompts(**{field.name: table[field.name].strip() for field in fields(MethodPrompts)})
