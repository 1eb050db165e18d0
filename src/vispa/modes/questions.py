"""Questions with options, and targets in words."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from vispa.errors import InputError
from vispa.modes.case import Case
from vispa.modes.prompts import Prompts
from vispa.request import LETTERS, STANCE_OPTIONS

_GROUPS = Path(__file__).parent / "groups.toml"


def check_options(options: Sequence[str]) -> None:
    """Refuse options that cannot be lettered.

    Raises:
        InputError: none, more than 26, or an empty one.
    """
    if not 1 <= len(options) <= len(LETTERS):
        raise InputError("options", f"are {len(options)}.", f"Give 1 to {len(LETTERS)}.")
    if not all(option.strip() for option in options):
        raise InputError("options", "hold an empty one.", "Give every option a text.")


def lettered(options: Sequence[str]) -> str:
    """`A. … B. …` in one line."""
    return " ".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))


def option_prompt(case: Case, prompts: Prompts, passage: str | None) -> str:
    """The text after which a letter is due, with a comment as a passage or without one."""
    fields = {"text": case.text, "options": lettered(case.options)}
    if case.question is None and case.options == STANCE_OPTIONS:
        if passage is None:
            return prompts.stance_alone.format(**fields)
        return prompts.stance.format(passage=passage, **fields)
    question = case.question or prompts.question.format(question=case.text, options=fields["options"])
    if case.country:
        question = f"{prompts.country.format(country=case.country)}\n{question}"
    return question if passage is None else prompts.answer.format(passage=passage, question=question)


def target_in_words(target: str) -> str:
    """`POLPARTY_Democrat` as a phrase; any other target as it is."""
    prefix, _, name = target.partition("_")
    groups = _groups()
    return groups[prefix].format(name=name) if name and prefix in groups else target


def question_stem(question: str) -> str:
    """What a question with options asks: without its label, options and `Answer:`."""
    stem = re.split(r"\n\s*(?:Options:|A\.\s)", question.strip(), maxsplit=1)[0]
    stem = re.sub(r"\s*Answer:\s*$", "", stem)
    return re.sub(r"^Question:\s*", "", stem).strip() or question.strip()


@cache
def _groups() -> dict[str, str]:
    return tomllib.loads(_GROUPS.read_text(encoding="utf-8"))
