"""The prompts, from the package's file and perhaps a user's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from vispa.errors import InputError
from vispa.files.reading import read_toml
from vispa.modes.templates import placeholders
from vispa.once import once_property

_BUILT_IN = Path(__file__).parent / "prompts.toml"


@dataclass(frozen=True)
class Prompts:
    """Prompt texts with named placeholders; what each is for stands in `prompts.toml`."""

    comment: str
    stance: str
    stance_alone: str
    answer: str
    question: str
    country: str
    overton: str
    pick: str
    written_answer: str
    diverse: str
    voiced: str

    @once_property
    def digest(self) -> str:
        """SHA-256 of all the texts."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def overridden(self, path: Path) -> Prompts:
        """These prompts with those of a user's TOML file in their place.

        Raises:
            InputError: unreadable, an unknown prompt, or one that is not written as a template with
                the built-in prompt's placeholders.
        """
        table = _checked(read_toml(path), path)
        for name, text in table.items():
            place = f"{path} field {name}"
            given, wanted = placeholders(text, place), placeholders(getattr(self, name), name)
            if given != wanted:
                raise InputError(
                    place, f"has the placeholders {sorted(given)}.", f"Use exactly {sorted(wanted)}, each in braces."
                )
        return replace(self, **{name: text.strip() for name, text in table.items()})


@cache
def built_in_prompts(model: str = "") -> Prompts:
    """The prompts that ship with the package: those for any model, with a model's own wording in their place.

    Args:
        model: its name; models without wording of their own need none.
    """
    table = {**read_toml(_BUILT_IN), **_own_wording(model)}
    return Prompts(**{field.name: table[field.name].strip() for field in fields(Prompts)})


def words_stances(model: str) -> bool:
    """Whether a model has wording of its own for questions of stance, which then goes before a data set's."""
    return "stance" in _own_wording(model)


def _own_wording(model: str) -> Mapping[str, str]:
    own: Mapping[str, Mapping[str, str]] = read_toml(_BUILT_IN)["models"]
    return own.get(model, {})


def _checked(table: Mapping[str, Any], path: Path) -> dict[str, str]:
    """A user's prompts by name."""
    from pydantic import create_model

    from vispa.files.validation import FileModel, validated

    known: dict[str, Any] = {field.name: (str, "") for field in fields(Prompts)}
    model = create_model("PromptsFile", __base__=FileModel, **known)
    return validated(model, table, str(path)).model_dump(exclude_unset=True)
