"""Where comments stand: whether each supports what its text describes, opposes it, or does either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, get_args

from vispa.files.visible import is_blank
from vispa.modes.prompts import Prompts
from vispa.modes.questions import lettered
from vispa.modes.readings import read_options
from vispa.modes.templates import filled
from vispa.readers.base import ChatModel, Failure
from vispa.records import Stance
from vispa.request import STANCE_OPTIONS

#: Every stance, in the order of the options that a model is asked to choose from.
STANCES: tuple[Stance, ...] = get_args(Stance)


class StanceReader(Protocol):
    """Says where comments stand.

    Attributes:
        name: goes into the record of an answer.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    def read(self, texts: Sequence[str], comments: Sequence[str]) -> list[dict[Stance, float]]:
        """The stance of each comment to its text.

        Args:
            texts: N texts.
            comments: N comments, one on each.

        Returns:
            N probabilities by stance; none where a comment says nothing, or its stance cannot be read.
        """
        ...


class AskedStances:
    """A `StanceReader`: a model is asked, with the comment as a passage.

    Args:
        reader: reads; never steered.
        prompts: wording.
    """

    def __init__(self, reader: ChatModel, prompts: Prompts) -> None:
        self.reader, self.prompts = reader, prompts
        self.name = f"{reader.option_reading}:{reader.name}"

    def read(self, texts: Sequence[str], comments: Sequence[str]) -> list[dict[Stance, float]]:
        """See `StanceReader.read`."""
        return read_stances(self.reader, texts, comments, self.prompts)


def read_stances(
    reader: ChatModel, texts: Sequence[str], comments: Sequence[str], prompts: Prompts
) -> list[dict[Stance, float]]:
    """The stance of each comment to its text, by a model's reading of it.

    Args:
        reader: reads; never steered.
        texts: N texts.
        comments: N comments, one on each.
        prompts: wording.

    Returns:
        N probabilities by stance; none where a comment says nothing, or its stance cannot be read.
    """
    options = lettered(STANCE_OPTIONS)
    said = [place for place, comment in enumerate(comments) if not is_blank(comment)]
    asked = [filled(prompts.stance, passage=comments[i], text=texts[i], options=options) for i in said]
    found = dict(zip(said, read_options(reader, asked, [STANCE_OPTIONS] * len(said), prompts), strict=True))
    stances: list[dict[Stance, float]] = []
    for place in range(len(comments)):
        reading = found.get(place)
        known = None if reading is None or isinstance(reading, Failure) else reading.distribution
        stances.append({} if known is None else {s: round(float(p), 4) for s, p in zip(STANCES, known, strict=True)})
    return stances
