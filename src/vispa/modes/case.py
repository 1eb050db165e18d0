"""What passes between the stages that read comments: a text with its comments, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from vispa.files.visible import is_blank
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

    @property
    def spoken(self) -> tuple[int, ...]:
        """Positions of the comments that say something; the others count for no value."""
        return tuple(place for place, comment in enumerate(self.comments) if not is_blank(comment.text))

    @property
    def silent(self) -> tuple[int, ...]:
        """Positions of the comments that say nothing."""
        return tuple(sorted(set(range(len(self.comments))) - set(self.spoken)))

    def heard(self) -> Case:
        """The case with the comments that say something."""
        return replace(self, comments=[self.comments[place] for place in self.spoken])


#: What a case gets whose comments all are empty.
NOTHING_SAID = Failure(
    "The model gave no comment for any of the values. "
    "Steer less (a lower amount, fewer blocks), allow longer comments, or choose another model."
)


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
