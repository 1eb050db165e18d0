"""Which tokens write the letter of an option."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from vispa.request import LETTERS

#: Next-token probabilities of one prompt's option letters, in their order; together at most 1.
Masses = npt.NDArray[np.float64]

# Space, and what tokenizers show instead of it at the start of a word or line.
_SPACE = r"[\sĠ▁Ċ]*"
# What may stand around a letter without changing it: markup, brackets, quotes; after it the end of a clause too.
# A lone apostrophe before a small letter is the end of another word (`'s`).
_LETTER = re.compile(
    rf"{_SPACE}(?!'[a-z]\Z)[*_(\[{{<\"'“‘`]*([A-Za-z])[*_)\]}}>\"'”’`.,:;!]*{_SPACE}",
)
# The longest token that is looked at, in characters.
_LONGEST = 16


def letter_position(token: str) -> int | None:
    """The option that a token writes, from 0: `B`, ` b`, `(B)`, `B.`, `**B**`; None for any other token.

    Args:
        token: as it is written, or as a vocabulary holds it (`ĠB`, `▁B`).
    """
    found = _LETTER.fullmatch(token) if len(token) <= _LONGEST else None
    return LETTERS.index(found[1].upper()) if found else None


def letter_tokens(vocabulary: Mapping[str, int]) -> list[list[int]]:
    """For each of the 26 letters the token ids that write it, sorted."""
    found: list[list[int]] = [[] for _ in LETTERS]
    for token, number in vocabulary.items():
        position = letter_position(token)
        if position is not None:
            found[position].append(number)
    return [sorted(numbers) for numbers in found]


def letter_masses(likely: Iterable[tuple[str, float]], count: int) -> Masses:
    """What probability the likely tokens give to each of the first letters.

    Args:
        likely: tokens with their probabilities.
        count: number of options, 1 to 26.

    Returns:
        Masses [count]; together at most 1, and far less where no letter is due.
    """
    masses = np.zeros(count)
    for token, probability in likely:
        position = letter_position(token)
        if position is not None and position < count:
            masses[position] += probability
    return masses
