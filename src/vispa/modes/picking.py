"""How well comments fit a target: by a reader, or by sentence embeddings without a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from vispa.models.encoder import Encoder
from vispa.modes.case import Case
from vispa.modes.prompts import Prompts
from vispa.modes.readings import Reading, by_case, read_options
from vispa.modes.templates import filled
from vispa.readers.base import ChatModel, Failure
from vispa.request import LETTERS, MAX_OPTIONS
from vispa.taxonomy import Taxonomy

# Cosine similarities lie close together; this makes their differences count in the softmax.
_SHARPNESS = 20.0


class Picker(Protocol):
    """Says how well each comment of a case fits its target.

    Attributes:
        name: goes into the record of an answer.
    """

    name: str

    def fit(self, cases: Sequence[Case]) -> list[Reading | Failure]:
        """For each case a distribution over its comments."""
        ...


class ReaderPicker:
    """Lets the aggregating model pick: one letter a comment, its option probabilities as the fit.

    More comments than there are letters are read in groups, whose best are then read together.
    """

    def __init__(self, reader: ChatModel, prompts: Prompts) -> None:
        self.reader, self.prompts = reader, prompts
        self.name = f"reader:{reader.name}"

    def prompt(self, case: Case) -> str:
        """What the reader is asked to pick a case's comment, of no more than there are letters."""
        listed = "\n".join(f"{letter}. {c.text}" for letter, c in zip(LETTERS, case.comments, strict=False))
        return filled(self.prompts.pick, text=case.text, comments=listed, target=case.target)

    def fit(self, cases: Sequence[Case]) -> list[Reading | Failure]:
        """See `Picker.fit`."""
        groups = [_groups(case) for case in cases]
        read = self._read([one for row in groups for one in row])
        found = by_case(read, [len(row) for row in groups])
        several = {i: row for i, row in enumerate(found) if not isinstance(row, Failure) and len(row) > 1}
        last = self.fit([_best(groups[i], row) for i, row in several.items()]) if several else []
        joined = {i: _joined(row, final) for (i, row), final in zip(several.items(), last, strict=True)}
        return [row if isinstance(row, Failure) else joined.get(i) or row[0].verdict for i, row in enumerate(found)]

    def _read(self, cases: Sequence[Case]) -> list[Reading | Failure]:
        comments = [[comment.text for comment in case.comments] for case in cases]
        asked = [self.prompt(case) for case in cases]
        return read_options(self.reader, asked, comments, self.prompts, decided=False)


def _groups(case: Case) -> list[Case]:
    """The case with some of its comments each, as many as possible alike and no more than there are letters."""
    total = len(case.comments)
    count = -(-total // MAX_OPTIONS)
    return [case.among(range(total * part // count, total * (part + 1) // count)) for part in range(count)]


def _best(groups: Sequence[Case], found: Sequence[Reading]) -> Case:
    """The case with the comment of each group that fits best."""
    best = [group.comments[int(one.distribution.argmax())] for group, one in zip(groups, found, strict=True)]
    return replace(groups[0], comments=best)


def _joined(found: Sequence[Reading], final: Reading | Failure) -> Reading | Failure:
    """One reading of the groups' own and that of their best, which keeps the ratios of all of them.

    A group in which no comment is clearly ahead counts as such only where its best is the best of all.
    """
    if isinstance(final, Failure):
        return final
    if doubt := found[int(final.distribution.argmax())].doubt:
        return doubt
    pairs = zip(found, final.distribution, strict=True)
    shares = np.concatenate([share * one.distribution / one.distribution.max() for one, share in pairs])
    return replace(final, distribution=shares / shares.sum())


class EmbeddingPicker:
    """Compares the target with each value's name, definition and comment.

    Args:
        encoder: of the sentences.
        taxonomy: the values of the comments.
    """

    def __init__(self, encoder: Encoder, taxonomy: Taxonomy) -> None:
        self.encoder, self.taxonomy = encoder, taxonomy
        self.name = f"embedding:{encoder.name}"

    def fit(self, cases: Sequence[Case]) -> list[Reading | Failure]:
        """For each case a distribution over its comments: the softmax of the cosine similarities."""
        texts = [self._described(comment.value, comment.text) for case in cases for comment in case.comments]
        vectors = self.encoder.encode([*(case.target for case in cases), *texts])
        fits: list[Reading | Failure] = []
        start = len(cases)
        for number, case in enumerate(cases):
            cosines = vectors[start : start + len(case.comments)] @ vectors[number]
            start += len(case.comments)
            weights = np.exp(_SHARPNESS * (cosines - cosines.max()).astype(np.float64))
            fits.append(Reading(weights / weights.sum()))
        return fits

    def _described(self, value: str, comment: str) -> str:
        found = self.taxonomy[value]
        return f"{found.label}: {found.definition} {comment}"
