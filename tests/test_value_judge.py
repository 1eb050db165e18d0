"""The judge of comments, and what is measured with it."""

from __future__ import annotations

import numpy as np
import pytest

from vispa.errors import InputError
from vispa.generation.rows import Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoder import load_encoder
from vispa.models.encoding import chat_prompt
from vispa.models.loading import EMBEDDED, load_model
from vispa.steering.bank_cache import cached_bank
from vispa.steering.recipe import embedded_recipe
from vispa.study.expression import Expression, Situation, leaked_share, measure_expressions, measured, surprise
from vispa.study.fluency import continuation, perplexities
from vispa.study.known import KnownTexts, known_comments, pair_sentences
from vispa.study.value_judge import ValueJudge, Verdicts
from vispa.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def taxonomy():
    return Taxonomy.built_in()


@pytest.fixture(scope="module")
def judge(taxonomy):
    return ValueJudge(load_encoder(), known_comments().half(odd=False), pair_sentences(taxonomy).half(odd=False))


@pytest.fixture(scope="module")
def engine(taxonomy):
    loaded = load_model(EMBEDDED)
    return TransformersEngine(loaded, cached_bank(loaded, taxonomy))


def test_every_value_has_known_comments_that_are_no_pairs(taxonomy):
    known, pairs = known_comments(), pair_sentences(taxonomy)
    assert set(known.promoting) == set(known.opposing) == set(taxonomy)
    every = [text for side in (known.promoting, known.opposing) for texts in side.values() for text in texts]
    assert len(set(every)) == len(every) >= 31 * 60
    fitted = {text for side in (pairs.promoting, pairs.opposing) for texts in side.values() for text in texts}
    assert not fitted & set(every)


def test_the_judge_knows_texts_that_it_has_not_seen(judge, taxonomy):
    found = judge.accuracy(known_comments().half(odd=True))
    assert found["hits"] > 0.4  # of 31, chance is 0.03; half of the comments to learn from
    assert found["ranks"] > 0.9
    assert judge.accuracy(pair_sentences(taxonomy).half(odd=True))["sides"] > 0.65


def test_ranks_are_shares_of_values_left_behind():
    logits = np.array([[0.0, -1.0, -2.0, -3.0], [-1.0, -1.0, -1.0, -1.0], [-5.0, -1.0, -2.0, -3.0]])
    verdicts = Verdicts(logits, np.array([1, 2, 0]), np.zeros(3))
    slow = []
    for row, own in zip(logits, [1, 2, 0], strict=True):
        others = [row[other] for other in range(4) if other != own]
        slow.append(np.mean([1.0 if row[own] > other else 0.5 if row[own] == other else 0.0 for other in others]))
    assert verdicts.ranks == pytest.approx(slow)
    assert verdicts.hits.tolist() == [False, False, False]


@pytest.mark.parametrize(
    ("promoting", "opposing"),
    [
        ({"karma": ("It comes back.",)}, {"karma": ("It does not.",)}),
        ({"karma": ("It comes back.",), "face": ()}, {"karma": ("No.",), "face": ("No.",)}),
        ({"karma": ("It comes back.",), "face": ("Spare him.",)}, {"karma": ("No.",)}),
    ],
)
def test_a_judge_needs_values_to_tell_apart(promoting, opposing):
    with pytest.raises(InputError):
        ValueJudge(load_encoder(), KnownTexts(promoting, opposing))


def test_a_value_that_the_judge_does_not_know_is_named(judge):
    with pytest.raises(InputError, match="thrift"):
        judge.judge(["Save your pennies."], ["thrift"])


def _situations(engine, texts):
    return [
        Situation(text, chat_prompt(engine.loaded, f"Please comment on the following situation: {text}"))
        for text in texts
    ]


def test_measures_equal_a_slow_reference(engine, judge):
    values, situations = ("karma", "honor", "hedonism"), ["Lying to a friend", "Eating cake at night"]
    texts = [
        "What you sow you reap, always.",
        "My good name binds me.",
        "Cake is a joy, a joy.",
        "",
        "a b c a b c",
        "Yes.",
    ]
    found = measured(judge, situations, values, texts, surprise(engine.loaded, _situations(engine, situations), texts))
    encode = judge.encoder.encode
    for s, situation in enumerate(situations):
        for v in range(3):
            own = encode([texts[3 * s + v] or "."])[0]
            assert found.topic[s, v] == pytest.approx(float(own @ encode([situation])[0]), abs=1e-5)
        vectors = encode([texts[3 * s + v] or "." for v in range(3)])
        cosines = [float(vectors[a] @ vectors[b]) for a in range(3) for b in range(3) if a != b]
        assert found.similarity[s] == pytest.approx(np.mean(cosines), abs=1e-5)
    assert found.repetition.ravel().tolist() == pytest.approx([0, 0, 0, 0, 0.25, 0])
    assert np.isnan(found.nll[1, 0]) and np.isfinite(np.delete(found.nll.ravel(), 3)).all()


