"""Comments in which a model declines, or speaks of itself as a machine, instead of speaking of the text."""

from __future__ import annotations

import re
from functools import cache

from vispa.modes.checks import comment_checks, plain_words, with_parts
from vispa.modes.sentences import split_sentences

# A refusal stands at the front; a text that first speaks of the matter has something to say.
_FIRST = 3
# With what another clause begins.
_GOES_ON = re.compile(r"[:;,—–]|\b(?:because|since|unless|until|although|though|but|while|when|if|so that|who|which)\b")


def refuses(text: str) -> bool:
    """Whether a comment declines to comment or speaks as an AI; the patterns stand in `comments.toml`.

    A view that is put as a refusal ("I cannot support this") is none.

    Example:
        >>> refuses("I'm sorry, but I can't help with that.")
        True
        >>> refuses("I can't help feeling that she deserves the truth.")
        False
    """
    plain = plain_words(text)
    anywhere, opening = _patterns()
    if anywhere.search(plain):
        return True
    return any(opening.match(sentence) for sentence in split_sentences(plain)[:_FIRST])


def only_declines(sentence: str) -> bool:
    """Whether a sentence declines and says no more: what comes after a reason, a colon or another clause may be a view.

    Example:
        >>> only_declines("I'm sorry, I couldn't help you.")
        True
        >>> only_declines("I must decline the bribe: honesty matters more.")
        False
    """
    plain = plain_words(sentence)
    found = _patterns()[1].match(plain)
    return found is not None and not _GOES_ON.search(plain[found.end() :])


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What refuses wherever it stands, and what does so at the beginning of a sentence."""
    found = comment_checks().refusals
    anywhere, opening = "|".join(found.anywhere), "|".join(found.opening)
    whole = (anywhere, f"{found.before}(?:{opening})")
    first, second = (re.compile(with_parts(pattern, found.parts)) for pattern in whole)
    return first, second
