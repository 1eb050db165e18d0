"""What a recipe gives and costs on a real model: values expressed, the situation kept, fluent and distinct comments.

Comments are generated for every value on every situation, and measured by a judge, a sentence encoder and the
unsteered model. No measure alone says that a recipe is good: a loop of the value's name is expressive, the plain
model's comment is fluent and on topic. The harmonic mean of three does (as in AxBench, arXiv 2501.17148).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoder import Encoder
from vispa.models.encoding import Prompt, chat_prompt
from vispa.models.loading import LoadedModel
from vispa.modes.prompts import built_in_prompts
from vispa.modes.templates import filled
from vispa.steering.recipe import Recipe, Steer
from vispa.study.fluency import continuation, perplexities, repeated_shares
from vispa.study.value_judge import ValueJudge

FloatGrid = npt.NDArray[np.float64]

# Comments of a lower cosine with their situation are hardly about it.
_LEAST_TOPIC = 0.05


@dataclass(frozen=True)
class Situation:
    """What is commented on.

    Attributes:
        text: of the situation.
        plain: what the model continues when it is asked for a comment.
        personas: for each value what it continues instead, where a value is asked for in words.
    """

    text: str
    plain: Prompt
    personas: Mapping[str, Prompt] = field(default_factory=dict)


def asked_situations(loaded: LoadedModel, texts: Sequence[str]) -> tuple[Situation, ...]:
    """Texts with the package's request for a comment, in the words that the model knows."""
    ask = built_in_prompts(loaded.name).comment
    return tuple(Situation(text, chat_prompt(loaded, filled(ask, text=text), text)) for text in texts)


@dataclass(frozen=True)
class Expression:
    """Measures of the comments on S situations for V values.

    Attributes:
        values: slugs of the V values.
        texts: [S][V] the comments.
        hit: [S, V] 1 where the judge finds the intended value among all.
        rank: [S, V] share of the other values that the judge puts behind the intended one; its mean is the AUC.
        promotes: [S, V] 1 where the comment speaks for its value rather than against it, as the judge has it.
        topic: [S, V] cosine of comment and situation.
        nll: [S, V] negative log-likelihood per token under the unsteered model, in nats; NaN for an empty comment.
        repetition: [S, V] share of 3-grams that occurred in the comment before.
        similarity: [S] mean cosine between the comments of a situation.
        likelihood: [S, V, V] probability, as the judge has it, that the comment for the row's value speaks for the
            column's.
    """

    values: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    hit: FloatGrid
    rank: FloatGrid
    promotes: FloatGrid
    topic: FloatGrid
    nll: FloatGrid
    repetition: FloatGrid
    similarity: FloatGrid
    likelihood: FloatGrid

    def scores(self, plain: Expression) -> dict[str, FloatGrid]:
        """The figures of each situation, [S] each.

        Args:
            plain: of the unsteered model on the same situations: the yardstick of relation and fluency.

        Returns:
            `expression`: share of hits; `relation`: topic as a share of the unsteered comments' (see `relation`);
            `fluency`: the unsteered comments' perplexity as a share of these ones', at most 1, less what is repeated
            (0 where no comment has a token); `harmonic_mean` of the three; and every measure by its own name.
        """
        expression = self.hit.mean(1)
        kept = relation(self.topic.mean(1), plain.topic.mean(1))
        nll = mean_said(self.nll, 1)
        shares = np.exp(mean_said(plain.nll, 1) - nll)
        fluency = np.minimum(1.0, np.nan_to_num(shares)) * (1.0 - self.repetition.mean(1))
        parts = np.stack([expression, kept, fluency])
        return {
            "harmonic_mean": _harmonic_mean(parts),
            "expression": expression,
            "relation": kept,
            "fluency": fluency,
            "hit": expression,
            "rank": self.rank.mean(1),
            "promotes": self.promotes.mean(1),
            "topic": self.topic.mean(1),
            "nll": nll,
            "repetition": self.repetition.mean(1),
            "similarity": self.similarity,
        }

    def by_value(self) -> dict[str, FloatGrid]:
        """The measures of each value's comments, [V] each, by their names."""
        means = {name: getattr(self, name).mean(0) for name in ("hit", "rank", "promotes", "topic", "repetition")}
        return {**means, "nll": mean_said(self.nll, 0)}

    def change(self, plain: Expression) -> FloatGrid:
        """[V, V] how much likelier than unsteered the judge finds the column's value where the row's is meant."""
        return np.asarray((self.likelihood - plain.likelihood).mean(0))

    def leakage(self, plain: Expression) -> float:
        """See `leaked_share`; NaN where nothing becomes likelier."""
        return leaked_share(self.likelihood, plain.likelihood)


def relation(topic: FloatGrid, plain: FloatGrid) -> FloatGrid:
    """How far comments keep to their situation: their topic as a share of the unsteered comments', 0 to 1.

    Where the unsteered comments are hardly about their situation themselves, with a cosine below 0.05 or below 0,
    what they lack to 0.05 is added to both: the unsteered model's relation to itself is 1 whatever its cosine, and no
    share is taken of next to nothing.

    Args:
        topic: cosines of comments and situations, or means of them, of any shape.
        plain: of the unsteered comments, of the same shape.
    """
    lacking = np.maximum(0.0, _LEAST_TOPIC - plain)
    return np.asarray(np.clip((topic + lacking) / (plain + lacking), 0.0, 1.0))


