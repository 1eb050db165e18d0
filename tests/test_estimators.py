"""Estimators against slow references in numpy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import write_taxonomy
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from vispa.models.loading import LoadedModel
from vispa.steering.activations import read_activations
from vispa.steering.bank import VectorBank
from vispa.steering.estimators import ESTIMATORS
from vispa.steering.estimators.mean_difference import MeanDifference
from vispa.steering.estimators.one_versus_others import OneVersusOthers
from vispa.steering.estimators.probe import Probe
from vispa.steering.estimators.probe_mean_difference import ProbeMeanDifference
from vispa.steering.estimators.projection import Projection
from vispa.steering.estimators.quality import split
from vispa.steering.fitting import fit_bank
from vispa.steering.logistic import fit_logistic
from vispa.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def bank(llama: LoadedModel, small_taxonomy: Taxonomy) -> VectorBank:
    return fit_bank(llama, small_taxonomy)


def random_sides(seed: int, values: int = 2, count: int = 40, blocks: int = 3, width: int = 24):
    """Two sides [V, N, L, H] whose means differ a little."""
    generator = torch.Generator().manual_seed(seed)
    positive, negative = (torch.randn(values, count, blocks, width, generator=generator) for _ in range(2))
    return positive + 0.4 * torch.randn(values, 1, blocks, width, generator=generator), negative


def cosine(one: np.ndarray, two: np.ndarray) -> float:
    return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


def test_probe_equals_scikit_learn(llama: LoadedModel, small_taxonomy: Taxonomy, bank: VectorBank) -> None:
    directions = bank.entries["probe"].directions
    for row, slug in enumerate(small_taxonomy):
        positive, negative = small_taxonomy.sentences(slug)
        states = read_activations(llama, [*positive, *negative])["last"].double().numpy()
        labels = np.array([1] * len(positive) + [0] * len(negative))
        train, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
        for block in range(len(llama.blocks)):
            model = LogisticRegression(solver="newton-cholesky", max_iter=5000, tol=1e-10).fit(
                states[train, block], labels[train]
            )
            weight = model.coef_[0]
            cosine = weight @ directions.vectors[row, block].numpy() / np.linalg.norm(weight)
            assert cosine > 1 - 1e-5
            assert directions.quality[row, block] == pytest.approx(model.score(states[test, block], labels[test]))


def test_one_versus_others_equals_loop(llama: LoadedModel, small_taxonomy: Taxonomy, bank: VectorBank) -> None:
    means = {
        slug: read_activations(llama, small_taxonomy.sentences(slug)[0], readings=("mean",))["mean"].mean(0)
        for slug in small_taxonomy
    }
    overall = sum(means.values()) / len(means)
    for row, slug in enumerate(small_taxonomy):
        expected = means[slug] - overall
        torch.testing.assert_close(
            bank.entries["one_versus_others"].directions.vectors[row], expected, atol=1e-4, rtol=1e-4
        )


def test_projection_equals_singular_vectors() -> None:
    positive, negative = random_sides(1)
    found = Projection().fit(positive, negative).vectors
    for value in range(2):
        for block in range(3):
            differences = (positive - negative)[value, :, block].double().numpy()
            component = np.linalg.svd(differences, full_matrices=False)[2][0]
            votes = int(np.sum(np.sign(differences @ component)))
            component = component * (np.sign(votes) if votes else np.sign(component[np.abs(component).argmax()]))
            assert cosine(component, found[value, block].double().numpy()) > 1 - 1e-5
            assert float(found[value, block].norm()) == pytest.approx(1, abs=1e-5)


def test_mean_difference_equals_loop() -> None:
    positive, negative = random_sides(2)
    found = MeanDifference().fit(positive, negative).vectors
    for value in range(2):
        for block in range(3):
            expected = sum(positive[value, :, block]) / 40 - sum(negative[value, :, block]) / 40
            torch.testing.assert_close(found[value, block], expected, atol=1e-5, rtol=1e-5)


def test_probe_mean_difference_has_the_ones_direction_and_the_others_length() -> None:
    sides = random_sides(3)
    found, probe, mean = (e.fit(*sides).vectors for e in (ProbeMeanDifference(), Probe(), MeanDifference()))
    torch.testing.assert_close(found / found.norm(dim=-1, keepdim=True), probe, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.norm(dim=-1), mean.norm(dim=-1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("labels", [[1.0], [1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
def test_a_class_of_one_sentence_is_learnt_from_and_told(labels: list[float]) -> None:
    train, test = split(torch.tensor(labels), 0)
    assert train.tolist() == test.tolist() == list(range(len(labels)))


@pytest.mark.parametrize("pairs", [2, 3, 4])
def test_quality_of_few_pairs_is_held_out(pairs: int) -> None:
    """Noise is told apart as often as by chance, and the sides are not said to lie far apart."""
    generator = torch.Generator().manual_seed(pairs)
    above, below = ([torch.randn(pairs, 1, 16, generator=generator) for _ in range(200)] for _ in range(2))
    found = MeanDifference().fit(above, below)
    assert found.quality.mean().item() == pytest.approx(0.5, abs=0.06)
    assert found.separation.abs().max() < 100
    for labels in (torch.ones(pairs), torch.tensor([1.0, 0.0] * pairs)):
        train, test = split(labels, 0)
        assert not set(train.tolist()) & set(test.tolist())
        assert set(labels[test].tolist()) == set(labels[train].tolist()) == set(labels.tolist())


def test_quality_is_near_chance_without_a_difference_and_one_with_a_large_one() -> None:
    generator = torch.Generator().manual_seed(0)
    same = [torch.randn(1, 400, 1, 8, generator=generator) for _ in range(2)]
    for estimator in (Projection(), MeanDifference(), Probe()):
        assert abs(float(estimator.fit(*same).quality) - 0.5) < 0.1
        apart = estimator.fit(same[0] + 5, same[1] - 5)
        assert float(apart.quality) == 1
        assert float(apart.separation) > 5 > abs(float(estimator.fit(*same).separation))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 1.0, 100.0]), st.sampled_from([0.1, 1.0, 30.0]))
def test_logistic_regression_equals_scikit_learn(seed: int, strength: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(3, 30, 12)) * scale + rng.normal(size=(3, 1, 12)) * scale
    labels = np.r_[np.ones(13), np.zeros(17)]
    weight, bias = fit_logistic(torch.from_numpy(states), torch.from_numpy(labels), strength)
    for number in range(3):
        model = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=1000, tol=1e-12).fit(
            states[number], labels
        )
        assert cosine(weight[number].numpy(), model.coef_[0]) > 1 - 1e-6
        assert float(weight[number].norm()) == pytest.approx(np.linalg.norm(model.coef_[0]), rel=1e-4)
        assert float(bias[number]) == pytest.approx(float(model.intercept_[0]), rel=1e-3, abs=1e-3)


# ---------------------------------------------------------------- values with different numbers of pairs


def uneven(counts: tuple[int, ...], seed: int = 0) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    random = torch.Generator().manual_seed(seed)
    sides = []
    for shift in (1.0, -1.0):
        sides.append(
            [torch.randn(n, 2, 6, generator=random) + shift * torch.arange(6) * (v + 1) for v, n in enumerate(counts)]
        )
    return sides[0], sides[1]


@pytest.mark.parametrize("counts", [(4, 12, 7), (1, 9), (30, 2, 2)])
@pytest.mark.parametrize("estimator", [Projection(), MeanDifference(), Probe(), ProbeMeanDifference()])
def test_each_value_is_fitted_on_all_of_its_own_pairs(estimator, counts: tuple[int, ...]) -> None:
    positive, negative = uneven(counts)
    together = estimator.fit(positive, negative)
    for number in range(len(counts)):
        alone = estimator.fit([positive[number]], [negative[number]])
        torch.testing.assert_close(together.vectors[number], alone.vectors[0])
        torch.testing.assert_close(together.quality[number], alone.quality[0])


@pytest.mark.parametrize("counts", [(4, 12, 7), (1, 9), (5,)])
def test_one_versus_others_counts_every_sentence(counts: tuple[int, ...]) -> None:
    positive, negative = uneven(counts)
    fitted = OneVersusOthers().fit(positive, negative)
    means = torch.stack([states.mean(0) for states in positive])
    torch.testing.assert_close(fitted.vectors, means - means.mean(0), atol=1e-4, rtol=1e-4)
    assert ((fitted.quality >= 0) & (fitted.quality <= 1)).all()
    assert torch.isfinite(fitted.separation).all()


def test_a_bank_is_fitted_on_all_pairs(llama, small_taxonomy, tmp_path) -> None:
    folder = write_taxonomy(tmp_path)
    pairs = folder / "pairs" / "calm.csv"
    # Two pairs of one value are left; the others keep their eight, and their directions.
    pairs.write_text("\n".join(pairs.read_text().splitlines()[:3]) + "\n")
    whole = fit_bank(llama, small_taxonomy, estimators=[MeanDifference()])
    part = fit_bank(llama, Taxonomy.load(folder), estimators=[MeanDifference()])
    vectors = [bank.entry("mean_difference").directions.vectors for bank in (whole, part)]
    torch.testing.assert_close(vectors[0][1:], vectors[1][1:])
    assert not torch.allclose(vectors[0][0], vectors[1][0])


@pytest.mark.parametrize(
    "name", ["one_versus_others", "one_versus_others_last", "one_versus_others_sink_free", "probe"]
)
def test_lengths_of_the_residual_stream_do_not_hang_on_the_estimators(llama, small_taxonomy, bank, name: str) -> None:
    (one,) = (estimator for estimator in ESTIMATORS if estimator.name == name)
    torch.testing.assert_close(fit_bank(llama, small_taxonomy, estimators=[one]).residual_norm, bank.residual_norm)
