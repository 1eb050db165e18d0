"""What comments are checked for, from the package's file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vispa.files.reading import read_toml

_BUILT_IN = Path(__file__).parent / "comments.toml"


@dataclass(frozen=True)
class RefusalPatterns:
    """Regular expressions of refusals; what each is for stands in `comments.toml`."""

    parts: dict[str, str]
    anywhere: list[str]
    opening: list[str]
    before: str


@dataclass(frozen=True)
class CommentChecks:
    """Numbers and words that comments are checked by; what each is for stands in `comments.toml`."""

    same: float
    readable: float
    pointing: frozenset[str]
    pointing_phrases: tuple[str, ...]
    refusals: RefusalPatterns


@cache
def comment_checks() -> CommentChecks:
    """The checks that ship with the package."""
    table = read_toml(_BUILT_IN)
    return CommentChecks(
        same=table["same"],
        readable=table["readable"],
        pointing=frozenset(table["pointing"].split()),
        pointing_phrases=tuple(table["pointing_phrases"]),
        refusals=RefusalPatterns(**table["refusals"]),
    )