def leaked_share(likelihood: FloatGrid, plain: FloatGrid) -> float:
    """The share that values not meant have in what becomes likelier.

    Only what rises counts, as in NeVA's value leakage (arXiv 2602.07356): probabilities add up to 1, so that rises and
    falls together cancel. 0 is steering that raises nothing but its value; vectors that miss come near 1.

    Args:
        likelihood: [S, V, V]; see `Expression.likelihood`.
        plain: the same of the unsteered model.
    """
    rise = np.maximum((likelihood - plain).mean(0), 0.0)
    # Rounding alone parts comments that are the same.
    return float(1.0 - np.trace(rise) / rise.sum()) if rise.sum() > 1e-9 else float("nan")


def mean_said(nll: FloatGrid, axis: int) -> FloatGrid:
    """Means over an axis without the comments that have no token (NaN); NaN where none has any."""
    said = ~np.isnan(nll)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(said, nll, 0.0).sum(axis) / said.sum(axis))


def measure_expressions(
    engine: TransformersEngine,
    judge: ValueJudge,
    situations: Sequence[Situation],
    values: Sequence[str],
    recipes: Sequence[Recipe | None],
    *,
    sampling: Sampling,
    progress: Callable[[int], None] | None = None,
) -> list[Expression]:
    """Comment on every situation for every value with each of several recipes, and measure the comments.

    All of it is one batch. What the plain model says of a situation is the same for every value, and is generated once.

    Args:
        engine: the model with its bank.
        judge: that knows the values.
        situations: S, each with its prompts.
        values: slugs of the V values.
        recipes: how to steer; None for the plain model.
        sampling: how the comments are decoded.
        progress: called with the number of comments just generated.

    Returns:
        An expression a recipe, in their order.

    Raises:
        InputError: a value, estimator or block that judge or bank does not have.
        NumericalError: a logit, activation or shift is not finite.
        ContextError: a prompt and its comment are longer than the model's context.
    """
    texts = commented(engine, situations, values, recipes, sampling=sampling, progress=progress)
    every = [text for own in texts for text in own]
    nll = surprise(engine.loaded, [*situations] * len(recipes), every).reshape(len(recipes), -1)
    names = [one.text for one in situations]
    return [measured(judge, names, values, own, each) for own, each in zip(texts, nll, strict=True)]


def commented(
    engine: TransformersEngine,
    situations: Sequence[Situation],
    values: Sequence[str],
    recipes: Sequence[Recipe | None],
    *,
    sampling: Sampling,
    progress: Callable[[int], None] | None = None,
) -> list[list[str]]:
    """The comments alone: for each recipe S · V texts, situation by situation; see `measure_expressions`."""
    wanted = [
        Row(situation.personas.get(value, situation.plain), () if recipe is None else (Steer(value, recipe=recipe),))
        for recipe in recipes
        for situation in situations
        for value in values
    ]
    numbers: dict[Row, int] = {}
    for row in wanted:
        numbers.setdefault(row, len(numbers))
    generated = engine.generate(list(numbers), sampling, progress)
    texts = [generated[numbers[row]].text for row in wanted]
    size = len(situations) * len(values)
    return [texts[size * number : size * (number + 1)] for number in range(len(recipes))]


def surprise(loaded: LoadedModel, situations: Sequence[Situation], texts: Sequence[str]) -> FloatGrid:
    """Negative log-likelihood per token of S · V comments under the unsteered model, in nats; NaN for an empty one.

    Each is read under the plain prompt, so that a persona's words in the prompt make no text likelier, and parted from
    it by the white space that `Generated.text` comes without.
    """
    each = len(texts) // max(1, len(situations))
    prompts = [situation.plain for situation in situations for _ in range(each)]
    # What the plain model says of a situation is the same for every value.
    numbers: dict[tuple[Prompt, str], int] = {}
    for pair in zip(prompts, texts, strict=True):
        numbers.setdefault(pair, len(numbers))
    parted = [continuation(prompt.text, text) for prompt, text in numbers]
    found = np.log(perplexities(loaded, [prompt for prompt, _ in numbers], parted))
    return np.asarray(found[[numbers[pair] for pair in zip(prompts, texts, strict=True)]])


def measured(
    judge: ValueJudge, situations: Sequence[str], values: Sequence[str], texts: Sequence[str], nll: FloatGrid
) -> Expression:
    """The measures of S · V comments that are there already, situation by situation.

    Args:
        judge: that knows the values.
        situations: S texts.
        values: slugs of the V values.
        texts: S · V comments.
        nll: [S · V] of each comment; see `surprise`.
    """
    shape = (len(situations), len(values))
    encoder: Encoder = judge.encoder
    vectors = encoder.encode([text if text.strip() else "." for text in texts])
    verdicts = judge.judge_embedded(vectors, list(values) * len(situations))
    grid = vectors.reshape(*shape, -1)
    topic = np.einsum("svd,sd->sv", grid, encoder.encode(situations)).astype(np.float64)
    between = np.einsum("svd,swd->svw", grid, grid).astype(np.float64)
    pairs = max(1, len(values) * (len(values) - 1))
    places = [judge.values.index(value) for value in values]
    return Expression(
        tuple(values),
        tuple(tuple(texts[start : start + len(values)]) for start in range(0, len(texts), len(values))),
        verdicts.hits.reshape(shape).astype(np.float64),
        verdicts.ranks.reshape(shape),
        (verdicts.promotes > 0.5).reshape(shape).astype(np.float64),
        topic,
        nll.reshape(shape),
        repeated_shares(texts).reshape(shape),
        (between.sum((1, 2)) - np.trace(between, axis1=1, axis2=2)) / pairs,
        np.exp(verdicts.logits).reshape(*shape, -1)[..., places],
    )


def _harmonic_mean(parts: FloatGrid) -> FloatGrid:
    """Over the first axis; 0 where any part is."""
    with np.errstate(divide="ignore"):
        return np.asarray(len(parts) / (1.0 / parts).sum(0))
