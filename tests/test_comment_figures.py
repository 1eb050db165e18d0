"""Fluency and relation of comments, held to what the model wrote and to the unsteered model."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from vispa.generation.continuations import log_probabilities
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import raw_prompt
from vispa.models.loading import EMBEDDED, load_model
from vispa.steering.plan import SteeringPlan
from vispa.steering.recipe import Recipe
from vispa.study.expression import Expression, Situation, asked_situations, relation, surprise
from vispa.study.fluency import perplexities
from vispa.tuning.examples import Example, chosen_examples
from vispa.tuning.search import _value_scores
from vispa.tuning.situations import development_situations
from vispa.tuning.steered_likelihood import EncodedComment
from vispa.tuning.trials import Trial

_COUNT = 4


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine(load_model(EMBEDDED))


@pytest.fixture(scope="module")
def own(engine: TransformersEngine) -> list[tuple[Situation, Generated]]:
    """What the model itself says of a few situations, its prompt ending in a word."""
    situations = asked_situations(engine.loaded, development_situations()[:_COUNT])
    assert not any(one.plain.text[-1].isspace() for one in situations)
    said = engine.generate([Row(one.plain) for one in situations], Sampling(8))
    return list(zip(situations, said, strict=True))


@pytest.mark.parametrize("place", range(_COUNT))
def test_a_comment_is_as_likely_as_the_tokens_that_the_model_wrote(
    engine: TransformersEngine, own: list[tuple[Situation, Generated]], place: int
) -> None:
    situation, said = own[place]
    plain = partial(engine.steered, plan=SteeringPlan.empty())
    ((_, table),) = log_probabilities(engine.loaded, [Row(situation.plain)], [said.ids], plain)
    expected = -np.mean([float(table[at, token]) for at, token in enumerate(said.ids)])
    assert surprise(engine.loaded, [situation], [said.text]) == pytest.approx([expected], abs=1e-4)


@pytest.mark.parametrize("place", range(_COUNT))
def test_a_comment_is_learnt_as_the_tokens_that_the_model_wrote(
    engine: TransformersEngine, own: list[tuple[Situation, Generated]], place: int
) -> None:
    situation, said = own[place]
    found = EncodedComment.of(engine.loaded, Example(0, situation.plain, said.text))
    assert found.ids == (*situation.plain.ids, *said.ids) and found.count == len(said.ids)


@pytest.mark.parametrize("end", ["\n", " ", "<end>\n", ":\t"])
@pytest.mark.parametrize("text", ["It is good.", "no", ""])
def test_after_white_space_a_comment_stands_as_it_is(engine: TransformersEngine, end: str, text: str) -> None:
    prompt = raw_prompt(engine.loaded, f"Comment on lying to a friend{end}")
    found = surprise(engine.loaded, [Situation("Lying to a friend", prompt)], [text])
    np.testing.assert_array_equal(found, np.log(perplexities(engine.loaded, [prompt], [text])))


@pytest.mark.parametrize("text", [" It is good.", "\nIt is good."])
def test_white_space_of_its_own_is_enough(engine: TransformersEngine, text: str) -> None:
    prompt = raw_prompt(engine.loaded, "Comment:")
    found = surprise(engine.loaded, [Situation("x", prompt)], [text])
    np.testing.assert_array_equal(found, np.log(perplexities(engine.loaded, [prompt], [text])))


def _expression(topic: float, rank: float = 1.0, nll: float = 1.0) -> Expression:
    """Of two situations and three values, whose comments are all alike."""
    grid = np.ones((2, 3))
    return Expression(
        ("a", "b", "c"), (("x",) * 3,) * 2, grid, grid * rank, grid, grid * topic, grid * nll, 0 * grid,
        np.ones(2), np.full((2, 3, 3), 0.5),
    )  # fmt: skip


@pytest.mark.parametrize("topic", [-0.3, -0.01, 0.0, 1e-9, 0.03, 0.0499, 0.05, 0.7])
def test_the_unsteered_models_relation_to_itself_is_1(topic: float) -> None:
    plain = _expression(topic)
    assert plain.scores(plain)["relation"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("topic", "plain", "expected"),
    [
        # Of unsteered comments that are about their situation, a share.
        (0.4, 0.5, 0.8),
        (0.6, 0.5, 1.0),
        (-0.1, 0.5, 0.0),
        (0.02, 0.07, 0.02 / 0.07),
        # Of those that are not, what is lost beside 0.05.
        (0.03, 0.04, 0.8),
        (-0.025, 0.0, 0.5),
        (-0.05, 0.0, 0.0),
        (-0.11, -0.1, 0.8),
        (-0.05, -0.1, 1.0),
    ],
)
def test_relation_is_a_share_of_what_the_unsteered_comments_keep(topic: float, plain: float, expected: float) -> None:
    assert relation(np.array([topic]), np.array([plain])) == pytest.approx([expected])
    scores = _expression(topic).scores(_expression(plain))
    assert scores["relation"] == pytest.approx([expected] * 2)


@pytest.mark.parametrize("topic", [-0.2, 0.0, 0.01, 0.6])
def test_a_comment_as_close_as_the_unsteered_one_may_be_learnt_from(
    own: list[tuple[Situation, Generated]], topic: float
) -> None:
    found = _expression(topic)
    examples = chosen_examples([found], found, [situation for situation, _ in own[:2]], 5)
    assert [one.value for one in examples] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("topic", "rank", "expected"),
    [(0.45, 0.90, 0.8926), (0.05, 0.93, 0.2467), (0.5, 0.90, 0.9231), (0.25, 0.95, 0.7297)],
)
def test_a_strength_that_loses_the_situation_loses_by_it(topic: float, rank: float, expected: float) -> None:
    trial = Trial(Recipe(), _expression(topic, rank), _expression(0.5, 0.5), {})
    assert _value_scores(trial) == pytest.approx([expected] * 3, abs=1e-4)
