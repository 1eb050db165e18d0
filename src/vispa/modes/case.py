"""What passes between the stages that read comments: a text with its comments, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vispa.readers.base import Failure
from vispa.records import Claim, Comment
from vispa.request import STANCE_OPTIONS


@dataclass(frozen=True)
class Case:
    """A text with its comments, ready for a mode.

    Attributes:
        text: the situation or question, without options.
        comments: of the selected values; empty where none are used.
        question: the data set's own wording with options, ending in `Answer:`; or None.
        options: what may be answered.
        target: in words; for steerable mode.
        country: whose people are asked, or None.
    """

    text: str
    comments: Sequence[Comment]
    question: str | None = None
    options: tuple[str, ...] = STANCE_OPTIONS
    target: str = ""
    country: str | None = None


@dataclass(frozen=True)
class Aggregated:
    """One response with its sentences, and what was asked for it, by step."""

    response: str
    claims: tuple[Claim, ...]
    prompts: dict[str, str] = field(default_factory=dict)


class Aggregator(Protocol):
    """Reads the comments of each case and writes one response (Overton mode).

    Attributes:
        name: goes into the record of an answer.
    """

    name: str

    def aggregate(self, cases: Sequence[Case]) -> list[Aggregated | Failure]:
        """One response for each case, in their order."""
        ...
