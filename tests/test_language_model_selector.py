"""Selection from the activations of the model that is steered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vispa.models.encoder import bundled_encoder
from vispa.models.loading import LoadedModel, load_model
from vispa.selection import SELECTORS
from vispa.selection.choosing import Chooser
from vispa.selection.head import LinearHead
from vispa.selection.labelled import DEVELOPMENT, Labelled, label_matrix, load_situations
from vispa.selection.language_model import BESIDE, DEPTHS, ActivationEncoder, JointEncoder, LanguageModelSelector
from vispa.selection.selector import ModelReadingSelector
from vispa.selection.settings import SelectorSettings
from vispa.taxonomy import Taxonomy

TEXTS = ["Hiding a tumor from a patient", "Feeding pigeons in the park", "No."]


def referred(loaded: LoadedModel, text: str) -> list[np.ndarray]:
    """Means over the tokens of one text after each block read, one forward pass a text, without those of a sink."""
    ids = loaded.tokenizer(text, add_special_tokens=True)["input_ids"]
    with torch.inference_mode():
        states = loaded.model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    blocks = sorted({round(depth * len(loaded.blocks)) for depth in DEPTHS})
    return [states[block + 1][0, 1:].mean(0).numpy() for block in blocks]


def test_vectors_are_the_means_of_the_tokens_less_what_definitions_share(llama: LoadedModel) -> None:
    found = ActivationEncoder(llama).encode(TEXTS[:2])
    definitions = [f"{value.label}: {value.definition}" for value in Taxonomy.built_in().values]
    centre = np.mean([referred(llama, text) for text in definitions], axis=0)
    for vector, text in zip(found, TEXTS[:2], strict=True):
        rows = np.stack(referred(llama, text)) - centre
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        np.testing.assert_allclose(vector, rows.reshape(-1) / len(rows) ** 0.5, atol=2e-5)


def test_a_text_has_one_vector_alone_and_in_a_batch(llama: LoadedModel) -> None:
    encoder = ActivationEncoder(llama)
    together = encoder.encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for vector, text in zip(together, TEXTS, strict=True):
        np.testing.assert_allclose(encoder.encode([text])[0], vector, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("count", [3, 20, 60])
def test_in_16_bits_too_a_vector_is_the_same_alone_and_in_a_batch(
    make_model: Callable[..., LoadedModel], dtype: torch.dtype, count: int
) -> None:
    loaded = make_model("llama")
    loaded.model.to(dtype)
    encoder = ActivationEncoder(loaded)
    texts = [f"{TEXTS[number % len(TEXTS)]} {'again ' * (number * 7 % 31)}{number}" for number in range(count)]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_array_equal(encoder.encode(texts), alone)


def test_both_stand_side_by_side(llama: LoadedModel) -> None:
    own, other = ActivationEncoder(llama), bundled_encoder()
    joint = JointEncoder(other, own).encode(TEXTS)
    expected = (other.encode(TEXTS) @ other.encode(TEXTS).T + BESIDE**2 * own.encode(TEXTS) @ own.encode(TEXTS).T) / (
        1 + BESIDE**2
    )
    np.testing.assert_allclose(joint @ joint.T, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["model", "both"])
def test_the_pipeline_lets_it_read_its_own_model(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    monkeypatch.setattr("vispa.selection.language_model.load_model", lambda name, **_: loads.append(name))
    embedded, taxonomy = load_model("embedded"), Taxonomy.built_in()
    selector = SELECTORS[kind].make(taxonomy, SelectorSettings())
    assert isinstance(selector, LanguageModelSelector) and isinstance(selector, ModelReadingSelector)
    chooser = Chooser(selector, embedded)
    size = selector.encoder.encode(TEXTS[:1]).shape[1]
    weight = np.random.default_rng(0).normal(size=(len(taxonomy), size)).astype(np.float32)
    selector._head = LinearHead(tuple(taxonomy), weight, np.zeros(len(taxonomy), dtype=np.float32))
    assert selector.scores(TEXTS).shape == (3, len(taxonomy))
    assert not loads and selector.name == f"{kind}:{embedded.name}"
    # What compares texts stays a sentence encoder.
    assert chooser.encoder is bundled_encoder()


def test_another_model_that_was_named_is_read_instead(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vispa.selection.language_model.load_model", lambda name, **_: llama)
    selector = SELECTORS["model"].make(Taxonomy.built_in(), SelectorSettings(model="named"))
    Chooser(selector, load_model("embedded"))
    assert isinstance(selector, LanguageModelSelector)
    assert selector.encoder.name.startswith(llama.name)


def test_its_head_is_fitted_on_the_labelled_situations_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llama: LoadedModel
) -> None:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path))
    some = load_situations(DEVELOPMENT)
    few = Labelled(some.texts[:150], some.domains[:150], some.stakes[:150])
    monkeypatch.setattr("vispa.selection.shared_head.load_situations", lambda *_: few)
    first, again = (
        Chooser(LanguageModelSelector(Taxonomy.built_in(), SelectorSettings(), joint=False), llama) for _ in "ab"
    )
    scores = first.scores(few.texts)
    assert list((tmp_path / "heads").iterdir())
    labels = label_matrix(few, tuple(Taxonomy.built_in()))
    # It has learned them; whether it says anything of others, the benchmark measures on a real model.
    assert scores[labels == 1].mean() > scores[labels == 0].mean() + 0.1
    monkeypatch.setattr("vispa.selection.shared_head.fit_reference", None)
    np.testing.assert_array_equal(again.scores(few.texts), scores)
