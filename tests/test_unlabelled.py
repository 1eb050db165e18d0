"""Values without labels: against slow sums, whatever the order of what is known, and better than a cosine."""

from __future__ import annotations

import numpy as np
import pytest
from heads import random_unlabelled
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from vispa.models.encoder import FloatArray, bundled_encoder
from vispa.selection.head import Calibration, LinearHead, Unlabelled, fit_head
from vispa.selection.labelled import DEVELOPMENT, label_matrix, load_situations, target_matrix
from vispa.selection.unlabelled import (
    Moments,
    Tellings,
    arrays,
    calibrated_apart,
    left_out,
    measured,
    numbers,
    row,
    stored,
)
from vispa.taxonomy import Taxonomy


def unit(vectors: FloatArray) -> FloatArray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def made(values: int, width: int, seed: int = 0) -> tuple[LinearHead, FloatArray, Tellings]:
    """A head, situations and tellings at random."""
    random = np.random.default_rng(seed)
    head = LinearHead(
        tuple(f"v{n}" for n in range(values)),
        random.normal(size=(values, width)).astype(np.float32),
        random.normal(size=values).astype(np.float32),
    )
    situations = unit(random.normal(size=(60, width)) + 0.3).astype(np.float32)
    words = [unit(random.normal(size=(1 + 6, width)) + 0.2).astype(np.float32) for _ in range(values)]
    return head, situations, Tellings.read(words)


def slow_score(
    head: LinearHead, situations: FloatArray, told: Tellings, text: FloatArray, own: FloatArray, *, alone: bool
) -> float:
    """The score of one text and value, as the words of `row` have it."""
    definition, sentences = own[0], own[1:].mean(0)

    def parting(definition: FloatArray, sentences: FloatArray) -> FloatArray:
        found = unit(definition - 0.7 * told.definitions.mean(0))
        return found if alone else unit(found / 2 + unit(sentences - 0.7 * told.sentences.mean(0)))

    spreads = [
        np.std(situations @ parting(one, said), ddof=1)
        for one, said in zip(told.definitions, told.sentences, strict=True)
    ]
    if alone:
        both = [unit(d - 0.7 * told.definitions.mean(0)) / 2 for d in told.definitions]
        apart = [unit(s - 0.7 * told.sentences.mean(0)) for s in told.sentences]
        spreads = [np.std(situations @ unit(one + other), ddof=1) for one, other in zip(both, apart, strict=True)]
    direct = parting(definition, sentences) @ (text - situations.mean(0)) / np.mean(spreads)

    def scores(vectors: FloatArray) -> FloatArray:
        """Of the head, each in deviations from its mean over situations."""
        logits = situations @ head.weight.T + head.bias
        return (vectors @ head.weight.T + head.bias - logits.mean(0)) / logits.std(0, ddof=1)

    every = np.corrcoef((situations @ head.weight.T).T)
    if alone:
        said = scores(definition) - np.mean([scores(one) for one in told.definitions], axis=0)
    else:
        said = np.mean([scores(one) for one in own[1:]], axis=0) - np.mean([scores(s) for s in told.sentences], axis=0)
    shares = np.linalg.inv(every + np.eye(len(every))) @ said
    over = np.array([shares @ scores(one) for one in situations])
    return float(direct + shares @ scores(text) / over.std(ddof=1) / 4)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(("values", "width", "seed"), [(3, 8, 0), (5, 20, 1), (12, 30, 2)])
def test_a_row_is_what_its_words_say(values: int, width: int, seed: int, alone: bool) -> None:
    head, situations, told = made(values, width, seed)
    random = np.random.default_rng(seed + 50)
    own = unit(random.normal(size=(1 + 6, width))).astype(np.float32)
    known = measured(head, Moments.of(situations), told)
    weight, offset = row(head, known, own[0], None if alone else own[1:].mean(0))
    for text in unit(random.normal(size=(5, width))).astype(np.float32):
        expected = slow_score(head, situations, told, text, own, alone=alone)
        assert weight @ text + offset == pytest.approx(expected, abs=1e-3)


@given(st.permutations(range(6)))
@settings(max_examples=20)
def test_the_order_of_what_is_known_changes_nothing(order: list[int]) -> None:
    head, situations, told = made(6, 16)
    own = made(1, 16, seed=9)[2]
    before = row(head, measured(head, Moments.of(situations), told), own.definitions[0], own.sentences[0])
    other = head.restricted(tuple(head.values[place] for place in order))
    after = row(other, measured(other, Moments.of(situations), told.of(order)), own.definitions[0], own.sentences[0])
    np.testing.assert_allclose(after[0], before[0], atol=1e-4)
    assert after[1] == pytest.approx(before[1], abs=1e-4)


