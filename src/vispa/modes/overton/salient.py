"""Which of its sentences a comment is quoted by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from vispa.models.sentences import split_sentences
from vispa.modes.chatter import without_chatter
from vispa.modes.checks import comment_checks
from vispa.modes.refusals import only_declines
from vispa.modes.repeats import Encode, alike, denials, in_order, n_grams, repeated_share, words
from vispa.taxonomy import Taxonomy

#: Of every comment, at most so many sentences.
SENTENCES_PER_VALUE = 2
# Share of a sentence's sequences of three words that the situation has too, from which on it says nothing else.
_RETOLD = 0.7
# Share of them that the sentence itself has said before, from which on it goes in circles.
_CIRCLING = 0.25
# Marks of a question.
_ASKS = frozenset("?？؟")
# Example sentences of a value that say what it is about, beside its definition.
_EXAMPLES = 8

#: How much each sentence of a comment is worth: position of the comment, its sentences → N numbers.
Worth = Callable[[int, Sequence[str]], Sequence[float]]


class Bearing:
    """How much sentences bear on one value rather than on the other values of an answer, by sentence embeddings.

    Args:
        taxonomy: the values, with definitions and contrastive pairs.
        encode: sentence embeddings.
    """

    def __init__(self, taxonomy: Taxonomy, encode: Encode) -> None:
        self.taxonomy, self.encode = taxonomy, encode
        self._known: dict[str, npt.NDArray[np.float32]] = {}

    def worth(self, values: Sequence[str]) -> Worth:
        """The worth of sentences of comments on these values, the i-th comment being on the i-th."""

        def worth(number: int, sentences: Sequence[str]) -> Sequence[float]:
            others = [other for other in dict.fromkeys(values) if other != values[number]]
            own, *rest = self._vectors([values[number], *others])
            direction = own - np.mean(rest, axis=0) if rest else own
            return [float(one) for one in self.encode(sentences) @ direction]

        return worth

    def _vectors(self, values: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """Of each value the mean embedding [D] of its definition and examples, which is kept."""
        new = [value for value in values if value not in self._known]
        texts = [[self.taxonomy[v].definition, *self.taxonomy.sentences(v)[0][:_EXAMPLES]] for v in new]
        if new:
            ends = np.cumsum([len(row) for row in texts])
            vectors = self.encode([text for row in texts for text in row])
            parts = np.split(vectors, ends[:-1])
            self._known.update(zip(new, (part.mean(axis=0) for part in parts), strict=True))
        return [self._known[value] for value in values]


def distinctness(comments: Sequence[str]) -> Worth:
    """The worth of sentences by how few other comments have their words; for values without examples."""
    spread = Counter(word for text in comments for word in words(text))

    def one(sentence: str) -> float:
        own = words(sentence)
        return sum(math.log(len(comments) / spread[word]) for word in own if spread[word]) / max(1, len(own))

    return lambda _, sentences: [one(sentence) for sentence in sentences]


def salient_sentences(number: int, text: str, worth: Worth, situation: str = "") -> list[str]:
    """Up to two sentences of a comment in their order, the worthiest among them, that can stand without the others.

    A sentence that points back ("This…", "However…") comes with the one before it, or not at all. What only says the
    situation, or itself, again, declines, or is an assistant's talk, is left out where anything else is said.

    Args:
        number: position of the comment.
        text: the comment.
        worth: asked only where there is a choice.
        situation: that is commented.
    """
    said = _without_repetition(split_sentences(text))
    sentences = [one for one in said if _adds(one, situation)] or said
    if len(sentences) <= SENTENCES_PER_VALUE:
        return sentences
    worths = worth(number, sentences)
    ranked = sorted(_standing(sentences), key=lambda group: (-worths[group[-1]], group[-1]))
    chosen = set(ranked[0])
    if len(chosen) < SENTENCES_PER_VALUE:
        # A second one that stands alone, or beside the first.
        chosen |= next((set(group) for group in ranked if len(set(group) - chosen) == 1), set())
    return [sentences[place] for place in sorted(chosen)]


def adds_something(comment: str, situation: str) -> bool:
    """Whether any sentence of a comment says something: more than its situation, or itself, again.

    An assistant's talk to its user says nothing, nor does what declines to comment.

    A sentence says the situation again where it has nearly the same words or most of its sequences of three words. An
    answer to a question, and a denial, say something of their own in the same words. A question that is asked again
    says nothing, nor does a sentence without a word, such as the number of a list.

    Args:
        comment: the whole comment.
        situation: that it is on.
    """
    return any(_adds(sentence, situation) for sentence in split_sentences(comment))


def _adds(sentence: str, situation: str) -> bool:
    if only_declines(sentence):
        return False
    sentence = without_chatter(sentence)
    if not words(sentence) or only_declines(sentence) or repeated_share(sentence) >= _CIRCLING:
        return False
    answers = not _ASKS.isdisjoint(situation) and _ASKS.isdisjoint(sentence)
    if answers or bool(denials(sentence)) != bool(denials(situation)):
        return True
    own, told = (set(n_grams(in_order(text))) for text in (sentence, situation))
    return not alike(sentence, situation) and len(own & told) < _RETOLD * max(1, len(own))


def points_back(sentence: str) -> bool:
    """Whether a sentence begins with a word that points at what was said before; they stand in `comments.toml`."""
    checks, plain = comment_checks(), _beginning(sentence)
    return plain.split(" ", 1)[0] in checks.pointing or _begins(plain, checks.pointing_phrases)


def _points_at_text(sentence: str) -> bool:
    return _begins(_beginning(sentence), comment_checks().pointing_at_text)


def _beginning(sentence: str) -> str:
    """The words of a sentence up to its first apostrophe, in lower case."""
    return " ".join(in_order(sentence.replace("’", "'").split("'")[0]))


def _begins(plain: str, phrases: Sequence[str]) -> bool:
    return any(f"{plain} ".startswith(f"{one} ") for one in phrases)


def _standing(sentences: Sequence[str]) -> list[tuple[int, ...]]:
    """The sentences that say something alone, and pairs of which the second points at the first.

    The first sentence of a comment may point at the text that is commented. Where it says so ("In this situation") it
    stands alone; else ("This is hard") it counts with the one after it, and only where nothing stands alone.
    """
    pointing = [points_back(sentence) for sentence in sentences]
    pointing[0] = pointing[0] and not _points_at_text(sentences[0])
    alone = [(i,) for i in range(len(sentences)) if not pointing[i]]
    pairs = [(i - 1, i) for i in range(1, len(sentences)) if pointing[i] and not pointing[i - 1]]
    return [*alone, *pairs] or [tuple(range(min(len(sentences), SENTENCES_PER_VALUE)))]


def _without_repetition(sentences: Sequence[str]) -> list[str]:
    """The sentences without those that repeat an earlier one word for word."""
    found: dict[tuple[str, ...], str] = {}
    for sentence in sentences:
        found.setdefault(tuple(in_order(sentence)), sentence)
    return list(found.values())
