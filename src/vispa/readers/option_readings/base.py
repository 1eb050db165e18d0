"""What a reading of options is, and what it reads: questions whose options can be put in another order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from vispa.once import once_property
from vispa.readers.base import Distribution, Failure
from vispa.request import LETTERS, OptionReadingName

#: Mean log-probability per token of each of a prompt's continuations.
Likelihoods = npt.NDArray[np.float64]

#: Which option comes first, second, and so on.
Order = tuple[int, ...]

#: Where the likeliest option changes with the order, how far the best must be ahead on average.
LEAST_LEAD = 0.1
#: Below this lead, which of two options counts as the likelier is an accident.
LEVEL = 1e-6

#: How a list marks an option: A. or A) or (A).
MARK = r"\(?{}[.):]"
# Texts that ask without content: what the model makes of them is its habit (Zhao et al. 2021, arXiv 2102.09690).
_NOTHING = "Question: N/A"
_ANSWER = "Answer:"


@dataclass(frozen=True)
class Reading:
    """An answer to a question with options.

    Attributes:
        distribution: over the options; all on one where the model wrote its letter.
        prompt: what the model was asked in the end; empty where none was.
        written: the letter was written, not weighed.
        doubt: why no option can be named, `DISPUTED` or `LEVELLED`; None where one is ahead.
    """

    distribution: Distribution
    prompt: str = ""
    written: bool = False
    doubt: Failure | None = None

    @property
    def disputed(self) -> bool:
        """Whether no option is clearly ahead."""
        return self.doubt is not None

    @property
    def verdict(self) -> Reading | Failure:
        """The reading where one option is meant, or why none can be named."""
        return self.doubt or self


#: What a question gets where one option is wanted, and which is the likeliest changes with their order.
DISPUTED = Failure(
    "The answer could not be read: the likeliest option changes with the order of the options, and none is at least "
    f"{LEAST_LEAD:.0%} ahead on average. Choose another model to read options, or another option reading."
)
#: What a question gets where one option is wanted, and two are as likely.
LEVELLED = Failure(
    "The answer could not be read: the two likeliest options are level. Choose another model to read options, another "
    "option reading, or options that differ more."
)
#: What a question gets whose list of options is not found, where it is needed.
UNLISTED = Failure(
    "The question does not list its options as A. … B. …, so they cannot be put in another order or left out. "
    "Choose the option reading letters, or reword the question."
)


def list_pattern(options: Sequence[str]) -> str:
    """Regular expression of a list of exactly these options, however spaced; a group for each option's text."""
    texts = [r"\s+".join(map(re.escape, option.split())) for option in options]
    parts = [rf"{MARK.format(letter)}\s+({text})" for letter, text in zip(LETTERS, texts, strict=False)]
    return r"(?:^|\s)(?:Options:\s*)?" + r"\s+".join(parts)


@dataclass(frozen=True)
class OptionQuestion:
    """A question with options.

    Attributes:
        text: ends where a letter is due (`… Answer:`).
        options: 1 to 26.
    """

    text: str
    options: tuple[str, ...]

    @property
    def is_listed(self) -> bool:
        """Whether the options stand in the text as a list."""
        return self._list is not None

    def in_order(self, order: Order) -> str:
        """The text with the same letters before other options."""
        return self._reordered(self.text, 0, order)

    def blank(self, order: Order) -> str:
        """The options in an order, after nothing that could be asked."""
        return _NOTHING + self._reordered(self.text[self._found.start() :], self._found.start(), order)

    @property
    def bare(self) -> str:
        """The text without the list of options."""
        return self.text[: self._found.start()] + self.text[self._found.end() :]

    @once_property
    def _list(self) -> re.Match[str] | None:
        # The last one: what is asked about may hold a list of the same options.
        found = re.finditer(list_pattern(self.options) + r"(?=\s|$)", self.text)
        return max(found, key=lambda one: one.start(), default=None)

    @property
    def _found(self) -> re.Match[str]:
        assert self._list is not None
        return self._list

    def _reordered(self, text: str, offset: int, order: Order) -> str:
        parts, end = [], 0
        for place, option in enumerate(order, start=1):
            start, after = (edge - offset for edge in self._found.span(place))
            parts += [text[end:start], self._found[option + 1]]
            end = after
        return "".join([*parts, text[end:]])


#: What words are continued after, where nothing is asked.
BLANK_BARE = f"{_NOTHING}\n{_ANSWER}"


class Source(Protocol):
    """A model as readings ask it; `numbers` say for each text which question it belongs to."""

    def letters(
        self, numbers: Sequence[int], questions: Sequence[OptionQuestion], least: float | None
    ) -> list[Reading | Failure]:
        """Answers by the options' letters, in their given order; in writing where these hold too little mass.

        Args:
            numbers: of the questions that are asked of the model.
            questions: as they are put.
            least: mass that the letters must hold together; the model's own measure by default.
        """
        ...

    def likelihoods(
        self, numbers: Sequence[int], texts: Sequence[str], continuations: Sequence[Sequence[str]]
    ) -> list[Likelihoods | Failure]:
        """Mean log-probability per token of each continuation of each text."""
        ...


class OptionReading(Protocol):
    """Reads which options a model favours.

    Attributes:
        name: as settings and records say it.
    """

    name: ClassVar[OptionReadingName]

    def read(self, source: Source, questions: Sequence[OptionQuestion]) -> list[Reading | Failure]:
        """An answer to each question, all in batches."""
        ...


def share_of_one(question: OptionQuestion) -> Reading | Failure | None:
    """What needs no model: a lone option, or that the list of options is not found; None for the others."""
    if len(question.options) == 1:
        return Reading(np.ones(1), question.text)
    return None if question.is_listed else UNLISTED
