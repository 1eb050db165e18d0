"""The engine of vLLM: rows of any steers and lengths under continuous batching."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vispa.errors import ContextError, EngineError, NumericalError
from vispa.generation.held import HeldEngine, check_options
from vispa.generation.letters import Masses
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.running import Writing
from vispa.generation.sampling import row_seed
from vispa.generation.vllm.asked import ARGUMENT, Asked
from vispa.generation.vllm.running import Running
from vispa.generation.vllm.starting import ARGUMENTS_VARIABLE, arguments_that_count, started
from vispa.generation.vllm.steps import UNMEASURED
from vispa.generation.vllm.tables import remains_of
from vispa.generation.vllm.vocabulary import Vocabulary
from vispa.models.loading import LoadedModel
from vispa.once import once_property
from vispa.steering.bank import VectorBank
from vispa.steering.plan import SteeringPlan
from vispa.steering.recipe import Recipe, Steer

# vLLM tells the likelihoods of so many named tokens at most.
_MOST_TOKENS = 128


class VllmEngine(HeldEngine):
    """An `Engine` over vLLM.

    What it writes at temperature 0 is what `TransformersEngine` writes. Sampled rows have random numbers of their own
    there too, but others: vLLM draws in its own way. vLLM looks at no logits for numbers that are not finite; what is
    measured on a prompt is checked.

    Args:
        loaded: the model; vLLM loads its own weights from the same place.
        bank: its directions; without one, rows cannot be steered.
        recipe: of steers that name none; the bank's by default.
        running: vLLM with this model and bank, where it runs already.

    Raises:
        InputError: vLLM is not installed.
        ModelError: vLLM cannot run the model, or steering does not reach it.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        bank: VectorBank | None = None,
        recipe: Recipe | None = None,
        *,
        running: Running | None = None,
    ) -> None:
        super().__init__(loaded, bank, recipe)
        default = None if bank is None else recipe or bank.recipe
        self.running = running or Running(started(loaded, bank, recipe), default)

    def with_recipe(self, recipe: Recipe | None) -> VllmEngine:
        """The same engine with another recipe of steers that name none."""
        return VllmEngine(self.loaded, self.bank, recipe, running=self.running)

    @property
    def kind(self) -> str:
        """See `Engine`."""
        return "vllm"

    @property
    def device(self) -> str:
        """See `Engine`."""
        return self.running.device

    @property
    def settings(self) -> Mapping[str, Any]:
        """See `Engine`: the caller's own arguments of vLLM's engine, such as another type of its numbers."""
        return {"engine_arguments": arguments_that_count()}

    def generate(
        self, rows: Sequence[Row], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> list[Generated]:
        """See `Engine.generate`."""
        self._check(rows, sampling.max_new_tokens)
        plan = self.plan(rows)
        writings = [Writing(row, sampling) for row in rows]
        begun = [self.begun(writing) for writing in writings]
        asked = [(one.row.prompt.ids, given) for one, given in zip(writings, begun, strict=True)]
        outputs = self._outputs(asked, progress)
        for writing, params, output in zip(writings, begun, outputs, strict=True):
            self.advance(writing, params, output)
        return [self.generated(writing, plan) for writing in writings]

    def options(self, rows: Sequence[Row], counts: Sequence[int]) -> list[Masses]:
        """See `Engine.options`."""
        check_options(counts)
        self._check(rows, 1)
        self.plan(rows)
        for row in rows:
            self._check_length(len(row.prompt.ids), 1)
        asked, owners = [], []
        for place, (row, number) in enumerate(zip(rows, counts, strict=True)):
            tokens = [token for own in self._letters[:number] for token in own]
            for start in range(0, len(tokens), _MOST_TOKENS):
                params = self._params(row, max_tokens=1, logprob_token_ids=tokens[start : start + _MOST_TOKENS])
                asked.append((row.prompt.ids, params))
                owners.append(place)
        likely: list[dict[int, float]] = [{} for _ in rows]
        for place, (_, params), output in zip(owners, asked, self._outputs(asked), strict=True):
            self._shift(rows[place], params, output)
            likely[place] |= {token: one.logprob for token, one in output.outputs[0].logprobs[0].items()}
        return [
            np.array([sum(np.exp(own[token]) for token in tokens) for tokens in self._letters[:number]], dtype=float)
            for own, number in zip(likely, counts, strict=True)
        ]

    def likelihoods(self, rows: Sequence[Row], continuations: Sequence[Sequence[str]]) -> list[npt.NDArray[np.float64]]:
        """See `Engine.likelihoods`; a continuation counts as generated."""
        # vLLM goes on by a token after what it reads.
        tokens = self._continued(rows, continuations, beyond=1)
        self.plan(rows)
        for (row, _), own in tokens.items():
            self._check_length(len(row.prompt.ids), len(own) + 1)
        asked = [
            ((*row.prompt.ids, *own), self._params(row, prompt=len(row.prompt.ids), max_tokens=1, prompt_logprobs=0))
            for (row, _), own in tokens.items()
        ]
        means = {}
        for (key, own), (_, params), output in zip(tokens.items(), asked, self._outputs(asked), strict=True):
            self._shift(key[0], params, output)
            told = output.prompt_logprobs[-len(own) :]
            means[key] = float(np.mean([one[token].logprob for one, token in zip(told, own, strict=True)]))
        return [np.array([means[row, text] for text in texts]) for row, texts in zip(rows, continuations, strict=True)]

    # ---------------------------------------------------------------- requests

    @once_property
    def _vocabulary(self) -> Vocabulary:
        assert self.bank is not None
        return Vocabulary(self.bank, self.recipe or self.bank.recipe)

    def plan(self, rows: Sequence[Row]) -> SteeringPlan:
        """What these rows are steered by.

        Raises:
            InputError: a steer whose value, estimator or block the bank does not have; a steer without a bank; or
                steers of one row that fade differently.
        """
        plan = super().plan(rows)
        for row in rows:
            remains_of(row.steers, plan.default)
        return plan

    def begun(self, writing: Writing) -> Any:
        """`vllm.SamplingParams` of a row that is to be written.

        Raises:
            ContextError: prompt and text are longer than what vLLM was started for.
        """
        row, sampling = writing.row, writing.sampling
        self._check_length(len(row.prompt.ids), sampling.max_new_tokens)
        given: dict[str, Any] = (
            {} if sampling.is_greedy else {"seed": row_seed(row, sampling.seed), "top_p": sampling.top_p}
        )
        return self._params(row, max_tokens=sampling.max_new_tokens, temperature=sampling.temperature, **given)

    def advance(self, writing: Writing, params: Any, output: Any) -> None:
        """Take over what vLLM has written of a row so far.

        Args:
            writing: the row.
            params: as of `begun`.
            output: a `vllm.RequestOutput`.

        Raises:
            EngineError: vLLM has failed the row, or has not measured its shift.
        """
        writing.ids, writing.done = list(output.outputs[0].token_ids), output.finished
        if output.finished:
            try:
                writing.shift = self._shift(writing.row, params, output)
            except NumericalError as error:
                writing.fail(error)

    def _params(self, row: Row, *, prompt: int | None = None, temperature: float = 0.0, **named: Any) -> Any:
        """`vllm.SamplingParams` of a row; `prompt` as of `Asked`."""
        from vllm import SamplingParams

        given = {"temperature": temperature, "detokenize": False, "ignore_eos": True, **named}
        if acting := self._acting(row.steers):
            steers = tuple(self._named(steer) for steer in acting)
            number = None if self._vocabulary.is_fixed(acting) else next(self.running.numbers)
            asked = Asked(steers, row.orthogonal, row.prompt.subject, prompt, number)
            given["extra_args"] = {ARGUMENT: asked.as_argument()}
        return SamplingParams(stop_token_ids=sorted(self._ends), **given)

    def _acting(self, steers: Sequence[Steer]) -> list[Steer]:
        """Those that do something here: vLLM refuses others, which `Generated.left_out` tells of."""
        return [steer for steer in steers if self._vocabulary.acts(steer)]

    def _check_length(self, tokens: int, new_tokens: int) -> None:
        """Refuse what vLLM would end early: it may be started for less than the model's context (`max_model_len`).

        Raises:
            ContextError: prompt and text are longer.
        """
        limit = self.running.longest
        if tokens + new_tokens > limit:
            raise ContextError(
                f"The text has {tokens:,} tokens as a prompt, which with {new_tokens:,} for the answer is more than "
                f"the {limit:,} that vllm was started for. Give a shorter text, fewer max-new-tokens, or a higher "
                f"max_model_len in {ARGUMENTS_VARIABLE}."
            )

    def _outputs(
        self, asked: Sequence[tuple[Sequence[int], Any]], progress: Callable[[int], None] | None = None
    ) -> Iterator[Any]:
        """What vLLM gives for prompts, in their order; measures that nobody asks for meanwhile are forgotten."""
        try:
            yield from self.running.run(asked, progress)
        finally:
            self.running.forget(params for _, params in asked)

    def _named(self, steer: Steer) -> Steer:
        """A steer that says its recipe where that is not the one which the workers take."""
        assert self.bank is not None
        recipe = steer.recipe or self.recipe or self.bank.recipe
        return Steer(steer.value, steer.weight, None if recipe == self.running.recipe else recipe)

    # ---------------------------------------------------------------- results

    def _shift(self, row: Row, params: Any, output: Any) -> dict[int, float]:
        """Lengths of a row's shifts by block, once vLLM has ended it.

        Raises:
            NumericalError: what they are measured on is not finite.
            EngineError: they were not measured, or vLLM has failed the row.
        """
        shift = {} if not row.steers else self._measured(row, params)
        if output.outputs[0].finish_reason == "error":
            raise EngineError("vLLM failed to write a row; its messages say why.")
        return shift

    def _measured(self, row: Row, params: Any) -> dict[int, float]:
        acting = self._acting(row.steers)
        if self._vocabulary.is_fixed(acting):
            return self._vocabulary.fixed_amounts(row.steers, row.orthogonal)
        amounts, problem = self.running.amounts(params.extra_args[ARGUMENT]["number"])
        if problem is not None:
            raise NumericalError(problem)
        plan = self._vocabulary.plan(row.steers)
        if amounts.keys() != plan.steered_blocks(acting):
            raise EngineError(f"A row is not steered: {UNMEASURED}")
        return {block: amounts.get(block, 0.0) for block in sorted(plan.steered_blocks(row.steers))}
