"""Comments that say what another one says already: where they are many, the model hardly tells values apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from vispa.models.encoder import Encoder, load_encoder
from vispa.modes.checks import comment_checks

#: Turns N texts into unit vectors [N, D].
Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]


def repeated(comments: Sequence[Sequence[str | None]], encode: Encode) -> list[list[int | None]]:
    """For each comment of each text the first one before it that says the same, by sentence embeddings.

    Args:
        comments: those of N texts; None for one that counts for nothing.
        encode: called once with all comments, and not at all where none has company.

    Returns:
        Positions among the text's own comments; None for a comment that says something of its own. What is
        pointed at is itself no repetition.
    """
    several = [[one for one in row if one is not None] for row in comments]
    texts = sorted({text for row in several if len(set(row)) > 1 for text in row})
    place = {text: number for number, text in enumerate(texts)}
    vectors = encode(texts) if texts else np.zeros((0, 1), dtype=np.float32)
    least = comment_checks().same

    def same(first: str, second: str) -> bool:
        return first == second or float(vectors[place[first]] @ vectors[place[second]]) >= least

    found: list[list[int | None]] = []
    for row in comments:
        mine: list[int | None] = []
        for number, text in enumerate(row):
            before = (i for i in range(number) if mine[i] is None and row[i] is not None)
            mine.append(None if text is None else next((i for i in before if same(row[i] or "", text)), None))
        found.append(mine)
    return found


def repeated_share(text: str, *, length: int = 3) -> float:
    """The share of a text's n-grams that occurred in it before.

    1 - distinct / all n-grams, as seq-rep-n in Welleck et al. 2020 (arXiv 1908.04319), here over words between white
    space, so that texts of different models compare.

    Args:
        text: any text.
        length: words in an n-gram, from 1.

    Returns:
        A number in [0, 1); 0 for a text shorter than one n-gram.
    """
    grams = n_grams(text.split(), length)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def n_grams(words: Sequence[str], length: int = 3) -> list[tuple[str, ...]]:
    """The sequences of so many words of a text, in its order."""
    return [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]


def bundled_encode(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Unit vectors [N, D] of the encoder that comes with the package, which is loaded once."""
    return _bundled().encode(texts)


@cache
def _bundled() -> Encoder:
    return load_encoder()
