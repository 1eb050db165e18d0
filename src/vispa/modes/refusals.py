"""Comments in which a model declines, or speaks of itself as a machine, instead of speaking of the text."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from vispa.models.sentences import split_sentences
from vispa.modes.checks import bare_words, comment_checks, with_parts

# A refusal stands at the front; a text that first speaks of the matter has something to say.
_FIRST = 3
# With what another clause begins.
_GOES_ON = re.compile(r"[:;,—–]|\b(?:because|since|unless|until|although|though|but|while|when|if|so that|who|which)\b")


class _Patterns(NamedTuple):
    """Of what refuses wherever it stands, of what does so where a sentence begins, and of what adds nothing to that."""

    anywhere: re.Pattern[str]
    opening: re.Pattern[str]
    after: re.Pattern[str]


def refuses(text: str) -> bool:
    """Whether a comment declines to comment or speaks as an AI; the patterns stand in `comments.toml`.

    A view that is put as a refusal ("I cannot support this") is none, and a sentence that declines and then says why
    ("I won't help you steal, stealing is wrong") makes none of the comment.

    Example:
        >>> refuses("**I'm sorry, but I can't help with that.**")
        True
        >>> refuses("I can't help feeling that she deserves the truth.")
        False
    """
    if _patterns().anywhere.search(bare_words(text)):
        return True
    # Lines end sentences (a heading, an item of a list), so the text is split as it stands.
    said = [sentence for sentence in split_sentences(text) if bare_words(sentence)]
    return any(only_declines(sentence) for sentence in said[:_FIRST])


def only_declines(sentence: str) -> bool:
    """Whether a sentence declines and says no more: what comes after a reason, a colon or another clause may be a view.

    An offer, or a rule of the model's, is none.

    Example:
        >>> only_declines("I'm sorry, I couldn't help you.")
        True
        >>> only_declines("I must decline the bribe: honesty matters more.")
        False
    """
    plain = bare_words(sentence)
    found = _patterns().opening.match(plain)
    if found is None:
        return False
    more = _GOES_ON.search(plain, found.end())
    return more is None or _patterns().after.match(plain, more.start()) is not None


@cache
def _patterns() -> _Patterns:
    found = comment_checks().refusals
    whole = ("|".join(found.anywhere), f"{found.before}(?:{'|'.join(found.opening)})", found.after)
    return _Patterns(*(re.compile(with_parts(pattern, found.parts)) for pattern in whole))
