"""Selectors, heads and the choice from scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import write_taxonomy
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.errors import InputError, VispaError
from vispa.models.encoder import BundledEncoder, load_encoder
from vispa.selection import SELECTORS, SelectorKind
from vispa.selection.choosing import choose
from vispa.selection.embedding import EmbeddingSelector
from vispa.selection.head import fit_head
from vispa.selection.labelled import label_matrix, load_situations
from vispa.selection.settings import SelectorSettings
from vispa.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def encoder() -> BundledEncoder:
    return BundledEncoder()


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return Taxonomy.built_in()


def test_bundled_encoder_equals_sentence_transformers(encoder: BundledEncoder) -> None:
    from sentence_transformers import SentenceTransformer

    from vispa.models.encoder import _bundled_folder

    texts = ["Feeding pigeons", "Should I sell the house that my late father built with his own hands?", "Yes."]
    expected = SentenceTransformer(str(_bundled_folder()), device="cpu").encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-5)


def test_batching_does_not_change_embeddings(encoder: BundledEncoder) -> None:
    texts = [f"Lending my cousin {n} coins" + " and a spoon" * (n % 7) for n in range(70)]
    np.testing.assert_allclose(encoder.encode(texts)[69], encoder.encode([texts[69]])[0], atol=1e-5)


def test_scores_are_probabilities_in_one_pass(taxonomy: Taxonomy) -> None:
    scores = EmbeddingSelector(taxonomy).scores(["Feeding pigeons", "Hiding a tumor from a patient"])
    assert scores.shape == (2, 31)
    assert ((scores >= 0) & (scores <= 1)).all()
    slugs = list(taxonomy)
    assert scores[1, slugs.index("truthfulness")] > scores[0, slugs.index("truthfulness")]


def test_head_generalises_to_situations_left_out(encoder: BundledEncoder, taxonomy: Taxonomy) -> None:
    labelled = load_situations()
    values = list(taxonomy)
    embeddings, labels = encoder.encode(labelled.texts[:600]), label_matrix(labelled, values)[:600]
    train, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0)
    scores = fit_head(embeddings[train], labels[train], values).probabilities(embeddings[test])
    usable = [v for v in range(31) if 3 <= labels[test, v].sum() <= len(test) - 3]
    assert np.mean([roc_auc_score(labels[test, v], scores[:, v]) for v in usable]) > 0.65


def test_own_values_get_scores_without_labels(tmp_path: Path) -> None:
    taxonomy = Taxonomy.load(write_taxonomy(tmp_path))
    scores = EmbeddingSelector(taxonomy).scores(["I saved money for the winter", "I told everyone the news"])
    assert scores.shape == (2, 3)
    assert ((scores > 0) & (scores < 1)).all()


def test_unknown_encoder_is_reported() -> None:
    with pytest.raises(VispaError, match="cannot be loaded"):
        load_encoder("./no-such-encoder")


# ---------------------------------------------------------------- choosing

rows = st.lists(st.floats(0, 1, width=32), min_size=31, max_size=31)


@given(rows, st.integers(1, 31), st.floats(0, 1))
def test_choice_keeps_the_highest(row: list[float], k: int, threshold: float) -> None:
    taxonomy = Taxonomy.built_in()
    found = choose(np.array([row], dtype=np.float32), taxonomy, k=k, threshold=threshold)[0]
    scores = [s.score for s in found]
    assert 1 <= len(found) <= k
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(max(row), abs=1e-4)
    assert all(s.score >= threshold - 1e-4 for s in found[1:])
    left_out = [row[i] for i, slug in enumerate(taxonomy) if slug not in {s.value for s in found}]
    if len(found) == k and left_out:
        assert max(left_out) <= scores[-1] + 1e-4


@pytest.mark.parametrize("k", [0, -1, 32, 99])
def test_impossible_k_is_refused(k: int, taxonomy: Taxonomy) -> None:
    with pytest.raises(InputError, match="Choose from 1 to 31"):
        choose(np.zeros((1, 31), dtype=np.float32), taxonomy, k=k)


def test_equal_scores_keep_the_taxonomys_order(taxonomy: Taxonomy) -> None:
    found = choose(np.full((1, 31), 0.5, dtype=np.float32), taxonomy, k=3)[0]
    assert [s.value for s in found] == list(taxonomy)[:3]


# ---------------------------------------------------------------- the registry


class LetterSelector:
    """The first value for texts with its first letter."""

    name = "letters"

    def __init__(self, taxonomy: Taxonomy, settings: SelectorSettings) -> None:
        self.taxonomy, self.settings = taxonomy, settings

    def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        return np.array([[float(slug[0] in text) for slug in self.taxonomy] for text in texts], dtype=np.float32)


def test_a_selector_in_the_registry_is_one_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SELECTORS, "letters", SelectorKind(LetterSelector, idle=("device",)))  # type: ignore[arg-type]
    found = CliRunner().invoke(app, ["select", "jjj", "--selector", "letters", "--json"])
    said = json.loads(found.stdout)
    assert said["selector"] == "letters"
    assert said["values"][0] == {"value": "justice", "score": 1.0, "promotes": None}
    with pytest.raises(InputError, match="--device: has no effect with the letters selector"):
        CliRunner().invoke(app, ["select", "x", "--selector", "letters", "--device", "cpu"], catch_exceptions=False)


def test_an_unknown_selector_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        InputError, match=r"--selector: is 'tea leaves'\. Choose embedding or mpnet or nli or model or both\."
    ):
        CliRunner().invoke(app, ["select", "x", "--selector", "tea leaves"], catch_exceptions=False)


def test_an_embedding_selector_is_made_ready(taxonomy: Taxonomy) -> None:
    selector = SELECTORS["embedding"].make(taxonomy, SelectorSettings())
    assert isinstance(selector, EmbeddingSelector)
    assert selector._head is not None
