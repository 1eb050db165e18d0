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

    def aggregate(self, comments: Sequence[Comment]) -> tuple[str, tuple[Sentence, ...]]:
        """The response, and its sentences with the slugs of the values whose comments say them."""
        ...
