"""What an Overton answer is rewarded for: that many of the values at stake speak, none twice, at a bounded length."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from vispa.models.encoder import Encoder
from vispa.models.sentences import split_sentences
from vispa.taxonomy import Taxonomy

FloatArray = npt.NDArray[np.float64]

#: Values that are enough: as many as VISPA answers with.
ENOUGH = 6
#: Words that cost nothing: about as many as VISPA's answers have.
LONGEST = 110
#: A sentence speaks for a value where it is nearer to it, by so many standard deviations, than sentences of others are.
NEAR = 1.0
#: Example sentences of a value that a sentence is compared with, of all the nearest.
_NEAREST = 3


@dataclass(frozen=True)
class Rewarded:
    """The parts of an answer's reward.

    Attributes:
        coverage: share of the values at stake, or of `ENOUGH` where they are more, that a sentence speaks for.
        likeness: how much more alike its sentences are than those of different values, 0 to 1.
        excess: words beyond `LONGEST`, as a share of it, at most 1.
    """

    coverage: float
    likeness: float
    excess: float

    @property
    def total(self) -> float:
        """Coverage less the others."""
        return self.coverage - self.likeness - self.excess


class OvertonReward:
    """Rewards answers by sentence embeddings, as the values of a taxonomy are described: no judge has learnt for it.

    A sentence is near a value by its cosine to the definition plus the mean of those to the three nearest examples, and
    speaks for the value that it is nearest to, if it is near enough. Both in standard deviations from what example
    sentences of other values have, so that no value is heard more easily than another.

    Args:
        taxonomy: at least two values.
        encoder: of sentences.
        examples: sentences of each value to compare with, the first so many.
    """

    def __init__(self, taxonomy: Taxonomy, encoder: Encoder, examples: int = 40) -> None:
        self.values = tuple(taxonomy)
        self._encoder, self._places = encoder, {value: place for place, value in enumerate(self.values)}
        self._definitions = encoder.encode([taxonomy[value].definition for value in self.values])
        sentences = [taxonomy.sentences(value)[0][:examples] for value in self.values]
        owner = np.repeat(np.arange(len(self.values)), [len(own) for own in sentences])
        vectors = encoder.encode([sentence for own in sentences for sentence in own])
        self._examples, self._starts = vectors, np.flatnonzero(np.diff(owner, prepend=-1))
        self._usual, self._spread = 0.0, 1.0
        others = np.where(owner[:, None] == np.arange(len(self.values)), np.nan, self._nearness(vectors))
        self._usual, self._spread = np.nanmean(others, axis=0), np.nanstd(others, axis=0)
        apart = owner[:, None] != owner
        self._unlike = float((vectors @ vectors.T)[apart].mean())

    def __call__(self, answers: Sequence[str], stakes: Sequence[Collection[str]]) -> list[Rewarded]:
        """The rewards of N answers.

        Args:
            answers: texts.
            stakes: slugs of the values at stake in what each answers, at least one.
        """
        said = [split_sentences(answer) for answer in answers]
        # Once each: the last bits of a vector hang on what it is read beside, and answers repeat.
        places = {text: place for place, text in enumerate(dict.fromkeys(text for own in said for text in own))}
        vectors = self._encoder.encode(list(places))
        heard = self.heard(vectors)
        found = []
        for answer, own, stake in zip(answers, said, stakes, strict=True):
            rows = [places[text] for text in own]
            wanted = {self._places[value] for value in stake}
            covered = len(wanted & set(heard[rows].tolist())) / min(len(wanted), ENOUGH)
            excess = min(1.0, max(0.0, len(answer.split()) / LONGEST - 1))
            found.append(Rewarded(min(1.0, covered), self._likeness(vectors[rows]), excess))
        return found

    def heard(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """The place of the value that each of N embedded sentences speaks for, [N]; -1 for none."""
        near = (self._nearness(vectors) - self._usual) / self._spread
        return np.where(near.max(1, initial=-np.inf) >= NEAR, near.argmax(1), -1)

    def finds(self, sentences: Sequence[Sequence[str]]) -> float:
        """How often the value of sentences is heard that are known to speak for it; those of each value, in order."""
        owner = np.repeat(np.arange(len(self.values)), [len(own) for own in sentences])
        heard = self.heard(self._encoder.encode([text for own in sentences for text in own]))
        return float((heard == owner).mean())

    def _nearness(self, vectors: npt.NDArray[np.float32]) -> FloatArray:
        """[N, V] cosine to the definition, and mean of those to the nearest examples."""
        cosines = (vectors @ self._examples.T).astype(np.float64)
        nearest = [np.sort(own, axis=1)[:, -_NEAREST:].mean(1) for own in np.split(cosines, self._starts[1:], axis=1)]
        return np.asarray(np.stack(nearest, axis=1) + vectors @ self._definitions.T, dtype=np.float64)

    def _likeness(self, vectors: npt.NDArray[np.float32]) -> float:
        count = len(vectors)
        if count < 2:
            return 0.0
        mean = float((vectors @ vectors.T)[~np.eye(count, dtype=bool)].mean())
        return min(1.0, max(0.0, (mean - self._unlike) / (1 - self._unlike)))


def means(rewarded: Sequence[Rewarded]) -> dict[str, float]:
    """The mean of every part, and of the whole as `reward`."""
    columns = {name: float(np.mean([asdict(one)[name] for one in rewarded])) for name in asdict(rewarded[0])}
    return {"reward": float(np.mean([one.total for one in rewarded])), **columns}
