"""Overton mode: one response that reflects all comments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vispa.records import Comment, Sentence


class Aggregator(Protocol):
    """Reads the comments and writes one response.

    Attributes:
        name: goes into the record of an answer.
    """

    name: str

    def aggregate(self, comments: Sequence[Comment]) -> tuple[Sentence, ...]:
        """The response's sentences, each with the values whose comments say it."""
        ...


def overton_response(aggregator: Aggregator, comments: Sequence[Comment]) -> tuple[str, tuple[Sentence, ...]]:
    """The response as one text, and its sentences."""
    sentences = aggregator.aggregate(comments)
    return "\n".join(sentence.text for sentence in sentences), sentences
