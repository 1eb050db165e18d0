"""The prompts, from the package's file and perhaps a user's own."""

from __future__ import annotations

import string
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

from vispa.errors import InputError
from vispa.files.reading import read_toml

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

    def overridden(self, path: Path) -> Prompts:
        """These prompts with those of a user's TOML file in their place.

        Raises:
            InputError: unreadable, an unknown prompt, or placeholders that differ from the
                built-in prompt's.
        """
        table = read_toml(path)
        for name, text in table.items():
            known = getattr(self, name, None) if name in self.__annotations__ else None
            if known is None or not isinstance(text, str):
                raise InputError(f"{path} {name}", "is no prompt.", f"Prompts: {', '.join(self.__annotations__)}.")
            given, wanted = _placeholders(text, f"{path} {name}"), _placeholders(known, name)
            if given != wanted:
                raise InputError(
                    f"{path} {name}",
                    f"has the placeholders {sorted(given)}.",
                    f"Use exactly {sorted(wanted)}, each in braces.",
                )
        return replace(self, **{name: text.strip() for name, text in table.items()})


@cache
def built_in_prompts() -> Prompts:
    """The prompts that ship with the package."""
    table = read_toml(_BUILT_IN)
    return Prompts(**{field.name: table[field.name].strip() for field in fields(Prompts)})


def _placeholders(text: str, place: str) -> set[str]:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise InputError(place, f"has unbalanced braces ({error}).", "Double a brace that is meant as text.") from error
