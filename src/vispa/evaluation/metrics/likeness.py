"""How near sentences are to explanations, pair by pair: by entailment, or by embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vispa.models.encoder import Encoder

FloatArray = npt.NDArray[np.float64]
#: Explanations, and sentences to be compared with them.
Compared = tuple[Sequence[str], Sequence[str]]
Progress = Callable[[int], None]
# Vectors have length 1 in float32; what is left below this length is rounding.
_NO_DIRECTION = 1e-3


class Judge(Protocol):
    """Says how probable it is that one text entails another.

    Attributes:
        name: which judge it is.
    """

    name: str

    def entailment(self, pairs: Sequence[tuple[str, str]], progress: Progress | None = None) -> FloatArray:
        """Probability that the first text of each pair (premise) entails the second (hypothesis), [N]."""
        ...


class Tables(Protocol):
    """Numbers for explanations and sentences; each pair or text is judged or encoded once."""

    def read(self, compared: Iterable[Compared]) -> None:
        """Judge or encode what is not known yet, in one go."""
        ...

    def __call__(self, explanations: Sequence[str], sentences: Sequence[str]) -> FloatArray:
        """A number for each explanation and sentence, all of which were read, [explanations, sentences]."""
        ...


def mean_best(table: FloatArray) -> float:
    """Mean over explanations of the best sentence; 0 without sentences. `table` is [explanations, sentences]."""
    return float(table.max(1).mean()) if table.shape[1] else 0.0


class Entailments:
    """Probability that an explanation entails a sentence."""

    def __init__(self, judge: Judge, progress: Progress | None = None) -> None:
        self._judge, self._progress = judge, progress
        self._known: dict[tuple[str, str], float] = {}

    def read(self, compared: Iterable[Compared]) -> None:
        """See `Tables.read`."""
        pairs = dict.fromkeys((e, sentence) for gold, said in compared for e in gold for sentence in said)
        new = [pair for pair in pairs if pair not in self._known]
        self._known.update(zip(new, np.asarray(self._judge.entailment(new, self._progress)).tolist(), strict=True))

    def __call__(self, explanations: Sequence[str], sentences: Sequence[str]) -> FloatArray:
        """See `Tables.__call__`."""
        rows = [[self._known[explanation, sentence] for sentence in sentences] for explanation in explanations]
        return np.array(rows, dtype=np.float64).reshape(len(explanations), len(sentences))


class Cosines:
    """Cosine of the embeddings of explanation and sentence, not below 0."""

    def __init__(self, encoder: Encoder, progress: Progress | None = None) -> None:
        self._encoder, self._progress = encoder, progress
        self._place: dict[str, int] = {}
        self._vectors: FloatArray = np.empty((0, 0))

    def read(self, compared: Iterable[Compared]) -> None:
        """See `Tables.read`."""
        every = list(compared)
        texts = dict.fromkeys(text for column in zip(*every, strict=True) for texts in column for text in texts)
        new = [text for text in texts if text not in self._place]
        if new:
            vectors = self._encoder.encode(new, self._progress).astype(np.float64)
            self._vectors = np.vstack([self._vectors, vectors]) if self._place else vectors
            self._place.update(zip(new, range(len(self._place), len(self._place) + len(new)), strict=True))

    def __call__(self, explanations: Sequence[str], sentences: Sequence[str]) -> FloatArray:
        """See `Tables.__call__`."""
        if not sentences:
            return np.zeros((len(explanations), 0))
        return np.maximum(0.0, self._of(explanations) @ self._of(sentences).T)

    def beyond(self, text: str, explanations: Sequence[str], sentences: Sequence[str]) -> FloatArray:
        """How far sentences go where explanations go beyond a text, not below 0, [explanations, sentences].

        Of each explanation's embedding only what is orthogonal to the text's is kept, at length 1. The text itself
        then scores 0, and a sentence scores by what it says more. All must have been read.
        """
        if not sentences:
            return np.zeros((len(explanations), 0))
        gold, (known,) = self._of(explanations), self._of([text])
        rest = gold - np.outer(gold @ known, known)
        lengths = np.linalg.norm(rest, axis=1, keepdims=True)
        # What says the same as the text has no direction of its own.
        rest = np.where(lengths > _NO_DIRECTION, rest / np.maximum(lengths, _NO_DIRECTION), 0.0)
        return np.maximum(0.0, rest @ self._of(sentences).T)

    def _of(self, texts: Sequence[str]) -> FloatArray:
        return self._vectors[[self._place[text] for text in texts]]
