"""Which words of a text carry each value's score."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import regex
from pydantic import Field

from vispa.files.visible import is_blank
from vispa.models.encoder import FloatArray
from vispa.records import Record, Selection
from vispa.selection.dividing import divided, part_scores
from vispa.selection.selector import Selector

#: Most parts of a text that are left out one by one; where it has more words, each part is several of them.
MOST_PARTS = 48
# What is scored where leaving out a text's only part leaves nothing.
_NOTHING = "…"
# Decimal places of a weight. Scores that differ by less than these show are alike, such as those of the same words in
# two places of a text, which what shares their batch rounds differently.
_PLACES = 4
_ALIKE = 0.5 * 10**-_PLACES

# Between any two words, and between words and what stands around them (UAX #29).
_BOUNDARY = regex.compile(r"(?V1w)\b")
_WORD = regex.compile(r"[\p{L}\p{N}\p{So}]")


class Span(Record):
    """A part of a text, and what it adds to the score of a value.

    Attributes:
        start: of the part in the text, in characters (Unicode code points) from 0.
        end: where it ends, exclusive.
        weight: how much the score falls when the part is left out; below 0 where it rises. What is said as strongly
            elsewhere in a long text is left out there too; see `explanations`.
    """

    start: int = Field(ge=0)
    end: int = Field(ge=0)
    weight: float = Field(ge=-1, le=1)


class Explained(Selection):
    """A selected value with what carries its score.

    Attributes:
        why: the parts of the text in their order: its words, or runs of words in a long text.
    """

    why: tuple[Span, ...]


@dataclass(frozen=True)
class Explanation:
    """What each part of a text adds to the scores.

    Attributes:
        parts: [start, end) of each part in the text, in characters.
        weights: how much each value's score falls without the part, [P, V] in [-1, 1]; below 0 where it rises.
    """

    parts: tuple[tuple[int, int], ...]
    weights: FloatArray

    def of(self, column: int) -> tuple[Span, ...]:
        """The parts with their weights for one value."""
        weights = self.weights[:, column]
        return tuple(
            Span(start=start, end=end, weight=round(float(weight), _PLACES))
            for (start, end), weight in zip(self.parts, weights, strict=True)
        )


def explanations(
    selector: Selector, texts: Sequence[str], progress: Callable[[int], None] | None = None
) -> list[Explanation]:
    """What the parts of each text add to its scores, by occlusion: each is left out once, for all values at once.

    It asks nothing of a selector but its scores. All texts are scored in one call, each at most `MOST_PARTS` + 1
    times, or twice as often as it has parts. Of a text that is read in several parts (`vispa.selection.dividing`),
    words are left out where they stand, and the other parts keep their scores. Parts that give a value the same,
    highest score are explained each as if the others of them were not there: the score falls without none of them, yet
    each carries it.

    Args:
        selector: whose scores are explained.
        texts: N.
        progress: called with the number of scored texts, those with a part left out among them.
    """
    read = [
        [(start, text[start:end]) for start, end in parts]
        for text, parts in zip(texts, divided(selector, texts), strict=True)
    ]
    words = [[text_parts(part, max(1, MOST_PARTS // len(parts))) for _, part in parts] for parts in read]
    asked = []
    for parts, spans in zip(read, words, strict=True):
        for (_, part), own in zip(parts, spans, strict=True):
            asked += [part, *(without(part, *span) for span in own)]
    rows = iter(part_scores(selector, asked, progress))
    return [
        _explanation(
            [start for start, _ in parts], spans, [np.stack([next(rows) for _ in range(len(own) + 1)]) for own in spans]
        )
        for parts, spans in zip(read, words, strict=True)
    ]


def _explanation(
    starts: Sequence[int], words: Sequence[Sequence[tuple[int, int]]], scores: Sequence[FloatArray]
) -> Explanation:
    """The explanation of a text that is read in P parts.

    Args:
        starts: of the parts in the text, P.
        words: of each part, [start, end) in the part.
        scores: of each part, [1 + its words, V]: as it is, then without each of its words.
    """
    whole = np.stack([own[0] for own in scores])
    best = whole.max(0)
    carries = whole >= best - _ALIKE
    spans, weights = [], []
    for number, (start, own) in enumerate(zip(starts, words, strict=True)):
        spans += [(start + first, start + last) for first, last in own]
        # Beside its like, leaving out words of one part would lower nothing.
        aside = carries & carries[number]
        aside[number] = True
        others = (whole * ~aside).max(0)
        score = np.where(carries[number], whole[number], best)
        weights.append(score - np.maximum(scores[number][1:], others))
    return Explanation(tuple(spans), np.concatenate(weights))


def explained(
    selector: Selector, texts: Sequence[str], selections: Sequence[Sequence[Selection]]
) -> list[tuple[Explained, ...]]:
    """The selected values of N texts, each with what the parts of its text add to its score."""
    columns = {slug: column for column, slug in enumerate(selector.taxonomy)}
    return [
        tuple(Explained(**one.model_dump(), why=found.of(columns[one.value])) for one in chosen)
        for found, chosen in zip(explanations(selector, texts), selections, strict=True)
    ]


def text_parts(text: str, most: int = MOST_PARTS) -> tuple[tuple[int, int], ...]:
    """[start, end) of a text's words; of runs of words where it has more than `most`.

    Words are those of Unicode (UAX #29) in any script. A run holds the same number of words as the others, or up to
    twice as many where that takes it to the end of a phrase. A text without words is one part.

    Example:
        >>> text_parts("Don't lie.")
        ((0, 5), (6, 9))
    """
    words = _words(text)
    if not words:
        return ((0, len(text)),)
    size = math.ceil(len(words) / most)
    if size == 1:
        return tuple(words)
    runs, first = [], 0
    for place in range(len(words)):
        length, last = place + 1 - first, place + 1 == len(words)
        phrase = last or text[words[place][1] : words[place + 1][0]].strip() != ""
        if last or length == 2 * size or (length >= size and phrase):
            runs.append((words[first][0], words[place][1]))
            first = place + 1
    return tuple(runs)


def without(text: str, start: int, end: int) -> str:
    """The text without a part of it and without one of the two spaces that met there."""
    before, after = text[:start], text[end:]
    if before[-1:].isspace() or not before:
        after = after[1:] if after[:1] == " " else after
    left = before + after
    return _NOTHING if is_blank(left) else left


def _words(text: str) -> list[tuple[int, int]]:
    """What stands between the boundaries of words, where it holds a letter, a digit or a symbol."""
    found, start = [], 0
    for piece in _BOUNDARY.split(text):
        if _WORD.search(piece):
            found.append((start, start + len(piece)))
        start += len(piece)
    return found
