"""Comments in which a model declines, or speaks of itself as a machine, instead of speaking of the text."""

from __future__ import annotations

import re
from functools import cache
from itertools import islice
from typing import NamedTuple

from vispa.models.sentences import split_sentences
from vispa.modes.checks import bare_words, comment_checks, with_parts

# A refusal stands at the front; a text that first speaks of the matter has something to say.
_FIRST = 3
# With what another clause begins.
_GOES_ON = re.compile(r"[:;,—–]|\b(?:because|since|unless|until|although|though|but|while|when|if|so that|who|which)\b")
# With what a clause begins that is no reason, and so may be a view, even where the request itself is declined; or that
# tells who declined.
_TURNS = re.compile(
    r"\b(?:but|though|although|however|yet|while|whereas|if(?! (?:you|i (?:do not|don't))\b))\b"
    r"|(?<=,) (?:[a-z]+ ){1,3}(?:said|says|answered|replied)\b"
)


class _Patterns(NamedTuple):
    """Of what refuses wherever it stands, of what does so where a sentence begins, and of what adds nothing to that.

    The one group of `opening` holds what declines the request itself.
    """

    anywhere: re.Pattern[str]
    opening: re.Pattern[str]
    after: re.Pattern[str]


def refuses(text: str) -> bool:
    """Whether a comment declines to comment or speaks as an AI; the patterns stand in `comments.toml`.

    A view that is put as a refusal ("I cannot support this") is none, and a sentence that declines a deed and then says
    why ("I won't help you steal, stealing is wrong") makes none of the comment. One that declines the request itself is
    a refusal with its reason too.

    Example:
        >>> refuses("**I'm sorry, but I can't help with that.**")
        True
        >>> refuses("I can't assist with that request because it is illegal.")
        True
        >>> refuses("I can't help feeling that she deserves the truth.")
        False
    """
    if _patterns().anywhere.search(bare_words(text)):
        return True
    # Lines end sentences (a heading, an item of a list), so the text is split as it stands.
    said = filter(bare_words, split_sentences(text))
    return any(map(only_declines, islice(said, _FIRST)))


def only_declines(sentence: str) -> bool:
    """Whether a sentence declines and says no more: what comes after a reason, a colon or another clause may be a view.

    An offer, or a rule of the model's, is none, nor is a reason why the request itself is declined.

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
    after = _patterns().after
    if more is None or after.match(plain, more.start()):
        return True
    return found[1] is not None and all(
        after.match(plain, turn.start()) for turn in _TURNS.finditer(plain, found.end())
    )


@cache
def _patterns() -> _Patterns:
    found = comment_checks().refusals
    opening = f"{found.before}(?:({'|'.join(found.request)})|{'|'.join(found.opening)})"
    whole = ("|".join(found.anywhere), opening, found.after)
    return _Patterns(*(re.compile(with_parts(pattern, found.parts)) for pattern in whole))
