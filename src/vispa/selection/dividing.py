"""Texts that are longer than what a selector reads at once: they are read in parts, and none is cut off."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise

import numpy as np

from vispa.errors import NumericalError, TextError
from vispa.models.encoder import FloatArray
from vispa.models.sentences import sentence_pieces
from vispa.selection.selector import BoundedSelector, Selector, StanceSelector

#: [start, end) of a part of a text, in characters.
Part = tuple[int, int]

_SPACE = re.compile(r"\s+")


class ScoreError(NumericalError, TextError):
    """The scores of a text are not finite; of many that are scored together, it fails alone."""


def divided(selector: Selector, texts: Sequence[str]) -> list[tuple[Part, ...]]:
    """What a selector reads at once of each of N texts, in the text's order: all of it where it is not too long.

    A text that is too long is halved where a sentence ends, as near to its middle as can be, and so are its halves
    until each can be read. A sentence that is too long itself is halved between words, and a word between letters.
    """
    if not isinstance(selector, BoundedSelector):
        return [((0, len(text)),) for text in texts]
    found: list[list[Part]] = [[] for _ in texts]
    left = [(number, (0, len(text))) for number, text in enumerate(texts)]
    while left:
        whole = selector.reads_whole([texts[number][slice(*part)] for number, part in left])
        halved = []
        for (number, part), is_read in zip(left, whole, strict=True):
            halves = () if is_read else _halves(texts[number], *part)
            halved += [(number, half) for half in halves]
            if not halves:
                found[number].append(part)
        left = halved
    return [tuple(sorted(parts)) for parts in found]


def part_scores(selector: Selector, parts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
    """Relevance of every value to each of P texts that a selector reads at once, [P, V].

    Raises:
        ScoreError: a score, or what it is made of, is not finite; names the selector, and the text where it is known.
    """
    try:
        scores = selector.scores(parts, progress)
    except NumericalError as error:
        raise ScoreError(str(error)) from error
    wrong = ~np.isfinite(scores).all(-1)
    if wrong.any():
        text = parts[int(wrong.argmax())]
        problem = f"the scores of the text {text[:60]!r} are not finite"
        raise ScoreError(f"{selector.name}: {problem}. Choose another selector or another model for it.")
    return scores


def read_texts(
    selector: Selector, texts: Sequence[str], progress: Callable[[int], None] | None = None
) -> tuple[FloatArray, FloatArray | None]:
    """Relevance of every value to every text and, where the selector tells them, stances; all parts in one call.

    A value is as relevant to a text as to the part of it to which it is most relevant, and its stance is that part's.

    Args:
        selector: that reads the texts.
        texts: N of any length.
        progress: called with the number of texts just scored; parts of a text count as shares of all.

    Returns:
        Two arrays [N, V] (see `Selector.scores` and `StanceSelector.stances`), the second None where none are told.

    Raises:
        ScoreError: a score is not finite.
    """
    places = divided(selector, texts)
    parts = [text[start:end] for text, own in zip(texts, places, strict=True) for start, end in own]
    scores = part_scores(selector, parts, None if progress is None else _counted(progress, len(parts), len(texts)))
    stances = selector.stances(parts) if isinstance(selector, StanceSelector) else None
    ends = list(accumulate(map(len, places), initial=0))
    rows = [start + scores[start:end].argmax(0) for start, end in pairwise(ends)]
    most = np.array(rows, dtype=np.intp).reshape(len(texts), scores.shape[1])
    told = None if stances is None else np.take_along_axis(stances, most, axis=0)
    return np.take_along_axis(scores, most, axis=0), told


def _counted(progress: Callable[[int], None], parts: int, texts: int) -> Callable[[int], None]:
    """Tells of scored parts as of texts: of more parts than texts a share, so that all are all."""
    done = 0

    def told(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        progress(done * texts // parts - before * texts // parts)

    return told


def _halves(text: str, start: int, end: int) -> tuple[Part, ...]:
    """The halves of a part of a text, without the space around them; none of what cannot be halved."""
    start, end = _trimmed(text, start, end)
    part = text[start:end]
    for ends in (_ends_of_sentences, _ends_of_words, _ends_of_letters):
        if inner := [place for place in ends(part) if 0 < place < len(part)]:
            middle = start + min(inner, key=lambda place: abs(2 * place - len(part)))
            return _trimmed(text, start, middle), _trimmed(text, middle, end)
    return ()


def _trimmed(text: str, start: int, end: int) -> Part:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


def _ends_of_sentences(part: str) -> Iterator[int]:
    return accumulate(map(len, sentence_pieces(part)))


def _ends_of_words(part: str) -> Iterator[int]:
    return (found.end() for found in _SPACE.finditer(part))


def _ends_of_letters(part: str) -> Iterator[int]:
    # The middle: where there are neither sentences nor words, no other place is better.
    return iter((len(part) // 2,))
