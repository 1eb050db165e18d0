"""A local model as the aggregating model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from vispa.generation.engine import Engine
from vispa.generation.rows import Generated, Row, Sampling
from vispa.readers.apart import answered_apart
from vispa.readers.base import Distribution, Failure, Limited, Progress, Unfinished
from vispa.readers.weighing import weighed
from vispa.request import OptionReadingName

_logger = logging.getLogger(__name__)


def said(generated: Generated) -> str | Failure:
    """The text that a model has generated, if it came to one."""
    if generated.unfinished:
        return Unfinished()
    return Limited(generated.text) if generated.limited else generated.text


class LocalChat:
    """A `ChatModel` made of a model that runs here, unsteered and greedy.

    Messages go through the model's chat template, questions with options go in raw.

    Args:
        engine: of the model.
        option_reading: instead of the model's own.
    """

    def __init__(self, engine: Engine, option_reading: OptionReadingName | None = None) -> None:
        self.engine, self.name = engine, engine.name
        self.option_reading = option_reading or engine.option_reading
        if self.option_reading == "letters" != engine.option_reading:
            _say_letters(self.name)

    @property
    def source(self) -> str:
        """See `source_of`: the fingerprint of the model's weights."""
        return self.engine.fingerprint

    def write(
        self, prompts: Sequence[str], *, max_new_tokens: int = 300, progress: Progress | None = None
    ) -> list[str | Failure]:
        """See `ChatModel.write`."""
        if not prompts:
            return []

        def write(part: Sequence[str]) -> Sequence[str | Failure]:
            rows = [Row(self.engine.chat_prompt(prompt)) for prompt in part]
            return [said(one) for one in self.engine.generate(rows, Sampling(max_new_tokens), progress)]

        return answered_apart(prompts, write, lambda error: Failure(str(error)))

    def option_probabilities(
        self,
        prompts: Sequence[str],
        counts: Sequence[int],
        *,
        progress: Progress | None = None,
        least: float | None = None,
    ) -> list[Distribution | Failure]:
        """See `ChatModel.option_probabilities`; progress is told once, at the end."""
        if not prompts:
            return []

        def weigh(part: Sequence[tuple[str, int]]) -> Sequence[Distribution | Failure]:
            rows = [Row(self.engine.raw_prompt(prompt)) for prompt, _ in part]
            masses = self.engine.options(rows, [count for _, count in part])
            return [weighed(one, self.engine.least_option_mass if least is None else least) for one in masses]

        asked = list(zip(prompts, counts, strict=True))
        found = answered_apart(asked, weigh, lambda error: Failure(str(error)))
        if progress is not None:
            progress(len(prompts))
        return found

    def likelihoods(
        self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]
    ) -> list[npt.NDArray[np.float64] | Failure]:
        """See `ChatModel.likelihoods`."""
        if not prompts:
            return []

        def score(part: Sequence[tuple[str, Sequence[str]]]) -> Sequence[npt.NDArray[np.float64] | Failure]:
            rows = [Row(self.engine.raw_prompt(prompt)) for prompt, _ in part]
            return self.engine.likelihoods(rows, [texts for _, texts in part])

        asked = list(zip(prompts, continuations, strict=True))
        return answered_apart(asked, score, lambda error: Failure(str(error)))


@cache
def _say_letters(model: str) -> None:
    _logger.warning(
        "%s is read by letters in one order, and may say a letter whatever stands there. `vispa doctor %s "
        "--option-reading letters` measures it.",
        model,
        model,
    )
