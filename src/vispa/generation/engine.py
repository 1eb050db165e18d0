"""What an engine is: it turns rows into texts, and option questions into masses of their letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vispa.generation.letters import Masses
from vispa.generation.rows import Generated, Row, Sampling
from vispa.models.encoding import Prompt
from vispa.request import OptionReadingName


class Engine(Protocol):
    """A language model with the directions that it can be steered by.

    It holds the model, its bank and the recipe of steers that name none; how rows become batches is its own affair.

    Attributes:
        kind: its name in `vispa.generation.engines.ENGINES`.
        device: kind of device that the model runs on.
        name: of the model, as the caller asked for it.
        fingerprint: of the model's weights (`vispa.models.fingerprint`).
        settings: what else may change its texts, as JSON can say it; the same settings are needed to go on with a run.
        option_reading: how this model is best asked which option it favours (`vispa.readers.option_readings`).
        least_option_mass: what the letters of options must hold together for this model to be weighed by them.
    """

    @property
    def kind(self) -> str:
        """See the class."""
        ...

    @property
    def device(self) -> str:
        """See the class."""
        ...

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def fingerprint(self) -> str:
        """See the class."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """See the class."""
        ...

    @property
    def option_reading(self) -> OptionReadingName:
        """See the class."""
        ...

    @property
    def least_option_mass(self) -> float:
        """See the class."""
        ...

    def chat_prompt(self, message: str, subject: str | None = None) -> Prompt:
        """What the model continues when a user says something: in its chat template, where it has one.

        Args:
            message: what is said.
            subject: the part of it that it is about; see `Prompt.subject`.
        """
        ...

    def raw_prompt(self, text: str) -> Prompt:
        """What the model continues when it is given a bare text."""
        ...

    def steers(self, value: str) -> bool:
        """Whether the recipe steers toward a value at any block.

        Raises:
            InputError: a value that the bank does not have.
        """
        ...

    def generate(
        self, rows: Sequence[Row], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> list[Generated]:
        """The texts that continue the rows' prompts, in their order.

        Args:
            rows: N prompts with their steers.
            sampling: how to decode.
            progress: called with the number of rows just finished.

        Raises:
            InputError: a steer whose value, estimator or block the bank does not have.
            NumericalError: a logit, activation or shift is not finite.
            ContextError: a row's prompt and text are longer than the model's context; nothing was computed.
        """
        ...

    def options(self, rows: Sequence[Row], counts: Sequence[int]) -> list[Masses]:
        """For each row the next-token probabilities of its first `counts[i]` letters.

        A letter's mass is summed over all tokens that write it (`vispa.generation.letters`). Masses are
        not normalised: together they say whether a letter follows at all; `vispa.readers.weighing`
        makes distributions of them.

        Args:
            rows: N prompts that end where a letter is due (`… Answer:`), raw: without chat template (section 3.3 of
                the paper).
            counts: number of options of each row, 1 to 26.

        Returns:
            N arrays of masses, the i-th of shape [counts[i]].

        Raises:
            InputError: an unusable number of options, or a steer as in `generate`.
            NumericalError: a logit, activation or shift is not finite.
            ContextError: a prompt is longer than the model's context; nothing was computed.
        """
        ...

    def likelihoods(self, rows: Sequence[Row], continuations: Sequence[Sequence[str]]) -> list[npt.NDArray[np.float64]]:
        """How likely each of a row's continuations is: the mean log-probability of its tokens.

        Args:
            rows: N prompts; each is read once, whatever the number of its continuations.
            continuations: of each row, with the space that parts them from the prompt.

        Returns:
            N arrays, the i-th of shape [len(continuations[i])], in nats per token.

        Raises:
            InputError: a steer as in `generate`.
            NumericalError: a logit, activation or shift is not finite.
            ContextError: a prompt and a continuation are longer than the model's context; nothing was computed.
        """
        ...
