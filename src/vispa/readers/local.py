"""A local model as the aggregating model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vispa.generation.letters import Masses
from vispa.generation.rows import Generated
from vispa.readers.apart import answered_apart
from vispa.readers.base import Distribution, Failure, Progress, Unfinished
from vispa.readers.weighing import weighed
from vispa.request import LEAST_OPTION_MASS


class Writer(Protocol):
    """Writes without steering."""

    def __call__(
        self, prompts: Sequence[str], max_new_tokens: int, progress: Progress | None
    ) -> Sequence[str | Failure]:
        """One greedily decoded text for each prompt, in their order, or why there is none."""
        ...


class OptionReader(Protocol):
    """Weighs options without steering."""

    def __call__(self, prompts: Sequence[str], counts: Sequence[int]) -> Sequence[Masses]:
        """For each raw prompt, no chat template, the masses of its first `counts[i]` letters."""
        ...


def said(generated: Generated) -> str | Failure:
    """The text that a model has generated, if it came to one."""
    return Unfinished() if generated.unfinished else generated.text


class LocalChat:
    """A `ChatModel` made of two functions of a model that runs here.

    The functions come from outside because decoding belongs to another stage.

    Args:
        name: of the model.
        write: see `Writer`; it also puts each prompt in the model's chat template.
        options: see `OptionReader`.
        least_option_mass: what the letters must hold together to be weighed.
    """

    def __init__(
        self, name: str, write: Writer, options: OptionReader, least_option_mass: float = LEAST_OPTION_MASS
    ) -> None:
        self.name, self.least_option_mass = name, least_option_mass
        self._write, self._options = write, options

    def write(
        self, prompts: Sequence[str], *, max_new_tokens: int = 300, progress: Progress | None = None
    ) -> list[str | Failure]:
        """See `ChatModel.write`."""
        if not prompts:
            return []

        def write(part: Sequence[str]) -> Sequence[str | Failure]:
            return self._write(part, max_new_tokens, progress)

        return answered_apart(prompts, write, lambda error: Failure(str(error)))

    def option_probabilities(
        self, prompts: Sequence[str], counts: Sequence[int], *, progress: Progress | None = None
    ) -> list[Distribution | Failure]:
        """See `ChatModel.option_probabilities`; progress is told once, at the end."""
        if not prompts:
            return []

        def weigh(part: Sequence[tuple[str, int]]) -> Sequence[Distribution | Failure]:
            masses = self._options([prompt for prompt, _ in part], [count for _, count in part])
            return [weighed(one, self.least_option_mass) for one in masses]

        asked = list(zip(prompts, counts, strict=True))
        found = answered_apart(asked, weigh, lambda error: Failure(str(error)))
        if progress is not None:
            progress(len(prompts))
        return found
