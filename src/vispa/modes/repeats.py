"""Texts that say what another one says already: where comments do, the model hardly tells values apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import cache

import numpy as np
import numpy.typing as npt

from vispa.models.encoder import Encoder, load_encoder
from vispa.modes.checks import comment_checks
from vispa.records import Stance

#: Turns N texts into unit vectors [N, D].
Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]

# Share of common words from which on two sentences count as saying the same.
_SAME = 0.75
_NEGATION = re.compile(
    r"\b(?:not|no|non|never|nor|neither|nobody|nothing|nowhere|none|cannot|without|hardly|rarely|seldom)\b|n['’]t\b",
    re.IGNORECASE,
)
# What makes a word the opposite of what follows.
_PREFIXES = ("un", "in", "im", "il", "ir", "dis", "mis", "non", "ab")
# In front of a line: it is no word of what is said.
_LIST_NUMBER = re.compile(r"^\W{0,9}\d{1,2}[.)](?!\w)", re.MULTILINE)


def repeated(comments: Sequence[Sequence[str | None]], encode: Encode) -> list[list[int | None]]:
    """For each comment of each text the first one before it that says the same, by sentence embeddings.

    Args:
        comments: those of N texts; None for one that counts for nothing.
        encode: called once with all comments, and not at all where none has company.

    Returns:
        Positions among the text's own comments; None for a comment that says something of its own, or the opposite in
        nearly the same words. What is pointed at is itself no repetition.
    """
    several = [[one for one in row if one is not None] for row in comments]
    texts = sorted({text for row in several if len(set(row)) > 1 for text in row})
    place = {text: number for number, text in enumerate(texts)}
    vectors = encode(texts) if texts else np.zeros((0, 1), dtype=np.float32)
    least = comment_checks().same

    def same(first: str, second: str) -> bool:
        if first == second:
            return True
        near = float(vectors[place[first]] @ vectors[place[second]]) >= least
        return near and not differs(first, second)

    found: list[list[int | None]] = []
    for row in comments:
        mine: list[int | None] = []
        for number, text in enumerate(row):
            before = (i for i in range(number) if mine[i] is None and row[i] is not None)
            again = (i for i in before if text is not None and same(row[i] or "", text))
            mine.append(next(again, None))
        found.append(mine)
    return found


def opposed(leanings: Iterable[Stance | None]) -> bool:
    """Whether some support and others oppose; two sides at once, or a stance that cannot be read, is neither."""
    return {"support", "oppose"} <= set(leanings)


def alike(first: str, second: str) -> bool:
    """Whether two sentences have so many words in common that they say the same, unless one `differs`."""
    return _nearly_all(words(first), words(second))


def differs(first: str, second: str) -> bool:
    """Whether two texts that sound the same say different things.

    They do where their figures differ, where one denies what the other says (by "not" and its like, by a prefix, or by
    a word of opposite meaning from `comments.toml`), and where the same words come in another order. Two denials
    level out ("not fair" and "unfair"), and so does a part that has moved from the front to the end.

    Example:
        >>> differs("Honesty is more important than comfort.", "Comfort is more important than honesty.")
        True
        >>> differs("In this case, wait.", "Wait in this case.")
        False
    """
    one, other = in_order(first), in_order(second)
    if figures(one) != figures(other):
        return True
    counts = Counter(one), Counter(other)
    ours, theirs = (counts[0] - counts[1]).keys(), (counts[1] - counts[0]).keys()
    if abs(denials(first) - denials(second)) != _opposites(ours, theirs):
        return True
    common = {word for word, count in counts[0].items() if counts[1][word] == count}
    turned, straight = ([word for word in row if word in common] for row in (one, other))
    return _nearly_all(counts[0].keys(), counts[1].keys()) and not _is_turned(turned, straight)


def denials(text: str) -> int:
    """How often a text says "not", or another word that denies."""
    return len(_NEGATION.findall(text))


def figures(words: Sequence[str]) -> set[str]:
    """The words that hold a digit."""
    return {word for word in words if re.search(r"\d", word)}


def words(text: str) -> frozenset[str]:
    """The words and figures of a text, in lower case, without what numbers a list."""
    return frozenset(in_order(text))


def in_order(text: str) -> list[str]:
    """The same one after the other."""
    return re.findall(r"[^\W_]+", _LIST_NUMBER.sub("", text).lower())


def _nearly_all(first: Set[str], second: Set[str]) -> bool:
    return len(first & second) >= _SAME * max(1, len(first | second))


def _opposites(ours: Set[str], theirs: Set[str]) -> int:
    """How many words of one text have their opposite in the other, of those that the texts do not share."""
    pairs = comment_checks().opposites
    there = sum(not theirs.isdisjoint([*_without_prefix(word), *pairs.get(word, ())]) for word in ours)
    return there + sum(not ours.isdisjoint([*_without_prefix(word)]) for word in theirs)


def _without_prefix(word: str) -> Iterator[str]:
    return (word.removeprefix(prefix) for prefix in _PREFIXES if word.startswith(prefix))


def _is_turned(row: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two rows of the same words are equal, or are so once the front of one is moved to its end."""
    return f" {' '.join(row)} " in f" {' '.join([*other, *other])} "


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
