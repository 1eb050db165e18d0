"""The encoder that learned to read values: what ships, what it shares, and how it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from conftest import write_taxonomy
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from training import adapter, last_heads, low_rank
from vispa.errors import VispaError
from vispa.models.encoder import BUNDLED, BundledEncoder, FloatArray, bundled_encoder
from vispa.selection.adapted import ADAPTED, ADAPTER_FILE, adaptation, load_adapted
from vispa.selection.embedding import EmbeddingSelector
from vispa.selection.head import LinearHead, fit_head
from vispa.selection.labelled import DEVELOPMENT, Labelled, label_matrix, load_situations
from vispa.taxonomy import Taxonomy

TEXTS = ["Hiding a tumor from a patient", "Feeding pigeons in the park", "Whether a guest may start a fire."]


def test_what_the_adaptation_leaves_alone_is_held_once() -> None:
    plain, adapted = bundled_encoder(), load_adapted().encoder
    assert isinstance(adapted, BundledEncoder)
    assert (plain.name, adapted.name) == (BUNDLED, ADAPTED)
    ours, theirs = dict(adapted._model.named_parameters()), dict(plain._model.named_parameters())
    own = {name for name, weight in ours.items() if weight is not theirs[name]}
    assert own and all(name.endswith("weight") and ".LayerNorm." not in name for name in own)
    assert sum(ours[name].numel() for name in own) < sum(weight.numel() for weight in theirs.values()) / 3


def test_the_bundled_encoder_stays_what_it_is() -> None:
    load_adapted()
    np.testing.assert_allclose(bundled_encoder().encode(TEXTS), BundledEncoder().encode(TEXTS), atol=1e-6)


def test_changes_are_added_to_the_weights_they_name() -> None:
    # One of its own: what all share may remember texts, and what it says of them.
    plain = BundledEncoder()
    module = "encoder.layer.5.output.dense"
    weight = plain._model.get_submodule(module).weight
    change = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) / 50
    other = plain.adapted("other", {module: change})
    before = weight.detach().clone()
    with torch.no_grad():
        weight += change
        expected = plain.encode(TEXTS)
        weight.copy_(before)
    np.testing.assert_allclose(other.encode(TEXTS), expected, atol=1e-6)
    assert np.abs(other.encode(TEXTS) - plain.encode(TEXTS)).max() > 1e-3


def test_the_file_is_small_and_bound_to_its_encoder(tmp_path: Path) -> None:
    assert ADAPTER_FILE.stat().st_size < 3_000_000
    with safe_open(ADAPTER_FILE, "pt") as file:
        about = file.metadata()
    save_file(load_file(ADAPTER_FILE), tmp_path / "other", {**about, "encoder_sha256": "0" * 64})
    with pytest.raises(VispaError, match="made for another encoder"):
        load_adapted(tmp_path / "other")


@pytest.mark.parametrize("keep", [0, 100, 20_000])
def test_a_damaged_file_is_reported(tmp_path: Path, keep: int) -> None:
    (tmp_path / "cut").write_bytes(ADAPTER_FILE.read_bytes()[:keep])
    with pytest.raises(VispaError, match="is damaged"):
        load_adapted(tmp_path / "cut")


# ---------------------------------------------------------------- what it says


def test_probabilities_hold_on_situations_it_was_not_trained_on() -> None:
    taxonomy = Taxonomy.built_in()
    others = load_situations(DEVELOPMENT)
    some = Labelled(others.texts[::4], others.domains[::4], others.stakes[::4])
    found, labels = EmbeddingSelector(taxonomy).scores(some.texts), label_matrix(some, tuple(taxonomy))
    assert found.mean() == pytest.approx(labels.mean(), abs=0.03)
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1)):
        there = (found >= low) & (found < high)
        assert labels[there].mean() == pytest.approx(found[there].mean(), abs=0.06)
    assert adapter.mean_auc(found, labels) > 0.8


def test_stances_are_told_of_built_in_values_alone(tmp_path: Path) -> None:
    taxonomy = Taxonomy.built_in()
    kind, cruel = EmbeddingSelector(taxonomy).stances(
        ["I sat with my dying neighbour all night so that she was not alone", "He kicked the beggar and laughed"]
    )[:, list(taxonomy).index("benevolence")]
    assert cruel < 0.5 < kind
    own = EmbeddingSelector(Taxonomy.load(write_taxonomy(tmp_path)))
    assert np.isnan(own.stances(TEXTS)).all()
    assert own.stances([]).shape == (0, 3)


@pytest.mark.parametrize("polarity", ["own", "paper"])
@pytest.mark.parametrize("text", ["He shouted slurs at a colleague and hit him", "We fed the ducks together, gently"])
def test_stances_follow_the_pole_that_a_value_is_steered_toward(polarity: Literal["own", "paper"], text: str) -> None:
    taxonomy = Taxonomy.built_in()
    usual, (found,) = (
        EmbeddingSelector(taxonomy).stances([text])[0],
        EmbeddingSelector(taxonomy.with_polarity(polarity)).stances([text]),
    )
    for place, value in enumerate(taxonomy.values):
        turned = polarity == "paper" and value.polarity == "avoid"
        assert found[place] == pytest.approx(1 - usual[place] if turned else usual[place], abs=1e-6)


def test_scores_and_stances_read_a_text_once(monkeypatch: pytest.MonkeyPatch) -> None:
    selector = EmbeddingSelector(Taxonomy.built_in())
    encoder, read = selector.encoder, []
    encode = encoder.encode

    def counted(texts: Sequence[str], progress: object = None) -> np.ndarray:
        read.extend(texts)
        return encode(texts)

    monkeypatch.setattr(encoder, "encode", counted)
    scores = selector.scores(TEXTS)
    selector.stances(TEXTS)
    assert read == TEXTS
    np.testing.assert_array_equal(selector.scores(TEXTS[::-1])[::-1].round(5), scores.round(5))
    assert len(read) == 2 * len(TEXTS)


# ---------------------------------------------------------------- heads


def test_a_share_of_a_yes_counts_as_so_many_answers() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(30, 4)).astype(np.float32)
    shares = random.integers(0, 5, size=(30, 1)).astype(np.float32) / 4
    counted = [(row, answer) for row, share in zip(vectors, shares[:, 0], strict=True) for answer in _votes(share)]
    often = np.array([row for row, _ in counted])
    answers = np.array([[answer] for _, answer in counted], dtype=np.float32)
    # Four votes a row weigh four times as much, which a penalty of a quarter makes up for.
    found, expected = fit_head(vectors, shares, ["a"], 1.0), fit_head(often, answers, ["a"], 0.25)
    np.testing.assert_allclose(found.weight, expected.weight, atol=1e-3)
    np.testing.assert_allclose(found.bias, expected.bias, atol=1e-3)


def _votes(share: float) -> list[int]:
    yes = round(4 * share)
    return [1] * yes + [0] * (4 - yes)


def test_situations_that_say_nothing_of_a_value_do_not_count() -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(40, 4)).astype(np.float32)
    targets = (vectors[:, :1] > 0).astype(np.float32)
    targets[25:] = np.nan
    found, expected = fit_head(vectors, targets, ["a"]), fit_head(vectors[:25], targets[:25], ["a"])
    np.testing.assert_array_equal(found.weight, expected.weight)


def test_calibration_keeps_the_ranking_and_meets_the_mean() -> None:
    random = np.random.default_rng(2)
    vectors = random.normal(size=(400, 6)).astype(np.float32)
    sure = LinearHead(("a", "b"), (5 * random.normal(size=(2, 6))).astype(np.float32), np.ones(2, dtype=np.float32))
    labels = (random.random((400, 2)) < 1 / (1 + np.exp(-(vectors @ sure.weight.T) / 5))).astype(np.float32)
    held = sure.calibrated(vectors, labels)
    before, after = sure.probabilities(vectors), held.probabilities(vectors)
    assert after.mean() == pytest.approx(labels.mean(), abs=1e-3)
    assert ((after - labels) ** 2).mean() < ((before - labels) ** 2).mean()
    # Saturated probabilities are alike in float32 before; logits keep their order.
    logits = (vectors @ sure.weight.T + sure.bias)[:, 0]
    assert (np.diff(after[np.argsort(logits), 0]) >= 0).all()


# ---------------------------------------------------------------- training

PLAN = adapter.Plan(first=5, rank=2, epochs=2, batch=8, rate=3e-3)


def some_material(tower: low_rank.Tower) -> adapter.Material:
    labelled = load_situations()
    some = Labelled(labelled.texts[:24], labelled.domains[:24], labelled.stakes[:24])
    return adapter.read(tower, some, Taxonomy.built_in(), sentences=False)


def test_an_untrained_tower_is_the_encoder() -> None:
    tower = adapter.new_tower(PLAN)
    found = tower.embeddings(tower.lower(TEXTS)).numpy()
    np.testing.assert_allclose(found, bundled_encoder().encode(TEXTS), atol=1e-5)


def test_training_learns_the_same_twice_and_its_factors_are_what_was_learned() -> None:
    plan, values = replace(PLAN, sentences=0.0), ("karma", "security", "fairness")
    found = []
    for _ in range(2):
        tower = adapter.new_tower(plan)
        material = some_material(tower)
        # So few situations tell nothing of some values.
        material.targets[:2], material.sides[:2] = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0]])
        start = adapter.untrained_heads(tower, material, tuple(Taxonomy.built_in()))
        some = (start[0].restricted(values), start[1].restricted(values))
        heads = adapter.trained(tower, material, some, replace(plan, folds_epochs=2))
        vectors = tower.embeddings(tower.lower(TEXTS)).numpy()
        found.append((vectors, *(parameter.detach().numpy() for parameter in heads.parameters())))
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)
    changes = {name: up @ down for name, (up, down) in tower.factors().items()}
    merged = bundled_encoder().adapted("merged", changes)
    np.testing.assert_allclose(merged.encode(TEXTS), vectors, atol=1e-5)
    assert np.abs(vectors - bundled_encoder().encode(TEXTS)).max() > 1e-4


def test_heads_are_fitted_anew_on_an_encoder_that_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled, others = load_situations(), load_situations(DEVELOPMENT)
    some = Labelled(labelled.texts[:120], labelled.domains[:120], labelled.stakes[:120])
    few = Labelled(others.texts[:60], others.domains[:60], others.stakes[:60])
    monkeypatch.setattr(last_heads, "learnt_from", lambda: some)
    monkeypatch.setattr(last_heads, "load_situations", lambda _: few)
    # So few situations tell nothing of some values.
    monkeypatch.setattr(last_heads, "mean_auc", lambda found, labels: float(found.mean()))
    monkeypatch.setattr(last_heads, "fitted_last", lambda *given: _taught(some, *given))
    file = tmp_path / "refitted.safetensors"
    last_heads.refit(ADAPTER_FILE, file, 3.0)
    assert capsys.readouterr().out.startswith("before: development")
    old, new = adaptation(ADAPTER_FILE), adaptation(file)
    assert new.relevance.unlabelled is not None and old.relevance.unlabelled is not None
    assert new.relevance.unlabelled.calibration == old.relevance.unlabelled.calibration
    assert new.encoder_sha256 == old.encoder_sha256
    for module, factors in old.factors.items():
        assert all(map(torch.equal, factors, new.factors[module]))
    vectors = load_adapted(ADAPTER_FILE).encoder.encode(few.texts)
    np.testing.assert_allclose(load_adapted(file).encoder.encode(few.texts), vectors, atol=1e-6)
    # Probabilities hold on what they were calibrated on: the mean is the share at stake.
    labels = label_matrix(few, new.relevance.values)
    assert abs(new.relevance.probabilities(vectors).mean() - labels.mean()) < 0.01
    assert not np.allclose(new.relevance.weight, old.relevance.weight)
    with safe_open(file, "np") as opened:
        assert opened.metadata()["heads"] == "fitted last, penalty 3.0" and "plan" in opened.metadata()


def _taught(
    some: Labelled, vectors: FloatArray, targets: FloatArray, sides: FloatArray, penalty: float
) -> tuple[LinearHead, LinearHead]:
    """As `fitted_last`, of values that some situation tells something of, on both sides."""
    targets, sides = targets.copy(), sides.copy()
    assert len(vectors) == len(some.texts) and penalty == 3
    targets[:2], sides[:2] = [[0.0], [1.0]], [[0.0], [1.0]]
    return adapter.fitted_last(vectors, targets, sides, penalty)
