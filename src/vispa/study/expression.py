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
from vispa.models.encoding import Prompt
from vispa.steering.recipe import Recipe, Steer
from vispa.study.fluency import perplexities, repeated_shares
from vispa.study.value_judge import ValueJudge

FloatGrid = npt.NDArray[np.float64]


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
        leakage: [V, V] how much likelier the judge finds the column's value in comments steered toward the row's than
            in all comments, as a share of what it does for the row's own value; the diagonal is 1, and NaN where
            steering does not raise the value at all (after NeVA's normalised leakage).
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
    leakage: FloatGrid

    def scores(self, plain: Expression) -> dict[str, FloatGrid]:
        """The figures of each situation, [S] each.

        Args:
            plain: of the unsteered model on the same situations: the yardstick of relation and fluency.

        Returns:
            `expression`: share of hits; `relation`: topic as a share of the unsteered comments', at most 1;
            `fluency`: the unsteered comments' perplexity as a share of these ones', at most 1, less what is repeated;
            `harmonic_mean` of the three; and every measure by its own name.
        """
        expression = self.hit.mean(1)
        relation = np.clip(self.topic.mean(1) / np.maximum(plain.topic.mean(1), 1e-6), 0.0, 1.0)
        worse = np.nanmean(self.nll, 1) - np.nanmean(plain.nll, 1)
        fluency = np.minimum(1.0, np.exp(-worse)) * (1.0 - self.repetition.mean(1))
        parts = np.stack([expression, relation, fluency])
        return {
            "harmonic_mean": _harmonic_mean(parts),
            "expression": expression,
            "relation": relation,
            "fluency": fluency,
            "hit": expression,
            "rank": self.rank.mean(1),
            "promotes": self.promotes.mean(1),
            "topic": self.topic.mean(1),
            "nll": np.nanmean(self.nll, 1),
            "repetition": self.repetition.mean(1),
            "similarity": self.similarity,
        }

    @property
    def mean_leakage(self) -> float:
        """Mean normalised leakage to other values, over the values that steering raises; NaN where it raises none."""
        raised = np.isfinite(np.diag(self.leakage))
        others = ~np.eye(len(self.values), dtype=bool)[raised]
        return float(self.leakage[raised][others].mean()) if raised.any() else float("nan")


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
    # Under the plain prompt, so that a persona's words in the prompt make no text likelier.
    plain = [situation.plain for situation in situations for _ in values]
    size = len(plain)
    return [
        measured(engine, judge, [one.text for one in situations], values, plain, texts[start : start + size])
        for start in range(0, len(texts), size)
    ]


def measured(
    engine: TransformersEngine,
    judge: ValueJudge,
    situations: Sequence[str],
    values: Sequence[str],
    prompts: Sequence[Prompt],
    texts: Sequence[str],
) -> Expression:
    """The measures of S · V comments that are there already, situation by situation.

    Args:
        engine: whose unsteered model measures fluency.
        judge: that knows the values.
        situations: S texts.
        values: slugs of the V values.
        prompts: S · V, which the unsteered model is given before each comment.
        texts: S · V comments.
    """
    shape = (len(situations), len(values))
    encoder: Encoder = judge.encoder
    vectors = encoder.encode([text if text.strip() else "." for text in texts])
    verdicts = judge.judge_embedded(vectors, list(values) * len(situations))
    grid = vectors.reshape(*shape, -1)
    topic = np.einsum("svd,sd->sv", grid, encoder.encode(situations)).astype(np.float64)
    between = np.einsum("svd,swd->svw", grid, grid).astype(np.float64)
    pairs = max(1, len(values) * (len(values) - 1))
    nll = np.log(perplexities(engine.loaded, prompts, texts))
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
        _leakage(verdicts.logits.reshape(*shape, -1), [judge.values.index(value) for value in values]),
    )


def _leakage(logits: FloatGrid, places: Sequence[int]) -> FloatGrid:
    """See `Expression.leakage`; logits [S, V, judge's values]."""
    by_value = np.exp(logits).mean(0)[:, list(places)]
    change = by_value - by_value.mean(0, keepdims=True)
    own = np.diag(change)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Rounding alone parts comments that are the same for every value.
        return np.asarray(np.where(own[:, None] > 1e-6, change / own[:, None], np.nan))


def _harmonic_mean(parts: FloatGrid) -> FloatGrid:
    """Over the first axis; 0 where any part is."""
    with np.errstate(divide="ignore"):
        return np.asarray(len(parts) / (1.0 / parts).sum(0))
