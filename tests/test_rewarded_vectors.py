"""Vectors that are trained for rewarded comments, on small random models and rewards that can be counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_banks import COEFFICIENT, random_bank

from benchmarks.real_model import HELD_OUT
from training import rewarded_vectors
from training.comment_rewards import Commented, CommentRewards, harmonic_mean, likeness
from training.rewarded_vectors import Drawn, RewardTraining, TrainedVectors, training_situations
from vispa.errors import NumericalError
from vispa.files.tables import read_table
from vispa.generation.rows import Generated, Sampling
from vispa.models.encoder import load_encoder
from vispa.models.encoding import raw_prompt
from vispa.steering.activations import hooks_on
from vispa.study.expression import Situation
from vispa.taxonomy import Taxonomy
from vispa.tuning.refining import fixed_vectors
from vispa.tuning.steered_likelihood import EncodedComment, comment_logits

BLOCKS = (1, 2)
RECIPE = replace(COEFFICIENT, blocks=BLOCKS, amount=0.3, subject_share=0.5, half_life=6.0)


@pytest.fixture(scope="module")
def llama(make_model):
    return make_model("llama")


def situations(loaded, *texts):
    return [Situation(text, raw_prompt(loaded, f"On {text}: ", text)) for text in texts]


def training_of(loaded, reward, recipe=RECIPE):
    bank = random_bank(recipe)
    start = fixed_vectors(bank, recipe)
    vectors = TrainedVectors(start, start, recipe.blocks, loaded.device)
    return RewardTraining(loaded, bank, recipe, vectors, reward, lambda situations, texts: np.ones(len(texts)), seed=5)


def alone(loaded, vectors, one):
    """Slow reference: the logits before a comment's tokens, each token's shift by hand."""
    factor = torch.ones(len(one.ids), 1)
    factor[slice(*one.subject)] *= RECIPE.subject_share
    factor[-one.count :, 0] = 0.5 ** (torch.arange(1, one.count + 1) / RECIPE.half_life)
    with hooks_on(loaded.blocks, lambda block, hidden: hidden + factor * vectors[one.value, block - 1], BLOCKS):
        return loaded.model(torch.tensor([one.ids])).logits[0, -one.count - 1 : -1]


def comments(loaded):
    prompts = [one.plain for one in situations(loaded, "a lie", "selling the old mill")]
    said = (list(b"no!"), list(b"let it be so"), list(b"why"))
    return [
        EncodedComment(value, (*prompts[number % 2].ids, *ids), len(ids), prompts[number % 2].subject)
        for number, (value, ids) in enumerate(zip((0, 2, 1), said, strict=True))
    ]


def test_comments_are_read_as_if_each_were_alone(llama):
    vectors, batch = torch.randn(3, 2, 32, generator=torch.Generator().manual_seed(1)), comments(llama)
    logits, targets, own = comment_logits(
        llama, vectors, BLOCKS, batch, subject_share=RECIPE.subject_share, remains=RECIPE.remains
    )
    for row, one in enumerate(batch):
        assert targets[row][own[row]].tolist() == list(one.ids[-one.count :])
        expected = alone(llama, vectors, one)
        assert torch.allclose(logits[row][own[row]], expected, atol=1e-4)


def test_a_step_follows_the_gradient_of_each_comment_by_itself(llama):
    training = training_of(llama, None)
    asked = situations(llama, "a lie", "selling the old mill")
    said = [(0, b"no!"), (2, b"let it be so"), (1, b""), (1, b"why")]
    drawn = [
        Drawn(asked[number % 2], value, Generated(text.decode(), len(text), ids=tuple(text)))
        for number, (value, text) in enumerate(said)
    ]
    better = np.array([1.0, -0.5, 2.0, 0.25])
    free = torch.zeros(3, 2, 32, requires_grad=True)
    scale = training.vectors._scale
    total = torch.zeros(())
    for one, weight in zip(drawn, better, strict=True):
        if not one.generated.ids:
            continue
        ids = one.generated.ids
        encoded = EncodedComment(one.value, (*one.situation.plain.ids, *ids), len(ids), one.situation.plain.subject)
        logits = alone(llama, training.vectors.at_blocks.detach() + scale * free, encoded)
        likely = (logits / rewarded_vectors.DRAWN.temperature).log_softmax(-1)
        total = total - weight * likely[range(len(ids)), list(ids)].sum()
    (expected,) = torch.autograd.grad(total / sum(len(text) for _, text in said), free)
    training._learn(drawn, better)
    assert torch.allclose(training.vectors._own.grad, expected, atol=1e-6)
    assert torch.allclose(training.vectors._shared.grad, expected.sum(0, keepdim=True), atol=1e-6)


@pytest.mark.parametrize("wanted", [str.isascii, str.islower, lambda one: not one.isascii()])
def test_what_is_rewarded_becomes_more_frequent(llama, wanted, monkeypatch):
    monkeypatch.setattr(rewarded_vectors, "DRAWN", Sampling(8, temperature=1.0))
    monkeypatch.setattr(rewarded_vectors, "RATE", 1.0)
    monkeypatch.setattr(rewarded_vectors, "SHARED_RATE", 1.0)

    def share(found):
        return np.array([sum(map(wanted, text)) / 8 for text in found.texts])

    training = training_of(llama, share)
    found = [training.step(number, situations(llama, "a lie", "an old mill")) for number in range(20)]
    assert np.mean(found[-3:]) > np.mean(found[:3]) + 0.05
    again = training_of(llama, share)
    assert [again.step(number, situations(llama, "a lie", "an old mill")) for number in range(2)] == found[:2]


def test_only_vectors_at_chosen_blocks_are_trained(make_model):
    llama = make_model("llama")
    llama.model.requires_grad_(True)
    weights = {name: weight.clone() for name, weight in llama.model.named_parameters()}
    training = training_of(llama, lambda found: np.arange(len(found.texts)) * 1.0)
    before = training.vectors.everywhere
    training.step(0, situations(llama, "a lie"))
    assert all(torch.equal(weight, weights[name]) for name, weight in llama.model.named_parameters())
    assert all(weight.requires_grad and weight.grad is None for weight in llama.model.parameters())
    after = training.vectors.everywhere
    assert (after[:, list(BLOCKS)] != before[:, list(BLOCKS)]).any()
    assert not after[:, [0, 3]].any()


def test_a_comment_is_better_than_the_others_of_its_value_and_situation(llama, monkeypatch):
    """Not than those of all: some situations are easy, and some values."""
    seen = []
    monkeypatch.setattr(RewardTraining, "_learn", lambda self, drawn, advantages: seen.append((drawn, advantages)))
    rewards = np.repeat([[5.0], [1.0], [3.0], [0.0], [9.0], [2.0]], rewarded_vectors.SAMPLES, axis=1)
    rewards[0, 0], rewards[4, 1] = 6.0, 7.0
    training_of(llama, lambda found: rewards.reshape(-1)).step(0, situations(llama, "a lie", "an old mill"))
    ((drawn, advantages),) = seen
    groups = advantages.reshape(rewards.shape)
    assert np.abs(groups[[1, 2, 3, 5]]).max() < 1e-9 and advantages.std() == pytest.approx(1.0, abs=1e-3)
    assert groups[0].argmax() == 0 and groups[4].argmin() == 1
    groups_of = [(one.situation.text, one.value) for one in drawn][:: rewarded_vectors.SAMPLES]
    assert groups_of == [(text, value) for text in ("a lie", "an old mill") for value in range(3)]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_is_learnt_from_rewards_that_are_none(bad, llama):
    training = training_of(llama, lambda found: np.full(len(found.texts), bad))
    before = training.vectors.everywhere
    with pytest.raises(NumericalError, match="not finite"):
        training.step(0, situations(llama, "a lie"))
    assert torch.equal(training.vectors.everywhere, before)


# ---------------------------------------------------------------- rewards


@pytest.fixture(scope="module")
def rewards():
    return CommentRewards(load_encoder(), Taxonomy.built_in())


GOOD = (
    "Your brother trusted you with this, and he deserves to hear from you what really happened to the car, however "
    "hard the truth is to say."
)
SITUATION = "I dented my brother's car and told him that a stranger did it."


@pytest.mark.parametrize(
    ("worse", "nll"),
    [
        ("Rain is expected in the mountains, and the last train to the coast leaves tonight a little after nine.", 1.5),
        ("Tell him the truth. Tell him the truth. Tell him the truth. Tell him the truth. Tell him the truth.", 1.5),
        (GOOD, 3.0),
        ("The truth.", 1.5),
        ("", np.inf),
        ("Stay with the story about the stranger: your brother will never find out, and a lie costs you nothing.", 1.5),
    ],
)
def test_worse_comments_are_rewarded_less(rewards, worse, nll):
    truthful = rewards.values.index("truthfulness")
    found = rewards(
        Commented(
            [SITUATION] * 2, np.array([truthful] * 2), [GOOD, worse], np.array([1.5, nll]), np.full(2, 1.5),
            np.full(2, 0.5),
        )
    )  # fmt: skip
    assert np.isfinite(found).all()
    assert found[0] > found[1] + 0.05


def test_the_same_words_for_every_value_lose(rewards):
    places = np.array([rewards.values.index(one) for one in ("truthfulness", "security", "karma")])
    three, row = np.full(3, 1.5), np.full(3, 0.5)
    together = rewards(Commented([SITUATION] * 3, places, [GOOD] * 3, three, three, row))
    apart = rewards(Commented([SITUATION, "Another.", "A third."], places, [GOOD] * 3, three, three, row))
    assert together[0] == pytest.approx(apart[0] - 0.3 * 0.7, abs=1e-3)


SHARES = st.floats(0.0, 1.0)


@given(st.tuples(SHARES, SHARES, SHARES))
def test_a_harmonic_mean_lies_between_its_parts_and_hangs_on_the_worst(parts):
    mean = float(harmonic_mean(*(np.array([one]) for one in parts))[0])
    assert min(parts) <= mean <= max(parts) + 0.03 + 1e-9
    better = float(harmonic_mean(*(np.array([one + 0.1]) for one in parts))[0])
    assert better > mean


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=12), st.integers(0, 99))
def test_likeness_is_the_mean_over_other_values_comments(places, seed):
    vectors = np.random.default_rng(seed).normal(size=(len(places), 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = likeness(vectors, [f"s{one}" for one, _ in places], np.array([value for _, value in places]))
    for number, (situation, value) in enumerate(places):
        others = [
            float(vectors[number] @ vectors[other])
            for other, (there, another) in enumerate(places)
            if there == situation and another != value
        ]
        assert found[number] == pytest.approx(np.mean(others) if others else 0.0)


def test_situations_are_short_and_none_is_held_out():
    texts = training_situations()
    assert len(texts) > 1000 and texts != training_situations(1) and sorted(texts) == sorted(training_situations(1))
    held_out = {row.fields["situation"] for row in read_table(HELD_OUT, ("situation",)).rows}
    assert not held_out & set(texts)
    assert all(5 <= len(text.split()) <= 40 for text in texts)
