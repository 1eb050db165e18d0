"""What passes between the stages that read comments: a text with its comments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vispa.files.visible import is_blank
from vispa.readers.base import Failure
from vispa.records import Comment, Selection
from vispa.request import STANCE_OPTIONS


@dataclass(frozen=True)
class Case:
    """A text with its comments, ready for a mode.

    Attributes:
        text: the situation or question, without options.
        comments: of the values, in their order; empty where none are used.
        question: the data set's own wording with options, ending in `Answer:`; or None.
        options: what may be answered.
        target: in words; for steerable mode.
        country: whose people are asked, or None.
        values: whose answer it is, most relevant first.
        passages: distributional mode reads comments as passages; False reads the steered model's
            own option probabilities.
        unsteered: slugs of the values toward which the recipe steers at no block.
    """

    text: str
    comments: Sequence[Comment]
    question: str | None = None
    options: tuple[str, ...] = STANCE_OPTIONS
    target: str = ""
    country: str | None = None
    values: tuple[Selection, ...] = ()
    passages: bool = True
    unsteered: tuple[str, ...] = ()

    @property
    def spoken(self) -> tuple[int, ...]:
        """Positions of the comments that say something; the others count for no value."""
        return tuple(place for place, one in enumerate(self.comments) if not (one.refused or is_blank(one.text)))

    @property
    def silent(self) -> tuple[int, ...]:
        """Positions of the comments that say nothing, or refuse to."""
        return tuple(sorted(set(range(len(self.comments))) - set(self.spoken)))

    @property
    def distinct(self) -> tuple[int, ...]:
        """Positions of the comments that say something which no comment before them says."""
        return tuple(place for place in self.spoken if self.comments[place].repeats is None)

    def heard(self) -> Case:
        """The case with the comments that say something."""
        return self.among(self.spoken)

    def among(self, places: Sequence[int]) -> Case:
        """The case with the comments at these positions."""
        return replace(self, comments=[self.comments[place] for place in places])

    @property
    def recorded(self) -> dict[str, Any]:
        """The fields that the records of all modes have, by name."""
        return {
            "text": self.text,
            "values": self.values,
            "comments": tuple(self.comments),
            "silent": tuple(self.comments[place].value for place in self.silent),
        }


#: What a case gets whose comments all are empty or refuse.
NOTHING_SAID = Failure(
    "The model gave no comment for any of the values, or refused to. "
    "Steer less (a lower amount, fewer blocks), allow longer comments, or choose another model."
)
