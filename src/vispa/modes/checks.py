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
# Quotes, and signs that stand for emphasis, a heading or a quotation in Markdown.
_MARKS = re.compile(r"""[*_#>~"“”„«»]+""")
# Bullets, numbers and labels in front of what is said, among them a single quote.
_LABELS = re.compile(
    r"\A(?:[\s'•·–—-]|\(?(?:\d{1,3}|[a-z])[.)](?:\s|$)|(?:comment|answer|response|reply|assistant):)++"
)


@dataclass(frozen=True)
class RefusalPatterns:
    """Regular expressions of refusals; what each is for stands in `comments.toml`."""

    parts: dict[str, str]
    anywhere: list[str]
    opening: list[str]
    request: list[str]
    before: str
    after: str


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
    opposites: Mapping[str, frozenset[str]]
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
        opposites=_opposites(table["opposite"]),
        pointing=frozenset(table["pointing"].split()),
        pointing_phrases=tuple(table["pointing_phrases"]),
        pointing_at_text=tuple(table["pointing_at_text"]),
        refusals=RefusalPatterns(**table["refusals"]),
        chatter=ChatterPatterns(**table["chatter"]),
    )


def _opposites(pairs: str) -> dict[str, frozenset[str]]:
    """Of each word those that say the opposite, from words in pairs, `right/wrong`."""
    found: dict[str, frozenset[str]] = {}
    for pair in pairs.split():
        first, second = pair.split("/")
        for one, other in ((first, second), (second, first)):
            found[one] = found.get(one, frozenset()) | {other}
    return found


def with_parts(pattern: str, parts: Mapping[str, str]) -> str:
    """A pattern with parts in the place of their <names>."""
    return re.sub(r"<([a-z]+)>", lambda name: parts[name[1]], pattern)


def plain_words(text: str) -> str:
    """A text as the patterns want it: in lower case, with straight apostrophes and single spaces."""
    return " ".join(text.translate(_APOSTROPHES).lower().split())


def bare_words(text: str) -> str:
    """Plain words without what only sets them off: quotes, emphasis, and a bullet, number or label in front.

    Example:
        >>> bare_words("1. **I’m sorry**, but no.")
        "i'm sorry, but no."
    """
    return _LABELS.sub("", _MARKS.sub("", plain_words(text)), count=1).rstrip("' ")
