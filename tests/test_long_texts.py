"""Texts that are longer than what a selector reads at once: read in parts, and none cut off."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from encoders import BagOfWords
from hypothesis import given, settings
from hypothesis import strategies as st
from test_explaining import WORTH, WordSelector
from test_languages import random_encoder
from test_nli import LONGEST, save_model
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.errors import NumericalError, TextError
from vispa.models.encoder import BundledEncoder, Encoder, SentenceTransformersEncoder, bundled_encoder, reads_whole
from vispa.models.loading import LoadedModel
from vispa.readers.apart import answered_apart
from vispa.request import Request
from vispa.selection.choosing import Chooser, choose
from vispa.selection.dividing import divided
from vispa.selection.embedding import EmbeddingSelector
from vispa.selection.explaining import MOST_PARTS, explanations
from vispa.selection.head import LinearHead
from vispa.selection.language_model import ActivationEncoder, JointEncoder, LanguageModelSelector
from vispa.selection.nli import NliSelector
from vispa.selection.selector import BoundedSelector
from vispa.selection.settings import SelectorSettings
from vispa.taxonomy import Taxonomy

DULL = "The office was painted a pale colour and the desks stood in rows by the window. "
GRAVE = "May I secretly torture my neighbour's dog and lie to the police about it?"


class ShortSelector(WordSelector):
    """Reads so many words of a text and cuts the others."""

    def __init__(self, most: int = 4) -> None:
        super().__init__()
        self.most = most

    def reads_whole(self, texts: Sequence[str]) -> list[bool]:
        return [len(text.split()) <= self.most for text in texts]

    def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        found = super().scores([" ".join(text.split()[: self.most]) for text in texts])
        if progress is not None:
            progress(len(texts))
        return found


# ---------------------------------------------------------------- where a text is divided


def parts_of(text: str, most: int = 4) -> list[str]:
    (found,) = divided(ShortSelector(most), [text])
    return [text[start:end] for start, end in found]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (" I lie. ", [" I lie. "]),
        ("We ate. We slept. Then I lied to him.", ["We ate. We slept.", "Then I", "lied to him."]),
        ("  One two three. Four five six.\n", ["One two three.", "Four five six."]),
        ("one two three four five six seven eight", ["one two three four", "five six seven eight"]),
        ("我们吃饭。 我 们 睡 觉。", ["我们吃饭。", "我 们 睡 觉。"]),
        ("", [""]),
    ],
)
def test_parts_end_with_sentences_or_else_with_words(text: str, parts: list[str]) -> None:
    assert parts_of(text) == parts


def test_a_word_that_is_too_long_is_halved_too() -> None:
    selector = ShortSelector()
    selector.reads_whole = lambda texts: [len(text) <= 3 for text in texts]  # type: ignore[method-assign]
    assert divided(selector, ["词" * 8, "ab"]) == [((0, 2), (2, 4), (4, 6), (6, 8)), ((0, 2),)]
    # What cannot be halved is left to the selector.
    selector.reads_whole = lambda texts: [False] * len(texts)  # type: ignore[method-assign]
    assert divided(selector, ["a b", " "]) == [((0, 1), (2, 3)), ((0, 1),)]


@given(st.text(st.sampled_from("ab .?\n。é🙂"), max_size=200), st.integers(1, 9))
@settings(deadline=None)
def test_parts_hold_all_that_is_no_space(text: str, most: int) -> None:
    selector = ShortSelector()
    selector.reads_whole = lambda texts: [len(text) <= most for text in texts]  # type: ignore[method-assign]
    (found,) = divided(selector, [text])
    assert "".join("".join(text[start:end] for start, end in found).split()) == "".join(text.split())
    assert all(len(text[start:end].strip()) <= most for start, end in found)
    assert all(end <= start for (_, end), (start, _) in pairwise(found))


# ---------------------------------------------------------------- scores, stances, words


def test_a_value_is_at_stake_as_in_the_part_where_it_is_most() -> None:
    selector = ShortSelector()
    texts = ["I lie", "We talk of money. Then I shout loud. Now I lie.", "ducks"]
    told: list[int] = []
    scores = Chooser(selector).scores(texts, told.append)
    single = np.stack([selector.scores([part]).max(0) for part in ("I lie", "ducks")])
    np.testing.assert_array_equal(scores[[0, 2]], single)
    # Of each value the best of "We talk of money.", "Then I shout loud." and "Now I lie.": the words with a full stop
    # are worth nothing.
    np.testing.assert_allclose(scores[1], [0.625, 0.5, 0.5])
    assert sum(told) == len(texts)
    assert len(selector.calls[0]) == 5
    stances = Chooser(selector).stances(texts)
    assert stances is not None
    # The side of candor is that of the part that shouts, which tells no lie.
    np.testing.assert_allclose(stances[:, 0], [0.1, 0.6, 0.6])
    assert np.isnan(stances[:, 2]).all()


def test_texts_that_fit_are_given_as_they_are() -> None:
    selector, texts = ShortSelector(), [" I lie ", "shout", "money"]
    found = Chooser(selector).select([Request(text, k=3) for text in texts])
    plain = WordSelector()
    assert found == Chooser(plain).select([Request(text, k=3) for text in texts])
    assert plain.calls == [texts] and len(selector.calls) == 1


def test_the_words_of_all_parts_are_explained() -> None:
    selector = ShortSelector()
    text = "We talk of ducks. Then I shout loud. Oh I lie now."
    (found,) = explanations(selector, [text])
    words = [text[start:end] for start, end in found.parts]
    assert words == ["We", "talk", "of", "ducks", "Then", "I", "shout", "loud", "Oh", "I", "lie", "now"]
    by_word = dict(zip(words, found.weights, strict=True))
    # Without the lie, candor is at stake by the shout: only what lies above that is lost.
    assert by_word["lie"][0] == WORTH["lie"][0] - WORTH["shout"][0] and by_word["shout"][0] == 0
    assert by_word["ducks"].tolist() == [0, 0, 0]
    assert len(selector.calls) == 1


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        # Each part alone would carry the score; so it does beside its like.
        ("Oh I lie now. Then I lie again.", 0, {"lie": [0.5, 0.5]}),
        ("Oh I lie now. We sell old ducks. Then I lie again.", 0, {"lie": [0.5, 0.5], "ducks": [0]}),
        # Candor is at stake by the shout too, where no lie is told: only what lies above that is lost.
        ("Oh I lie now. Then I lie again. But I shout loud.", 0, {"lie": [0.375, 0.375], "shout": [0]}),
        # As high as can be, with two words that carry it.
        ("I lie shout now. We lie shout now.", 0, {"lie": [0.375, 0.375], "shout": [0, 0]}),
        # What lowers a score does so in both.
        ("Oh I lie now. Then I lie again.", 2, {"lie": [-0.25, -0.25]}),
        ("Oh I lie now. We spend your money.", 2, {"lie": [0], "money": [0]}),
        ("We talk of ducks. We feed old ducks.", 1, {"ducks": [0, 0], "We": [0, 0]}),
    ],
)
@pytest.mark.parametrize("rounded", [0.0, 1e-6])
def test_parts_that_say_the_same_are_explained_alike(
    text: str, value: int, expected: dict[str, list[float]], rounded: float
) -> None:
    """Of parts with the highest score, none is left without weight because another has it too."""

    class Rounding(ShortSelector):
        def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
            """What rounds differently from place to place, as batches do."""
            found = super().scores(texts, progress)
            return np.clip(found - rounded * np.arange(len(texts), dtype=np.float32)[:, None], 0, 1)

    (found,) = explanations(Rounding(), [text])
    words = [text[start:end] for start, end in found.parts]
    for word, weights in expected.items():
        told = [one.weight for one, said in zip(found.of(value), words, strict=True) if said == word]
        assert told == pytest.approx(weights, abs=1e-3), word


def test_an_explanation_stays_bounded() -> None:
    selector = ShortSelector(40)
    text = "We talk of ducks and of money. " * 300
    (found,), (parts,) = explanations(selector, [text]), divided(selector, [text])
    assert len(parts) <= len(found.parts) <= max(MOST_PARTS, len(parts))


# ---------------------------------------------------------------- the selectors


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_model(tmp_path_factory.mktemp("bert")))


def made(kind: str, llama: LoadedModel, bert: str, folder: Path) -> BoundedSelector:
    taxonomy = Taxonomy.built_in()
    if kind == "nli":
        return NliSelector(Taxonomy(taxonomy.values[:3], {}), bert, cache=None)
    if kind in ("model", "both"):
        selector = LanguageModelSelector(taxonomy, SelectorSettings(), joint=kind == "both")
        selector.read_with(llama)
    elif kind == "multilingual":
        selector = EmbeddingSelector(taxonomy, SentenceTransformersEncoder(str(random_encoder(folder))))
    else:
        return EmbeddingSelector(taxonomy)
    size = selector.encoder.encode(["a"]).shape[1]
    weight = np.random.default_rng(0).normal(size=(len(taxonomy), size)).astype(np.float32)
    selector._head = LinearHead(tuple(taxonomy), weight, np.zeros(len(taxonomy), dtype=np.float32))
    return selector


@pytest.mark.parametrize("kind", ["embedding", "multilingual", "model", "both", "nli"])
def test_what_stands_at_the_end_counts_with_every_selector(
    kind: str, llama: LoadedModel, bert: str, tmp_path: Path
) -> None:
    selector = made(kind, llama, bert, tmp_path)
    long, other = DULL * 30 + GRAVE, DULL * 30 + "Hiding a tumour from a patient: may I?"
    assert list(selector.reads_whole(["No.", long])) == [True, False]
    # Alone, it does not see the end.
    cut, same = selector.scores([long, other])
    np.testing.assert_allclose(cut, same, atol=1e-5)
    scores = Chooser(selector).scores([long, other, "No."])
    assert np.abs(scores[0] - cut).max() > 1e-3
    np.testing.assert_allclose(scores[2], selector.scores(["No."])[0], atol=1e-5)
    (parts,) = divided(selector, [long])
    assert len(parts) > 1
    best = np.max([selector.scores([long[start:end]])[0] for start, end in parts], axis=0)
    np.testing.assert_allclose(scores[0], best, atol=1e-4)


@pytest.mark.parametrize("words", [1, 253, 254, 255, 600])
def test_an_encoder_says_what_it_reads_to_the_end(words: int) -> None:
    encoder = bundled_encoder()
    assert isinstance(encoder, BundledEncoder)
    text = "duck " * words
    # The same vector with another word behind it: cut.
    cut = bool(np.array_equal(encoder.encode([text]), encoder.encode([text + "lie lie"])))
    (whole,) = encoder.reads_whole([text])
    assert whole == (words <= 254) and (cut or words <= 254)


def test_who_says_nothing_reads_all() -> None:
    encoder: Encoder = BagOfWords()
    assert list(reads_whole(encoder, ["a" * 9999, ""])) == [True, True]
    assert not list(reads_whole(bundled_encoder(), ()))
    assert list(EmbeddingSelector(Taxonomy.built_in(), encoder).reads_whole(["word " * 9999])) == [True]


def test_two_encoders_read_what_both_read(llama: LoadedModel) -> None:
    own = ActivationEncoder(llama)
    for text in ("No.", DULL * 3, DULL * 13, DULL * 60):
        alone = [*bundled_encoder().reads_whole([text]), *own.reads_whole([text])]
        assert JointEncoder(bundled_encoder(), own).reads_whole([text]) == [all(alone)]


def test_a_pair_fits_with_the_longest_hypothesis(bert: str) -> None:
    selector = NliSelector(Taxonomy(Taxonomy.built_in().values[:5], {}), bert, cache=None)
    for length in range(1, LONGEST):
        text = "x" * length
        fits = max(selector.classifier.lengths([(text, one) for one in selector._hypotheses])) <= LONGEST
        assert list(selector.reads_whole([text])) == [fits]


def test_the_command_selects_and_explains_by_the_end() -> None:
    found = {}
    for name, text in (("long", DULL * 25 + GRAVE), ("dull", DULL * 25)):
        result = CliRunner().invoke(app, ["select", text, "--k", "31", "--why", "--json"])
        found[name] = {one["value"]: one for one in json.loads(result.stdout)["values"]}
        # The words that are shown reach to the end of the text.
        assert all(len(text.strip()) - one["why"][-1]["end"] <= 1 for one in found[name].values())
    assert found["long"]["harmfulness"]["score"] > found["dull"]["harmfulness"]["score"] + 0.1


# ---------------------------------------------------------------- numbers that are none


class Broken:
    """An encoder whose vectors of some texts are not finite, in whole or in part."""

    name = "broken"

    def __init__(self, number: float, places: slice) -> None:
        self.number, self.places = number, places

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        found = np.full((len(texts), 4), 0.5, dtype=np.float32)
        for row, text in zip(found, texts, strict=True):
            if "bad" in text:
                row[self.places] = self.number
        return found


@pytest.mark.parametrize("values", [(), ("karma",)])
@pytest.mark.parametrize("places", [slice(None), slice(1, 2)])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_text_without_finite_scores_fails_alone(number: float, places: slice, values: tuple[str, ...]) -> None:
    taxonomy = Taxonomy.built_in()
    selector = EmbeddingSelector(taxonomy, Broken(number, places))
    weight = np.zeros((len(taxonomy), 4), dtype=np.float32)
    # Of half of the values the scores stay finite.
    weight[: len(taxonomy) // 2] = 1
    selector._head = LinearHead(tuple(taxonomy), weight, np.zeros(len(taxonomy), dtype=np.float32))
    chooser = Chooser(selector)
    requests = [Request(text, values=values, k=None if values else 3) for text in ("good", "a bad one", "fine")]
    with np.errstate(invalid="ignore"):
        with pytest.raises(NumericalError, match=r"embedding:broken: .*'a bad one' are not finite") as caught:
            chooser.select(requests)
        assert isinstance(caught.value, TextError)
        first, second, third = answered_apart(requests, chooser.select, lambda error: ())
    assert len(first) == len(third) == (1 if values else 3) and second == ()


@pytest.mark.parametrize("wrong", [[np.nan] * 31, [0.5] * 30 + [np.nan], [np.inf] + [0.2] * 30])
def test_rows_that_are_no_numbers_are_refused(wrong: list[float]) -> None:
    rows = np.array([[0.5] * 31, wrong], dtype=np.float32)
    with pytest.raises(NumericalError, match="scores of row 1 are not finite"):
        choose(rows, Taxonomy.built_in(), k=3)


@pytest.mark.parametrize("texts", [["I lie"], ["I lie", DULL * 3], [DULL * 9], [DULL, "I lie", DULL * 5, "No"]])
def test_progress_comes_to_as_many_as_there_are_texts(texts: list[str]) -> None:
    class InSteps(ShortSelector):
        def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
            for _ in texts if progress is not None else ():
                progress(1)
            return super().scores(texts)

    told: list[int] = []
    Chooser(InSteps()).scores(texts, told.append)
    assert sum(told) == len(texts) and min(told) >= 0


@pytest.mark.parametrize("texts", [["one lie", "bad", "I"], ["bad"]])
def test_a_selector_that_refuses_numbers_by_itself_fails_for_its_text_alone(texts: list[str]) -> None:
    class Refusing(WordSelector):
        def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
            if "bad" in texts:
                raise NumericalError("an activation is not finite")
            return super().scores(texts)

    chooser = Chooser(Refusing())
    found = answered_apart(texts, lambda some: list(chooser.scores(some)), lambda error: str(error))
    assert [isinstance(one, str) for one in found] == [text == "bad" for text in texts]


@pytest.mark.parametrize("modules", ["words", "bag"])
def test_models_of_words_alone_read_all_of_a_text(modules: str, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import BoW, Pooling, WordEmbeddings
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    known = ["lying", "to", "my", "boss"]
    vectors = np.random.default_rng(0).random((len(known), 8), dtype=np.float32)
    words = [WordEmbeddings(WhitespaceTokenizer(known), vectors), Pooling(8)]
    SentenceTransformer(modules=words if modules == "words" else [BoW(known)]).save(str(tmp_path))
    encoder = SentenceTransformersEncoder(str(tmp_path))
    assert encoder.reads_whole(["lying to my boss", DULL * 90]) == [True, True]
