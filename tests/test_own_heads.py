"""Relevance heads of users' own values and encoders: right, fitted once, and never in the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import write_taxonomy

from vispa.models.encoder import FloatArray
from vispa.selection.adapted import ADAPTED, load_adapted
from vispa.selection.embedding import EmbeddingSelector
from vispa.selection.shared_head import own_values, read_values, relevance_head
from vispa.selection.unlabelled import row
from vispa.taxonomy import Taxonomy

TEXTS = ["I saved money for the winter", "I told everyone the news"]


class LetterEncoder:
    """Counts letters; remembers how many texts it has read."""

    def __init__(self, name: str = "letters", seed: int = 0) -> None:
        self.name, self.read = name, 0
        self._mix = np.random.default_rng(seed).normal(size=(26, 12))

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        self.read += len(texts)
        counts = np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], dtype=float)
        vectors = counts @ self._mix + 1e-3
        if progress is not None:
            progress(len(texts))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("VISPA_CACHE", str(folder))
    return folder


@pytest.fixture
def taxonomy(tmp_path: Path) -> Taxonomy:
    (tmp_path / "own").mkdir()
    return Taxonomy.load(write_taxonomy(tmp_path / "own"))


def shadowing(folder: Path, definition: str) -> Taxonomy:
    """A taxonomy with the built-in karma and another value of the user's making under a built-in slug."""
    folder.mkdir()
    write_taxonomy(folder)
    built_in = Taxonomy.built_in()
    tables = [
        f'[karma]\nlabel = "{built_in["karma"].label}"\nfamily = "x"\ndefinition = "{built_in["karma"].definition}"\n',
        f'[honor]\nlabel = "honor"\nfamily = "x"\ndefinition = "{definition}"\n',
    ]
    (folder / "values.toml").write_text("\n".join(tables), encoding="utf-8")
    for slug, own in (("karma", "calm"), ("honor", "thrift")):
        (folder / "pairs" / f"{slug}.csv").write_text((folder / "pairs" / f"{own}.csv").read_text())
    return Taxonomy.load(folder)


def test_a_built_in_slug_with_another_meaning_is_scored_by_its_own_definition(tmp_path: Path) -> None:
    definition = "Keeping bees, and knowing the weather by them."
    taxonomy = shadowing(tmp_path / "bees", definition)
    assert own_values(taxonomy) == ("honor",)
    encoder, shipped = load_adapted().encoder, load_adapted().relevance
    head = relevance_head(encoder, taxonomy)
    np.testing.assert_array_equal(head.weight[0], shipped.weight[shipped.values.index("karma")])
    told = read_values(encoder, taxonomy, ("honor",))
    assert shipped.unlabelled is not None
    weight, offset = row(shipped, shipped.unlabelled, told.definitions[0], told.sentences[0])
    np.testing.assert_array_equal(head.weight[1], weight)
    assert head.bias[1] == offset
    selector = EmbeddingSelector(taxonomy, encoder)
    bees, duel = selector.scores(["My hives hum before the rain, so I keep the bees in", "He drew his sword at once"])
    assert bees[1] > duel[1]


def test_built_in_meanings_keep_their_heads(tmp_path: Path, cache: Path) -> None:
    taxonomy = shadowing(tmp_path / "same", Taxonomy.built_in()["honor"].definition)
    selector = EmbeddingSelector(taxonomy)
    assert own_values(taxonomy) == ()
    assert selector.head.values == ("karma", "honor")
    assert not cache.exists()


def test_the_adapted_encoder_reads_the_own_sentences_once(taxonomy: Taxonomy, cache: Path) -> None:
    encoder = load_adapted().encoder
    counted = LetterEncoder(ADAPTED)
    counted._mix = None  # type: ignore[assignment]
    read: list[int] = []

    def encode(texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        read.append(len(texts))
        return encoder.encode(texts, progress)

    counted.encode = encode  # type: ignore[method-assign]
    first = EmbeddingSelector(taxonomy, counted).scores(TEXTS)
    # Three values of eight pairs, two sentences a pair, and the definitions; the probe and the two texts.
    assert sum(read) <= 3 * (1 + 16) + 10
    read.clear()
    again = EmbeddingSelector(taxonomy, counted).scores(TEXTS)
    assert sum(read) <= 10
    np.testing.assert_array_equal(first, again)
    assert len(list((cache / "heads").iterdir())) == 1


def test_another_encoder_reads_the_built_in_pairs_once(taxonomy: Taxonomy, tmp_path: Path) -> None:
    encoder = LetterEncoder()
    first = EmbeddingSelector(taxonomy, encoder).scores(TEXTS)
    assert encoder.read > 6000
    encoder.read = 0
    np.testing.assert_array_equal(EmbeddingSelector(taxonomy, encoder).scores(TEXTS), first)
    assert encoder.read < 20
    other = shadowing(tmp_path / "other", "Keeping bees.")
    EmbeddingSelector(other, encoder).scores(TEXTS)
    assert encoder.read < 100


def test_an_encoder_of_the_same_name_with_other_weights_gets_its_own_head(taxonomy: Taxonomy) -> None:
    EmbeddingSelector(taxonomy, LetterEncoder()).scores(TEXTS)
    other = LetterEncoder(seed=1)
    found = EmbeddingSelector(taxonomy, other).scores(TEXTS)
    assert other.read > 6000
    np.testing.assert_array_equal(found, EmbeddingSelector(taxonomy, LetterEncoder(seed=1)).scores(TEXTS))


def test_changed_pairs_are_read_anew(taxonomy: Taxonomy, tmp_path: Path) -> None:
    encoder = load_adapted().encoder
    before = EmbeddingSelector(taxonomy, encoder).scores(TEXTS)
    pairs = tmp_path / "own" / "pairs" / "calm.csv"
    pairs.write_text(pairs.read_text() + "She breathed slowly by the lake.,She ran about by the lake.\n")
    after = EmbeddingSelector(Taxonomy.load(tmp_path / "own"), encoder).scores(TEXTS)
    assert (before[:, 0] != after[:, 0]).any()
    np.testing.assert_allclose(before[:, 1:], after[:, 1:], atol=1e-5)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-40] ^= 0x40
    file.write_bytes(data)


def as_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped bit": flip,
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:200]),
    "empty": lambda file: file.write_bytes(b""),
    "text": lambda file: file.write_text("no head"),
    "a folder": as_folder,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_cache_changes_nothing(taxonomy: Taxonomy, cache: Path, damage: Callable[[Path], object]) -> None:
    encoder = load_adapted().encoder
    expected = EmbeddingSelector(taxonomy, encoder).scores(TEXTS)
    (file,) = (cache / "heads").iterdir()
    damage(file)
    np.testing.assert_array_equal(EmbeddingSelector(taxonomy, encoder).scores(TEXTS), expected)


def test_a_cache_that_cannot_be_written_stops_nothing(
    taxonomy: Taxonomy, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write_text("a file where the folder should be")
    scores = EmbeddingSelector(taxonomy, load_adapted().encoder).scores(TEXTS)
    assert scores.shape == (2, 3)
    assert "cannot be used as a cache" in caplog.text


def test_progress_is_told_while_the_values_are_read(taxonomy: Taxonomy) -> None:
    told: list[tuple[str, int, int]] = []
    EmbeddingSelector(taxonomy, load_adapted().encoder).prepare(lambda *step: told.append(step))
    assert {stage for stage, _, _ in told} == {"reading the values"}
    assert sum(done for _, done, _ in told) == told[0][2] == 3 * (1 + 16)
