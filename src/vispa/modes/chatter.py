"""Sentences in which a model talks to its user as an assistant does, instead of speaking of the text."""

from __future__ import annotations

import re
from functools import cache

from vispa.modes.checks import comment_checks, plain_words

# What joins a clause to the one before it.
_JOINED = re.compile(r"(?:and|but|so) (?=i\b|i')")


def chats(sentence: str) -> bool:
    """Whether a sentence is an offer, thanks, condolences or editing and no view; patterns stand in `comments.toml`.

    Example:
        >>> chats("I’m here to help. ")
        True
        >>> chats("How can I help my mother without lying to her?")
        False
    """
    plain = _JOINED.sub("", plain_words(sentence))
    short, long = _patterns()
    brief = len(plain.split()) <= comment_checks().chatter.words
    return bool((brief and short.fullmatch(plain)) or long.fullmatch(plain))


def without_chatter(sentence: str) -> str:
    """A sentence without the clauses, between commas, that are chatter.

    Example:
        >>> without_chatter("The dogs lose their work, and I'm so sorry for their loss.")
        'The dogs lose their work'
    """
    return ", ".join(clause for clause in sentence.split(", ") if not chats(clause))


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Of sentences of few words, and of any."""
    found = comment_checks().chatter
    short, long = (re.compile("|".join(f"(?:{one})" for one in part)) for part in (found.short, found.long))
    return short, long
