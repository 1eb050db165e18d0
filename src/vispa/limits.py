"""Every limit of a request, as the documentation lists them."""

from __future__ import annotations

from typing import NamedTuple

from vispa.request import (
    MAX_CHARACTERS,
    MAX_NEW_TOKENS,
    MAX_OPTION_CHARACTERS,
    MAX_OPTIONS,
    MAX_TARGET_CHARACTERS,
    MAX_WEIGHT_SUM,
)


class Limit(NamedTuple):
    """One line of the table of limits.

    Attributes:
        what: is limited, in words.
        most: the limit itself, which is still taken.
        unit: that it is counted in; empty where `what` says it.
    """

    what: str
    most: float
    unit: str


#: Every limit of a request, as the documentation lists them.
LIMITS = (
    Limit("text, question or prompt", MAX_CHARACTERS, "characters"),
    Limit("target or country", MAX_TARGET_CHARACTERS, "characters"),
    Limit("one option", MAX_OPTION_CHARACTERS, "characters"),
    Limit("options of a question", MAX_OPTIONS, ""),
    Limit("one comment", MAX_NEW_TOKENS, "tokens"),
    Limit("weights of a mixture, together", MAX_WEIGHT_SUM, ""),
)