@pytest.mark.parametrize("slope", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("offset", [-2.0, 0.0])
def test_calibration_is_of_the_score(slope: float, offset: float) -> None:
    head, situations, told = made(5, 12)
    plain = measured(head, Moments.of(situations), told)
    own = made(1, 12, seed=3)[2]
    weight, base = row(head, plain, own.definitions[0], own.sentences[0])
    scaled = Unlabelled(
        plain.situations, plain.definitions, plain.sentences, plain.covariance, plain.spread, Calibration(slope, offset)
    )
    after = row(head, scaled, own.definitions[0], own.sentences[0])
    np.testing.assert_allclose(after[0], slope * weight, rtol=1e-5)
    assert after[1] == pytest.approx(slope * base + offset, abs=1e-5)
    # Of situations on the whole nothing is known: the mean of their logits is the offset.
    assert (situations @ after[0] + after[1]).mean() == pytest.approx(offset, abs=1e-4)


def test_a_value_that_says_what_all_do_has_finite_scores() -> None:
    head, situations, told = made(4, 10)
    known = measured(head, Moments.of(situations), told)
    weight, offset = row(head, known, known.definitions, known.sentences)
    assert np.isfinite(weight).all() and np.isfinite(offset)


def test_what_is_stored_comes_back() -> None:
    known = random_unlabelled(4, 9)
    again = stored(arrays(known), numbers(known))
    assert again.calibration == known.calibration and again.spread == known.spread
    for name, array in arrays(known).items():
        np.testing.assert_array_equal(arrays(again)[name], array)


def test_what_is_left_out_says_nothing_of_itself() -> None:
    head, situations, told = made(6, 14)
    texts = made(1, 14, seed=4)[1]
    before = left_out(head, Moments.of(situations), told, [1, 4], texts)
    weight = head.weight.copy()
    weight[[1, 4]] = 77
    after = left_out(LinearHead(head.values, weight, head.bias), Moments.of(situations), told, [1, 4], texts)
    np.testing.assert_array_equal(after, before)


def test_calibrated_probabilities_have_the_mean_of_the_labels() -> None:
    head, situations, told = made(6, 14)
    texts = made(1, 14, seed=4)[1]
    labels = (np.random.default_rng(0).random((len(texts), 6)) < 0.3).astype(np.float32)
    known = calibrated_apart(head, Moments.of(situations), told, texts, labels)
    scores = np.stack(
        [left_out(head, Moments.of(situations), told, [place], texts)[:, 0] for place in range(6)], axis=1
    )
    shares = 1 / (1 + np.exp(-(known.calibration.slope * scores + known.calibration.offset)))
    assert shares.mean() == pytest.approx(labels.mean(), abs=1e-3)


def test_built_in_values_as_if_they_were_a_users_own() -> None:
    """On an encoder that has learnt nothing of them they are ranked better than by the cosine to what tells them."""
    encoder, taxonomy, values = bundled_encoder(), Taxonomy.built_in(), tuple(Taxonomy.built_in())
    situations, others = load_situations(), load_situations(DEVELOPMENT)
    known, unseen = encoder.encode(situations.texts[:1200]), encoder.encode(others.texts)
    labels = label_matrix(others, values)
    head = fit_head(known, target_matrix(situations, values)[:1200], values)
    words, moments = [], Moments.of(known)
    for value in taxonomy.values:
        sentences = [text for side in taxonomy.sentences(value.slug) for text in side][:20]
        words.append(encoder.encode([f"{value.label}: {value.definition}", *sentences]))
    told = Tellings.read(words)

    def mean_area(scores: FloatArray) -> float:
        return float(np.mean([roc_auc_score(labels[:, v], scores[:, v]) for v in range(len(values))]))

    cosine = mean_area(unseen @ unit(told.definitions + unit(told.sentences)).T)
    apart = [left_out(head, moments, told, [place], unseen)[:, 0] for place in range(len(values))]
    assert mean_area(np.stack(apart, axis=1)) > cosine + 0.04
    together = np.zeros_like(labels, dtype=np.float64)
    alone = np.zeros_like(together)
    for fold in range(4):
        places = list(range(fold, len(values), 4))
        together[:, places] = left_out(head, moments, told, places, unseen)
        alone[:, places] = left_out(head, moments, told, places, unseen, by_definition=True)
    assert mean_area(together) > cosine + 0.03
    assert mean_area(alone) > mean_area(unseen @ told.definitions.T) + 0.01
