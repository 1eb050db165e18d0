"""The engine of transformers: prefill, then one token a step for all rows of a batch.

Rows are sorted by length, put into batches under a token budget and padded on the left. A row
that has ended leaves its batch, so long texts are not slowed down by short ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from vispa.errors import InputError
from vispa.generation.continuations import continuation_ids, log_probabilities
from vispa.generation.letters import Masses, letter_tokens
from vispa.generation.prefill import next_logits
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.running import RunningBatch, Writing
from vispa.generation.thoughts import answer_text
from vispa.models.batching import DECODING, pad_left, reading_budget, token_batches
from vispa.models.context import check_context
from vispa.models.encoding import Prompt, chat_prompt, raw_prompt
from vispa.models.loading import LoadedModel
from vispa.request import LETTERS, OptionReadingName
from vispa.steering.bank import VectorBank
from vispa.steering.intervention import ActiveSteering, steering
from vispa.steering.plan import SteeringPlan
from vispa.steering.recipe import Recipe


class TransformersEngine:
    """An `Engine` over a model that transformers has loaded; between batches other threads get their turn.

    Args:
        loaded: the model.
        bank: its directions; without one, rows cannot be steered.
        recipe: of steers that name none; the bank's by default.

    Example:
        >>> engine = TransformersEngine(loaded, bank)
        >>> engine.generate([Row(chat_prompt(loaded, "Hello"), (Steer("karma"),))], Sampling(20))
    """

    def __init__(self, loaded: LoadedModel, bank: VectorBank | None = None, recipe: Recipe | None = None) -> None:
        self.loaded, self.bank, self.recipe = loaded, bank, recipe

    def with_recipe(self, recipe: Recipe | None) -> Self:
        """The same engine with another recipe of steers that name none."""
        return type(self)(self.loaded, self.bank, recipe)

    @property
    def kind(self) -> str:
        """See `Engine`."""
        return "transformers"

    @property
    def device(self) -> str:
        """See `Engine`."""
        return self.loaded.device.type

    @property
    def name(self) -> str:
        """See `Engine`."""
        return self.loaded.name

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

    def generate(
        self, rows: Sequence[Row], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> list[Generated]:
        """See `Engine.generate`."""
        for row in rows:
            check_context(self.loaded, len(row.prompt.ids), sampling.max_new_tokens)
        plan = self.plan(rows)
        results: dict[int, Generated] = {}
        for batch in token_batches([len(row.prompt.ids) + sampling.max_new_tokens for row in rows], DECODING):
            results.update(zip(batch, self._texts([rows[i] for i in batch], sampling, plan), strict=True))
            if progress is not None:
                progress(len(batch))
        return [results[index] for index in range(len(rows))]

    def options(self, rows: Sequence[Row], counts: Sequence[int]) -> list[Masses]:
        """See `Engine.options`."""
        check_options(counts)
        for row in rows:
            check_context(self.loaded, len(row.prompt.ids))
        plan, letters = self.plan(rows), self._letters
        out: list[Masses] = [np.empty(0)] * len(rows)
        for batch in token_batches([len(row.prompt.ids) for row in rows], reading_budget(self.loaded.device)):
            padded = pad_left(self.loaded, [rows[i].prompt.ids for i in batch])
            with self.steered([rows[i] for i in batch], plan):
                logits = next_logits(self.loaded, padded, use_cache=False)
            probabilities = logits.double().softmax(-1).cpu().numpy()
            for place, index in enumerate(batch):
                out[index] = np.array([probabilities[place, tokens].sum() for tokens in letters[: counts[index]]])
        return out

    def likelihoods(self, rows: Sequence[Row], continuations: Sequence[Sequence[str]]) -> list[npt.NDArray[np.float64]]:
        """See `Engine.likelihoods`."""
        tokens: dict[tuple[Row, str], tuple[int, ...]] = {}
        for row, texts in zip(rows, continuations, strict=True):
            for text in texts:
                if (row, text) not in tokens:
                    tokens[row, text] = continuation_ids(self.loaded, row.prompt, text)
                    check_context(self.loaded, len(row.prompt.ids), len(tokens[row, text]))
        keys = list(tokens)
        steered = partial(self.steered, plan=self.plan(rows))
        means: dict[tuple[Row, str], float] = {}
        for place, own in log_probabilities(self.loaded, [row for row, _ in keys], list(tokens.values()), steered):
            ids = torch.tensor(tokens[keys[place]], device=own.device)
            means[keys[place]] = float(own.double().gather(-1, ids[:, None]).mean())
        return [np.array([means[row, text] for text in texts]) for row, texts in zip(rows, continuations, strict=True)]

    @cached_property
    def _letters(self) -> list[list[int]]:
        """See `letter_tokens`; a vocabulary of a hundred thousand tokens is looked through once."""
        return letter_tokens(self.loaded.tokenizer.get_vocab())

    def plan(self, rows: Sequence[Row]) -> SteeringPlan:
        """The tables that these rows gather their shifts from.

        Raises:
            InputError: a steer whose value, estimator or block the bank does not have; or a steer without a bank.
        """
        return planned(self.bank, self.recipe, rows)

    @contextmanager
    def steered(self, rows: Sequence[Row], plan: SteeringPlan) -> Iterator[ActiveSteering]:
        """Steer a batch of rows by a plan that covers them while the context lasts; see `steering`."""
        steers, orthogonal = [row.steers for row in rows], [row.orthogonal for row in rows]
        prompts = [row.prompt for row in rows]
        with steering(self.loaded, plan, steers, orthogonal=orthogonal, prompts=prompts) as active:
            yield active

    def begun(self, rows: Sequence[Writing], plan: SteeringPlan, *, gaps: bool = True) -> RunningBatch:
        """A batch of rows, their prompts read by a plan that covers them; see `RunningBatch`."""
        return RunningBatch(self.loaded, rows, partial(self.steered, plan=plan), self._ends, gaps=gaps)

    def generated(self, writing: Writing, plan: SteeringPlan) -> Generated:
        """The text of a row that has ended, steered by a plan that covers it.

        Raises:
            NumericalError: the row's own.
        """
        return written(self.loaded, writing, plan, self._ends)

    def _texts(self, rows: Sequence[Row], sampling: Sampling, plan: SteeringPlan) -> list[Generated]:
        writings = [Writing(row, sampling) for row in rows]
        with self.loaded.passes():
            batch = self.begun(writings, plan)
            while batch.rows and not batch.failed:
                batch.step()
        failed = [writing for writing in writings if writing.error]
        return [self.generated(writing, plan) for writing in failed or writings]

    @cached_property
    def _ends(self) -> frozenset[int]:
        return end_tokens(self.loaded)


def written(loaded: LoadedModel, writing: Writing, plan: SteeringPlan, ends: frozenset[int]) -> Generated:
    """The text of a row that has ended.

    Args:
        loaded: the model.
        writing: the row.
        plan: of its steering; covers it.
        ends: tokens that end a text.

    Raises:
        NumericalError: the row's own.
    """
    if writing.error is not None:
        raise writing.error
    row, ids = writing.row, tuple(writing.ids)
    answer = answer_text(loaded, row.prompt, ids)
    return Generated(
        text=answer or "",
        tokens=len(ids),
        shift=writing.shift,
        left_out=plan.left_out_of(row.steers),
        unfinished=answer is None,
        ids=ids,
        limited=not ends.intersection(ids[-1:]),
    )


def planned(bank: VectorBank | None, recipe: Recipe | None, rows: Sequence[Row]) -> SteeringPlan:
    """The plan of all steers of some rows.

    Args:
        bank: of the model, if there is one.
        recipe: of steers that name none; the bank's by default.
        rows: to be steered.

    Raises:
        InputError: a steer whose value, estimator or block the bank does not have; or a steer without a bank.
    """
    steers = [steer for row in rows for steer in row.steers]
    if not steers:
        return SteeringPlan.empty()
    if bank is None:
        raise InputError("steers", "need a bank, and this engine has none.", "Give it the model's bank.")
    return bank.plan(steers, recipe)


def check_options(counts: Sequence[int]) -> None:
    """Refuse questions with no options, or with more than there are letters.

    Raises:
        InputError: names the question.
    """
    for number, count in enumerate(counts):
        if not 1 <= count <= len(LETTERS):
            raise InputError("options", f"prompt {number} has {count}.", f"Give 1 to {len(LETTERS)} options.")


def end_tokens(loaded: LoadedModel) -> frozenset[int]:
    """The tokens that end a model's text."""
    configured = getattr(loaded.model.generation_config, "eos_token_id", None)
    found = configured if isinstance(configured, list) else [configured]
    return frozenset(int(token) for token in [*found, loaded.tokenizer.eos_token_id] if token is not None)
