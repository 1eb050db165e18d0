"""What comments are checked for, from the package's file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vispa.files.reading import read_toml

_BUILT_IN = Path(__file__).parent / "comments.toml"
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "`": "'"})


@dataclass(frozen=True)
class RefusalPatterns:
    """Regular expressions of refusals; what each is for stands in `comments.toml`."""

    parts: dict[str, str]
    anywhere: list[str]
    opening: list[str]
    before: str


@dataclass(frozen=True)
class ChatterPatterns:
    """Regular expressions of an assistant's talk; what each is for stands in `comments.toml`."""

    parts: dict[str, str]
    words: int
    short: list[str]
    long: list[str]
    lead: str


@dataclass(frozen=True)
class CommentChecks:
    """Numbers and words that comments are checked by; what each is for stands in `comments.toml`."""

    same: float
    readable: float
    pointing: frozenset[str]
    pointing_phrases: tuple[str, ...]
    pointing_at_text: tuple[str, ...]
    refusals: RefusalPatterns
    chatter: ChatterPatterns


@cache
def comment_checks() -> CommentChecks:
    """The checks that ship with the package."""
    table = read_toml(_BUILT_IN)
    return CommentChecks(
        same=table["same"],
        readable=table["readable"],
        pointing=frozenset(table["pointing"].split()),
        pointing_phrases=tuple(table["pointing_phrases"]),
        pointing_at_text=tuple(table["pointing_at_text"]),
        refusals=RefusalPatterns(**table["refusals"]),
        chatter=ChatterPatterns(**table["chatter"]),
    )


def with_parts(pattern: str, parts: Mapping[str, str]) -> str:
    """A pattern with parts in the place of their <names>."""
    return re.sub(r"<([a-z]+)>", lambda name: parts[name[1]], pattern)


def plain_words(text: str) -> str:
    """A text as the patterns want it: in lower case, with straight apostrophes and single spaces."""
    return " ".join(text.translate(_APOSTROPHES).lower().split())
