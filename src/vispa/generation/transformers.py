"""The engine of transformers: prefill, then one token a step for all rows of a batch.

Rows are sorted by length, put into batches under a token budget and padded on the left. A row
that has ended leaves its batch, so long texts are not slowed down by short ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache

from vispa.generation.beginnings import reading_batches, reading_tokens
from vispa.generation.cache import new_cache
from vispa.generation.continuations import log_probabilities
from vispa.generation.held import HeldEngine, check_options, padded_tokens
from vispa.generation.letters import Masses
from vispa.generation.prefill import is_plain, prefill
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.running import RunningBatch, Writing
from vispa.models.batching import DECODING, Budget, reading_budget, token_batches
from vispa.once import once_property
from vispa.steering.intervention import ActiveSteering, steering
from vispa.steering.plan import SteeringPlan
from vispa.steering.recipe import Recipe


class TransformersEngine(HeldEngine):
    """An `Engine` over a model that transformers has loaded; between batches other threads get their turn.

    Args:
        loaded: the model.
        bank: its directions; without one, rows cannot be steered.
        recipe: of steers that name none; the bank's by default.

    Example:
        >>> engine = TransformersEngine(loaded, bank)
        >>> engine.generate([Row(chat_prompt(loaded, "Hello"), (Steer("karma"),))], Sampling(20))
    """

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

    def generate(
        self, rows: Sequence[Row], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> list[Generated]:
        """See `Engine.generate`."""
        self._check(rows, sampling.max_new_tokens)
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
        self._check(rows)
        plan, letters = self.plan(rows), self._letters
        out: list[Masses] = [np.empty(0)] * len(rows)
        for batch in self._reading_batches(rows, plan, reading_budget(self.loaded.device)):
            own = [rows[i] for i in batch]
            with self.steered(own, plan) as active:
                logits, _, _ = prefill(self.loaded, own, active, new_cache(self.loaded.model.config), 0)
            probabilities = logits.double().softmax(-1).cpu().numpy()
            for place, index in enumerate(batch):
                out[index] = np.array([probabilities[place, tokens].sum() for tokens in letters[: counts[index]]])
        return out

    def reading_parts(self, rows: Sequence[Row], budget: Budget) -> list[tuple[list[int], int]]:
        """See `HeldEngine.reading_parts`; rows that begin alike stay together."""
        plan = self.plan(rows)
        parts = [(part, [rows[at] for at in part]) for part in self._reading_batches(rows, plan, budget)]
        return [(part, self._reading_tokens(own, plan)) for part, own in parts]

    def _reading_tokens(self, rows: Sequence[Row], plan: SteeringPlan) -> int:
        """How many tokens `options` reads for rows of one batch, padding included."""
        prompts = [row.prompt.ids for row in rows]
        if not self._shares(prompts, plan):
            return padded_tokens(rows)
        return reading_tokens(prompts, [(row.steers, row.orthogonal) for row in rows])

    def likelihoods(self, rows: Sequence[Row], continuations: Sequence[Sequence[str]]) -> list[npt.NDArray[np.float64]]:
        """See `Engine.likelihoods`."""
        tokens = self._continued(rows, continuations)
        keys = list(tokens)
        steered = partial(self.steered, plan=self.plan(rows))
        means: dict[tuple[Row, str], float] = {}
        for place, own in log_probabilities(self.loaded, [row for row, _ in keys], list(tokens.values()), steered):
            ids = torch.tensor(tokens[keys[place]], device=own.device)
            means[keys[place]] = float(own.double().gather(-1, ids[:, None]).mean())
        return [np.array([means[row, text] for text in texts]) for row, texts in zip(rows, continuations, strict=True)]

    def _reading_batches(self, rows: Sequence[Row], plan: SteeringPlan, budget: Budget) -> Iterator[list[int]]:
        """Rows that are read and not continued; those that begin alike together, where that is read once."""
        prompts = [row.prompt.ids for row in rows]
        if self._shares(prompts, plan):
            return reading_batches(prompts, [(row.steers, row.orthogonal) for row in rows], budget)
        return token_batches([len(ids) for ids in prompts], budget)

    def _shares(self, prompts: Sequence[Sequence[int]], plan: SteeringPlan) -> bool:
        """Whether rows that are read and not continued read once what they begin with alike."""
        return plan.is_fixed and is_plain(self.loaded, self._no_cache, max(map(len, prompts), default=0))

    @once_property
    def _no_cache(self) -> DynamicCache:
        """It stays empty, and says of which kinds the layers of the model's caches are."""
        return new_cache(self.loaded.model.config)

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

    def _texts(self, rows: Sequence[Row], sampling: Sampling, plan: SteeringPlan) -> list[Generated]:
        writings = [Writing(row, sampling) for row in rows]
        with self.loaded.passes():
            batch = self.begun(writings, plan)
            while batch.rows and not batch.failed:
                batch.step()
        failed = [writing for writing in writings if writing.error]
        return [self.generated(writing, plan) for writing in failed or writings]
