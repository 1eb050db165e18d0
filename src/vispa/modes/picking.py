"""How well comments fit a target: by a reader, or by sentence embeddings without a language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from vispa.models.encoder import Encoder
from vispa.modes.case import Case
from vispa.modes.prompts import Prompts
from vispa.modes.readings import Reading, read_options
from vispa.modes.templates import filled
from vispa.readers.base import ChatModel, Failure
from vispa.request import LETTERS
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
    """Lets the aggregating model pick: one letter a comment, its option probabilities as the fit."""

    def __init__(self, reader: ChatModel, prompts: Prompts) -> None:
        self.reader, self.prompts = reader, prompts
        self.name = f"reader:{reader.name}"

    def prompt(self, case: Case) -> str:
        """What the reader is asked to pick a case's comment."""
        listed = "\n".join(f"{letter}. {c.text}" for letter, c in zip(LETTERS, case.comments, strict=False))
        return filled(self.prompts.pick, text=case.text, comments=listed, target=case.target)

    def fit(self, cases: Sequence[Case]) -> list[Reading | Failure]:
        """See `Picker.fit`."""
        comments = [[comment.text for comment in case.comments] for case in cases]
        return read_options(self.reader, [self.prompt(case) for case in cases], comments, self.prompts)


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
