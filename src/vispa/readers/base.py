"""The aggregating model: it reads comments, writes answers and weighs options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vispa.request import OptionReadingName

#: Called with the number of prompts just finished.
Progress = Callable[[int], None]
#: Probabilities of one prompt's options, in their order; they sum to 1.
Distribution = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Failure:
    """What one prompt gets instead of an answer; the other prompts go on.

    Attributes:
        reason: what happened and what to do, as sentences.
    """

    reason: str


class Unreached(Failure):
    """The API of the model gave no answer that can be read; later, or for another prompt, it may."""


class Unweighable(Failure):
    """The model cannot be read by option probabilities here; it may be asked to write the letter."""


@dataclass(frozen=True)
class Unfinished(Failure):
    """The model used all its tokens, on its thoughts perhaps, before its answer came."""

    reason: str = "The model used all its tokens before its answer came. Give it more new tokens."


class Limited(str):
    """An answer that its limit of tokens has stopped, not its writer."""


class ChatModel(Protocol):
    """A model that only reads and writes text; it is never steered.

    Attributes:
        name: goes into the record of an answer.
        option_reading: how it is asked which option it favours (`vispa.readers.option_readings`).
    """

    name: str
    option_reading: OptionReadingName

    def write(
        self, prompts: Sequence[str], *, max_new_tokens: int = 300, progress: Progress | None = None
    ) -> list[str | Failure]:
        """What the model says to each prompt, greedily decoded.

        Args:
            prompts: N messages of a user.
            max_new_tokens: longest answer.
            progress: told of finished prompts.

        Returns:
            N answers in the order of the prompts; `Limited` ones where the tokens ran out.

        Raises:
            InputError: something that would make every prompt fail.
        """
        ...

    def option_probabilities(
        self,
        prompts: Sequence[str],
        counts: Sequence[int],
        *,
        progress: Progress | None = None,
        least: float | None = None,
    ) -> list[Distribution | Failure]:
        """For each prompt the distribution over its first `counts[i]` letters (section 3.3 of the paper).

        Args:
            prompts: N texts that end where a letter is due (`… Answer:`).
            counts: number of options of each prompt, 1 to 26.
            progress: told of finished prompts.
            least: mass that the letters must hold together; the model's own measure by default.

        Returns:
            N distributions, the i-th of shape [counts[i]], in the order of the prompts; `Unweighable` where
            the letters hold too little probability, or the model gives none.

        Raises:
            InputError: an unusable number of options, or something that would make every prompt fail.
        """
        ...

    def likelihoods(
        self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]
    ) -> list[npt.NDArray[np.float64] | Failure]:
        """How likely each continuation of each bare prompt is: mean log-probability of its tokens.

        Args:
            prompts: N texts.
            continuations: of each, with the space that parts them from the prompt.

        Raises:
            InputError: the model does not tell.
        """
        ...


def source_of(reader: ChatModel) -> str:
    """Which of all models that go by its name a reader is, where it says so.

    Settings of a run hold it, so that a run is not gone on from with another model: a folder may hold other weights
    today, and a name at another address be another model.

    Args:
        reader: of comments; one of a caller's own need not have a `source`.
    """
    return str(getattr(reader, "source", ""))
