"""Sentences in which a model talks to its user as an assistant does, instead of speaking of the text."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from vispa.modes.checks import bare_words, comment_checks, with_parts

_JOINED = re.compile(r"\A(?:and|but|so|or) ")


class _Patterns(NamedTuple):
    """Of sentences of few words, of any, and of what leads to them."""

    short: re.Pattern[str]
    long: re.Pattern[str]
    lead: re.Pattern[str]


def chats(sentence: str) -> bool:
    """Whether a sentence is an offer, thanks, condolences or editing and no view; patterns stand in `comments.toml`.

    Example:
        >>> chats("I’m here to help. ")
        True
        >>> chats("How can I help my mother without lying to her?")
        False
    """
    plain = _plain(sentence)
    known = _patterns()
    brief = len(plain.split()) <= comment_checks().chatter.words
    return bool((brief and known.short.fullmatch(plain)) or known.long.fullmatch(plain))


def without_chatter(sentence: str) -> str:
    """A sentence without the clauses, between commas, that are chatter; nothing where what is left only leads to them.

    Example:
        >>> without_chatter("The dogs lose their work, and I'm so sorry for their loss.")
        'The dogs lose their work'
        >>> without_chatter("Oh, I'm so sorry.")
        ''
    """
    if chats(sentence):
        return ""
    clauses = sentence.split(", ")
    kept = [clause for clause in clauses if not chats(clause)]
    if len(kept) < len(clauses) and all(_patterns().lead.fullmatch(_plain(clause)) for clause in kept):
        return ""
    return ", ".join(kept)


def _plain(text: str) -> str:
    return _JOINED.sub("", bare_words(text))


@cache
def _patterns() -> _Patterns:
    found = comment_checks().chatter
    whole = ("|".join(found.short), "|".join(found.long), found.lead)
    return _Patterns(*(re.compile(with_parts(pattern, found.parts)) for pattern in whole))
