"""What more steering gives and costs: the value expressed, fluency, repetition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from vispa.errors import InputError
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import Prompt
from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.steering.fitting import Progress
from vispa.steering.recipe import Recipe, Steer
from vispa.study.fluency import continuation, mean_perplexity, perplexities, repeated_shares
from vispa.study.probing import last_steered_block, probe_logits
from vispa.taxonomy import Taxonomy

Measure = Literal["probability", "perplexity", "repetition"]
MEASURES: tuple[Measure, ...] = get_args(Measure)


@dataclass(frozen=True)
class DoseRow:
    """One prompt steered toward one value with one magnitude.

    Attributes:
        magnitude: multiple or target; None for the unsteered model.
        value: slug.
        prompt: place of the prompt.
        probability: of the value's probe at the prompt's last token.
        perplexity: of the text under the unsteered model; NaN where the text is empty.
        repetition: share of 3-grams that occurred in the text before.
        shift: block number → length of the shift.
        text: what the model generated.
    """

    magnitude: float | None
    value: str
    prompt: int
    probability: float
    perplexity: float
    repetition: float
    shift: dict[int, float]
    text: str


@dataclass(frozen=True)
class DoseResponse:
    """Rows of M magnitudes and the unsteered model, V values and P prompts.

    Attributes:
        recipe: whose amount was varied.
        block: after which the probes were read.
        magnitudes: M, as asked for.
        values: slugs of the V values.
        prompts: P, as the model continued them.
        rows: (1 + M) · V · P by magnitude, the unsteered first, then value, then prompt. The
            unsteered text of a prompt stands with every value.
    """

    recipe: Recipe
    block: int
    magnitudes: tuple[float, ...]
    values: tuple[str, ...]
    prompts: tuple[str, ...]
    rows: tuple[DoseRow, ...]

    def by_value(self, measure: Measure) -> npt.NDArray[np.float64]:
        """[1 + M, V] means over prompts, the unsteered first; of perplexities the geometric mean."""
        return self._mean(measure, (2,))

    def overall(self, measure: Measure) -> npt.NDArray[np.float64]:
        """[1 + M] means over values and prompts, the unsteered first; of perplexities the geometric mean."""
        return self._mean(measure, (1, 2))

    def _mean(self, measure: Measure, axis: tuple[int, ...]) -> npt.NDArray[np.float64]:
        shape = (1 + len(self.magnitudes), len(self.values), len(self.prompts))
        table = np.array([getattr(row, measure) for row in self.rows]).reshape(shape)
        return mean_perplexity(table, axis) if measure == "perplexity" else np.asarray(table.mean(axis))


def at_magnitude(recipe: Recipe, value: str, magnitude: float) -> Recipe:
    """The recipe with the amount of a value set, or multiplied, as the rule of its magnitude has it.

    Raises:
        InputError: a target confidence that is not between 0 and 1, or a multiple that is not finite.
    """
    amount = magnitude if recipe.rule.absolute else magnitude * recipe.amount_for(value)
    return replace(recipe, amount=amount, amounts={}, table=None)


def one_per_family(taxonomy: Taxonomy) -> tuple[str, ...]:
    """The first value of every family."""
    first: dict[str, str] = {}
    for value in taxonomy.values:
        first.setdefault(value.family, value.slug)
    return tuple(first.values())


def dose_response(
    loaded: LoadedModel,
    bank: VectorBank,
    prompts: Sequence[Prompt],
    values: Sequence[str],
    *,
    recipe: Recipe | None = None,
    magnitudes: Sequence[float] | None = None,
    sampling: Sampling | None = None,
    progress: Progress | None = None,
) -> DoseResponse:
    """Steer prompts toward values with growing magnitudes; read the probes, generate and score.

    Everything that differs (value, prompt, magnitude) is a row of a batch, and the unsteered
    model's rows run among them.

    Args:
        loaded: the model.
        bank: with the values and an entry `probe`.
        prompts: as the model continues them.
        values: slugs to steer toward.
        recipe: whose amount is varied; the bank's by default.
        magnitudes: multiples of the recipe's amount, or amounts where the rule of its magnitude is
            absolute (target confidences); by default the rule's `steps`.
        sampling: how to decode; greedily up to 60 tokens by default.
        progress: told of progress.

    Raises:
        InputError: no prompt, value or magnitude, one that cannot be, or a bank without the
            value or a probe.
    """
    recipe = bank.in_fractions(recipe or bank.recipe)
    magnitudes = tuple(recipe.rule.steps if magnitudes is None else magnitudes)
    for field, given in (("prompts", prompts), ("values", values), ("magnitudes", magnitudes)):
        if not given:
            raise InputError(field, "are none.", "Give at least one.")
    places = [bank.row(value) for value in values]
    # The unsteered model, then every magnitude; the unsteered text of a prompt stands with every value.
    cells = [
        (magnitude, value, prompt)
        for magnitude in (None, *magnitudes)
        for value in range(len(values))
        for prompt in range(len(prompts))
    ]
    plain = [Row(prompt) for prompt in prompts]
    steered = [
        Row(prompts[prompt], (Steer(values[value], recipe=at_magnitude(recipe, values[value], magnitude)),))
        for magnitude, value, prompt in cells
        if magnitude is not None
    ]
    rows, first = plain + steered, len(values) * len(prompts)
    block = last_steered_block(bank, steered, recipe)
    measured = _measured(TransformersEngine(loaded, bank, recipe), rows, block, sampling or Sampling(60), progress)
    out = []
    for number, (magnitude, value, prompt) in enumerate(cells):
        row = prompt if magnitude is None else len(plain) + number - first
        out.append(
            DoseRow(
                magnitude=magnitude,
                value=values[value],
                prompt=prompt,
                probability=float(measured.probabilities[row, places[value]]),
                perplexity=float(measured.perplexity[row]),
                repetition=float(measured.repetition[row]),
                shift=measured.generated[row].shift,
                text=measured.generated[row].text,
            )
        )
    return DoseResponse(recipe, block, magnitudes, tuple(values), tuple(prompt.text for prompt in prompts), tuple(out))


class _Measured(NamedTuple):
    """What was read of R rows: probabilities [R, V], texts, and their perplexity and repetition [R]."""

    probabilities: npt.NDArray[np.float64]
    generated: list[Generated]
    perplexity: npt.NDArray[np.float64]
    repetition: npt.NDArray[np.float64]


def _measured(
    engine: TransformersEngine, rows: Sequence[Row], block: int, sampling: Sampling, progress: Progress | None
) -> _Measured:
    from scipy.special import expit

    def stage(name: str) -> Callable[[int], None]:
        return lambda count: None if progress is None else progress(name, count, len(rows))

    probabilities = expit(probe_logits(engine, rows, block, stage("reading probes")))
    generated = engine.generate(rows, sampling, stage("generating"))
    texts = [text.text for text in generated]
    joined = [continuation(row.prompt.text, text) for row, text in zip(rows, texts, strict=True)]
    perplexity = perplexities(engine.loaded, [row.prompt for row in rows], joined, stage("scoring texts"))
    return _Measured(probabilities, generated, perplexity, repeated_shares(texts))