def test_what_is_said_for_several_values_is_read_once(engine):
    situations = _situations(engine, ["Lying to a friend", "Eating cake at night"])
    texts = ["Yes.", "Yes.", "Tell the truth.", "Yes.", "Yes.", ""]
    prompts = [situations[place // 3].plain for place in range(len(texts))]
    apart = [
        perplexities(engine.loaded, [prompt], [continuation(prompt.text, text)])[0]
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    found = surprise(engine.loaded, situations, texts)
    assert found == pytest.approx(np.log(apart), abs=1e-4, nan_ok=True)
    assert found[0] == found[1] != found[3] and np.isnan(found[5])


def _expression(hit, topic, nll, repetition):
    grid = np.ones((1, 2))
    return Expression(
        ("a", "b"), (("x", "y"),), grid * hit, grid, grid, grid * topic, grid * nll, grid * repetition,
        np.ones(1), np.full((1, 2, 2), 0.5),
    )  # fmt: skip


def test_the_harmonic_mean_punishes_what_lacks_one_of_the_three():
    plain = _expression(0.0, 0.5, 1.0, 0.0)
    good = _expression(0.6, 0.4, 1.5, 0.0).scores(plain)
    assert good["relation"] == pytest.approx([0.8]) and good["fluency"] == pytest.approx([np.exp(-0.5)])
    assert good["harmonic_mean"] == pytest.approx([3 / (1 / 0.6 + 1 / 0.8 + np.exp(0.5))])
    loops = _expression(1.0, 0.05, 0.2, 0.9).scores(plain)  # likely words, again and again, and off the subject
    silent = _expression(0.0, 0.5, 1.0, 0.0).scores(plain)
    assert loops["harmonic_mean"][0] < good["harmonic_mean"][0] and silent["harmonic_mean"] == pytest.approx([0.0])
    assert plain.scores(plain)["relation"] == pytest.approx([1.0])


def test_a_comment_without_a_word_is_not_fluent():
    plain, silent = _expression(0.5, 0.5, 1.0, 0.0), _expression(1.0, 0.5, np.nan, 0.0)
    scores = silent.scores(plain)
    assert scores["fluency"] == pytest.approx([0.0]) and np.isnan(scores["nll"]).all()
    assert silent.by_value()["nll"].shape == (2,)


def test_leakage_is_the_share_of_what_rises_beside_the_value():
    plain = np.tile([0.4, 0.3, 0.3], (2, 3, 1))
    meant = np.array([[0.7, 0.0, 0.3], [0.2, 0.6, 0.2], [0.3, 0.4, 0.3]])
    expected = 1 - (0.3 + 0.3) / (0.3 + 0.3 + 0.1)  # the third value's comments raise the second instead
    assert leaked_share(np.stack([meant, meant]), plain) == pytest.approx(expected)
    assert np.isnan(leaked_share(plain, plain))  # nothing rises
    only = np.tile(np.eye(3), (2, 1, 1))
    assert leaked_share(only, plain) == pytest.approx(0.0)
    assert leaked_share(only[:, [1, 2, 0]], plain) == pytest.approx(1.0)


def test_steering_the_embedded_model_shows_in_the_measures(engine, judge, taxonomy):
    values = ("karma", "honor", "hedonism", "tradition", "spiritual")
    situations = _situations(engine, ["Lying to a friend", "Skipping a check-up"])
    plain, steered = measure_expressions(
        engine, judge, situations, values, (None, embedded_recipe()), sampling=Sampling(24)
    )
    assert plain.similarity == pytest.approx([1.0, 1.0])  # the plain model says one thing to all values
    assert steered.rank.mean() > plain.rank.mean() + 0.05
    assert steered.hit.sum() > plain.hit.sum() == 0
    assert steered.similarity.mean() < 0.9
    assert np.isnan(plain.leakage(plain)) and 0 < steered.leakage(plain) < 0.9
    again = measure_expressions(engine, judge, situations, values, (embedded_recipe(),), sampling=Sampling(24))
    assert again[0].texts == steered.texts and again[0].topic.tolist() == steered.topic.tolist()
