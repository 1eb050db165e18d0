"""What engines of models that were loaded here have in common, whatever runs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from vispa.errors import InputError
from vispa.generation.continuations import continuation_ids
from vispa.generation.letters import Masses, letter_tokens
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.running import Writing
from vispa.generation.thoughts import answer_text
from vispa.models.batching import Budget, token_batches
from vispa.models.context import check_context
from vispa.models.encoding import Prompt, chat_prompt, raw_prompt
from vispa.models.loading import LoadedModel
from vispa.once import once_property
from vispa.request import LETTERS, OptionReadingName
from vispa.steering.bank import VectorBank
from vispa.steering.plan import SteeringPlan
from vispa.steering.recipe import Recipe


class HeldEngine(ABC):
    """An `Engine` of a model that was loaded here.

    Args:
        loaded: the model.
        bank: its directions; without one, rows cannot be steered.
        recipe: of steers that name none; the bank's by default.
    """

    def __init__(self, loaded: LoadedModel, bank: VectorBank | None = None, recipe: Recipe | None = None) -> None:
        self.loaded, self.bank, self.recipe = loaded, bank, recipe

    @abstractmethod
    def with_recipe(self, recipe: Recipe | None) -> Self:
        """The same engine with another recipe of steers that name none."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """See `Engine`."""

    @property
    @abstractmethod
    def device(self) -> str:
        """See `Engine`."""

    @property
    def name(self) -> str:
        """See `Engine`."""
        return self.loaded.name

    @property
    def fingerprint(self) -> str:
        """See `Engine`."""
        return self.loaded.fingerprint

    @property
    def settings(self) -> Mapping[str, Any]:
        """See `Engine`; none, unless an engine has some of its own."""
        return {}

    @property
    def option_reading(self) -> OptionReadingName:
        """See `Engine`."""
        return self.loaded.option_reading

    @property
    def least_option_mass(self) -> float:
        """See `Engine`."""
        return self.loaded.least_option_mass

    def chat_prompt(self, message: str, subject: str | None = None) -> Prompt:
        """See `Engine.chat_prompt`."""
        return chat_prompt(self.loaded, message, subject)

    def raw_prompt(self, text: str) -> Prompt:
        """See `Engine.raw_prompt`."""
        return raw_prompt(self.loaded, text)

    def steers(self, value: str) -> bool:
        """See `Engine.steers`."""
        return self.bank is not None and self.bank.steers(value, self.recipe)

    @abstractmethod
    def generate(
        self, rows: Sequence[Row], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> list[Generated]:
        """See `Engine.generate`."""

    @abstractmethod
    def options(self, rows: Sequence[Row], counts: Sequence[int]) -> list[Masses]:
        """See `Engine.options`."""

    @abstractmethod
    def likelihoods(self, rows: Sequence[Row], continuations: Sequence[Sequence[str]]) -> list[npt.NDArray[np.float64]]:
        """See `Engine.likelihoods`."""

    def reading_parts(self, rows: Sequence[Row], budget: Budget) -> list[tuple[list[int], int]]:
        """Places of rows in parts that `options` may be asked for apart, each with the tokens read for it.

        A part is what a pass holds, padding included, or a row that is more by itself.

        Raises:
            InputError: see `plan`.
        """
        parts = list(token_batches([len(row.prompt.ids) for row in rows], budget))
        parts = parts if len(parts) > 1 else [list(range(len(rows)))]
        return [(part, padded_tokens([rows[at] for at in part])) for part in parts]

    def plan(self, rows: Sequence[Row]) -> SteeringPlan:
        """The tables that these rows gather their shifts from.

        Raises:
            InputError: a steer whose value, estimator or block the bank does not have; or a steer without a bank.
        """
        steers = [steer for row in rows for steer in row.steers]
        if not steers:
            return SteeringPlan.empty()
        if self.bank is None:
            raise InputError("steers", "need a bank, and this engine has none.", "Give it the model's bank.")
        return self.bank.plan(steers, self.recipe)

    def generated(self, writing: Writing, plan: SteeringPlan) -> Generated:
        """The text of a row that has ended, steered by a plan that covers it.

        Raises:
            NumericalError: the row's own.
        """
        if writing.error is not None:
            raise writing.error
        row, ids = writing.row, tuple(writing.ids)
        answer = answer_text(self.loaded, row.prompt, ids)
        return Generated(
            text=answer or "",
            tokens=len(ids),
            shift=writing.shift,
            left_out=plan.left_out_of(row.steers),
            unfinished=answer is None,
            ids=ids,
            limited=not self._ends.intersection(ids[-1:]),
        )

    def _check(self, rows: Sequence[Row], *further: int) -> None:
        """Refuse rows that, with so many further tokens, are longer than the model's context."""
        for row in rows:
            check_context(self.loaded, len(row.prompt.ids), *further)

    def _continued(
        self, rows: Sequence[Row], continuations: Sequence[Sequence[str]], *, beyond: int = 0
    ) -> dict[tuple[Row, str], tuple[int, ...]]:
        """The tokens of each row's continuations, each once; with so many beyond them they must be in the context."""
        tokens: dict[tuple[Row, str], tuple[int, ...]] = {}
        for row, texts in zip(rows, continuations, strict=True):
            for text in texts:
                if (row, text) not in tokens:
                    tokens[row, text] = continuation_ids(self.loaded, row.prompt, text)
                    check_context(self.loaded, len(row.prompt.ids), len(tokens[row, text]) + beyond)
        return tokens

    @once_property
    def _letters(self) -> list[list[int]]:
        """See `letter_tokens`; a vocabulary of a hundred thousand tokens is looked through once."""
        return letter_tokens(self.loaded.tokenizer.get_vocab())

    @once_property
    def _ends(self) -> frozenset[int]:
        """The tokens that end a model's text."""
        configured = getattr(self.loaded.model.generation_config, "eos_token_id", None)
        found = configured if isinstance(configured, list) else [configured]
        ends = [*found, self.loaded.tokenizer.eos_token_id]
        return frozenset(int(token) for token in ends if token is not None)


def padded_tokens(rows: Sequence[Row]) -> int:
    """The tokens of prompts that are brought to one length."""
    return len(rows) * max((len(row.prompt.ids) for row in rows), default=0)


def check_options(counts: Sequence[int]) -> None:
    """Refuse questions with no options, or with more than there are letters.

    Raises:
        InputError: names the question.
    """
    for number, count in enumerate(counts):
        if not 1 <= count <= len(LETTERS):
            raise InputError("options", f"prompt {number} has {count}.", f"Give 1 to {len(LETTERS)} options.")
