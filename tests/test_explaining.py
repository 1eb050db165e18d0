"""Which words carry a score, and on which side of each value a situation is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from test_console import FORBIDDEN, HOSTILE
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.cli.selected import listed_words, shaded_words
from vispa.modes.case import Case
from vispa.modes.overton.extractive import ExtractiveAggregator
from vispa.records import Comment, OvertonResponse, Selection
from vispa.request import Request
from vispa.selection import SELECTORS, SelectorKind
from vispa.selection.choosing import Chooser
from vispa.selection.embedding import EmbeddingSelector
from vispa.selection.explaining import MOST_PARTS, Explained, Span, explanations, text_parts, without
from vispa.selection.sides import side_in_words
from vispa.taxonomy import Taxonomy, Value

TAXONOMY = Taxonomy([Value(slug, slug, "test", f"About {slug}.") for slug in ("candor", "thrift", "calm")], {})
WORTH = {"lie": (0.5, 0.0, -0.25), "money": (0.0, 0.5, 0.0), "shout": (0.125, 0.0, -0.5)}


class WordSelector:
    """Adds what each known word is worth to a middle score; it tells sides of the first two values only."""

    name = "words"

    def __init__(self, taxonomy: Taxonomy = TAXONOMY, *_: object) -> None:
        self.taxonomy = taxonomy
        self.calls: list[list[str]] = []

    def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        self.calls.append(list(texts))
        rows = [np.sum([WORTH.get(word, (0, 0, 0)) for word in text.split()] or [(0, 0, 0)], 0) for text in texts]
        found = np.zeros((len(texts), len(self.taxonomy)), dtype=np.float32)
        found[:, :3] = np.clip(0.5 + np.array(rows), 0, 1)
        return found

    def stances(self, texts: Sequence[str]) -> np.ndarray:
        found = np.full((len(texts), len(self.taxonomy)), np.nan, dtype=np.float32)
        found[:, :2] = [[0.1 if "lie" in text else 0.6, 0.9] for text in texts]
        return found


# ---------------------------------------------------------------- parts of a text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't tell my nan’s friend, OK?", ["Don't", "tell", "my", "nan’s", "friend", "OK"]),
        ("妈妈不吃药。", list("妈妈不吃药")),
        ("परिवार की देखभाल", ["परिवार", "की", "देखभाल"]),
        ("إطعام البط", ["إطعام", "البط"]),
        ("Ducks 🦆👩‍👩‍👧 at 3.14", ["Ducks", "🦆", "👩‍👩‍👧", "at", "3.14"]),
        ("?!", ["?!"]),
    ],
)
def test_words_of_any_script(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in text_parts(text)] == words


@given(st.text(max_size=300), st.integers(1, 60))
@settings(deadline=None)
def test_parts_are_bounded_and_hold_every_letter(text: str, most: int) -> None:
    parts = text_parts(text, most)
    assert 1 <= len(parts) <= most
    ends = [0]
    for start, end in parts:
        assert ends[-1] <= start <= end <= len(text)
        ends.append(end)
    outside = "".join(text[a:b] for a, (b, _) in zip(ends, [*parts, (len(text), 0)], strict=True))
    if regex.search(r"[\p{L}\p{N}]", text):
        assert not regex.search(r"[\p{L}\p{N}]", outside)


def test_long_texts_are_cut_at_phrases() -> None:
    text = "We walked on and on, then we stopped. " * 40
    found = [text[start:end] for start, end in text_parts(text)]
    assert len(found) <= MOST_PARTS
    assert sum(one.endswith(("on", "stopped")) for one in found) > 0.9 * len(found)
    assert len(text_parts("词" * 20_000)) <= MOST_PARTS
    assert len(text_parts("x" * 20_000)) == 1


@pytest.mark.parametrize(
    ("text", "span", "left"),
    [
        ("I lie now", (2, 5), "I now"),
        ("lie now", (0, 3), "now"),
        ("now lie", (4, 7), "now "),
        ("I lie, now", (2, 5), "I , now"),
        ("lie", (0, 3), "…"),
        ("", (0, 0), "…"),
    ],
)
def test_what_is_left_without_a_part(text: str, span: tuple[int, int], left: str) -> None:
    assert without(text, *span) == left


# ---------------------------------------------------------------- weights


def test_weights_are_what_the_scores_lose() -> None:
    selector = WordSelector()
    texts = ["I lie, shout and lie about money", "ducks", "shout"]
    found = explanations(selector, ["I lie , shout about money", *texts[1:]])
    first = found[0]
    words = ["I lie , shout about money"[start:end] for start, end in first.parts]
    assert words == ["I", "lie", "shout", "about", "money"]
    # 0.5 + 0.5 + 0.125 is cut to 1; without `lie` it is 0.625, without `shout` 1.
    np.testing.assert_allclose(first.weights[:, 0], [0, 0.375, 0, 0, 0])
    np.testing.assert_allclose(first.weights[:, 1], [0, 0, 0, 0, 0.5])
    # 0.5 - 0.75 is cut to 0; without `lie` 0, without `shout` 0.25.
    np.testing.assert_allclose(first.weights[:, 2], [0, 0, -0.25, 0, 0])
    np.testing.assert_allclose(found[1].weights, [[0, 0, 0]])
    np.testing.assert_allclose(found[2].weights, [[0.125, 0, -0.5]])
    assert len(selector.calls) == 1 and len(selector.calls[0]) == 6 + 2 + 2


def test_words_that_explain_are_words_that_count() -> None:
    """Leaving out the words that are said to carry a score lowers it more than leaving out as many others."""
    texts = [
        "The nurse told the family a lie about the medicine so that they would sign the papers before lunch",
        "My brother spends all his savings on lottery tickets every Friday after work at the harbour",
        "At the table by the window my uncle shouts insults at the waiter while we look at our plates",
        "For years our street has lit candles on the graves of its dead on the first evening of November",
    ]
    selector = EmbeddingSelector(Taxonomy.built_in())
    scores = selector.scores(texts)
    random = np.random.default_rng(0)
    gaps = []
    for text, row, one in zip(texts, scores, explanations(selector, texts), strict=True):
        column = int(row.argmax())
        top = set(np.argsort(-one.weights[:, column])[:3].tolist())
        draws = [top, *(set(random.choice(len(one.parts), 3, replace=False).tolist()) for _ in range(6))]
        left = [" ".join(text[a:b] for i, (a, b) in enumerate(one.parts) if i not in draw) for draw in draws]
        low, *others = selector.scores(left)[:, column]
        gaps.append(np.mean(others) - low)
    assert min(gaps) > 0 and np.mean(gaps) > 0.1


# ---------------------------------------------------------------- sides


def test_selections_tell_the_side_where_the_selector_does() -> None:
    chooser = Chooser(WordSelector())
    (found,) = chooser.select([Request("I lie about money", k=3)])
    sides = {one.value: (one.promotes, one.side) for one in found}
    assert sides == {"candor": (0.1, "violates"), "thrift": (0.9, "promotes"), "calm": (None, None)}
    (named,) = chooser.select([Request("ducks", values=("candor", "calm"))])
    assert [(one.value, one.promotes, one.side) for one in named] == [("candor", 0.6, None), ("calm", None, None)]


def test_a_selector_without_stances_tells_none() -> None:
    class Plain:
        name, taxonomy = "plain", TAXONOMY

        def scores(self, texts: Sequence[str], progress: object = None) -> np.ndarray:
            return np.full((len(texts), 3), 0.5, dtype=np.float32)

    chooser = Chooser(Plain())
    assert chooser.stances(["a"]) is None
    assert {one.promotes for one in chooser.select([Request("a", k=2)])[0]} == {None}


@pytest.mark.parametrize(
    ("promotes", "plain", "avoided"),
    [(0.9, "promotes", "avoids"), (0.1, "violates", "brings"), (0.5, "open", "open"), (None, "", "")],
)
def test_sides_in_words(promotes: float | None, plain: str, avoided: str) -> None:
    one = Selection(value="x", score=0.5, promotes=promotes)
    assert side_in_words(one, Value("x", "x", "test", "X.")) == plain
    assert side_in_words(one, Value("x", "x", "test", "X.", polarity="avoid")) == avoided


@pytest.mark.parametrize("stance", [{}, {"support": 1.0}])
def test_an_overton_answer_says_nothing_of_the_situations_sides(stance: dict[str, float]) -> None:
    """Fewer than half of them are as readers have them (docs/adapter.md)."""

    def said(value: str) -> Comment:
        return Comment(value=value, text=f"About {value} alone.", shift={}, prompt="", tokens=3, stance=stance)

    sides = [("candor", 0.99), ("thrift", 0.01), ("calm", 0.5)]
    values = tuple(Selection(value=slug, score=0.9, promotes=promotes) for slug, promotes in sides)
    aggregator = ExtractiveAggregator(TAXONOMY, lambda texts: np.eye(len(texts), dtype=np.float32))
    comments = [said(slug) for slug, _ in sides]
    (answer,) = aggregator.aggregate([Case(text="x", comments=comments, values=values)])
    assert isinstance(answer, OvertonResponse)
    assert "promotes" not in answer.response and "violates" not in answer.response
    assert {text for claim in answer.claims for text in claim.values} == {"candor", "thrift", "calm"}


# ---------------------------------------------------------------- the command


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    kind = SelectorKind(WordSelector, idle=())  # type: ignore[arg-type]
    monkeypatch.setitem(SELECTORS, "words", kind)
    found = CliRunner().invoke(app, ["select", "--selector", "words", *arguments, "--", text], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_spans_in_json_are_of_the_text_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.loads(run("--why", "--json", "--k", "1", monkeypatch=monkeypatch, text="  🦆 I lie  "))
    (value,) = said["values"]
    assert [said["text"][one["start"] : one["end"]] for one in value["why"]] == ["🦆", "I", "lie"]
    assert [one["weight"] for one in value["why"]] == [0.0, 0.0, 0.5]
    assert "why" not in json.loads(run("--json", "--k", "1", monkeypatch=monkeypatch, text="I lie"))["values"][0]


def test_words_are_listed_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    said = run("--why", "--k", "2", monkeypatch=monkeypatch, text="I lie about [red]money[/red] \x1b[31m")
    assert "violates" in said and "lie +0.500" in said and "\x1b" not in said


@pytest.mark.parametrize("text", HOSTILE)
def test_shaded_words_are_data(text: str) -> None:
    parts = text_parts(text)
    why = tuple(Span(start=start, end=end, weight=(-1) ** n * 0.5) for n, (start, end) in enumerate(parts))
    one = Explained(value="x", score=0.5, why=why)
    drawn = shaded_words(text, one)
    assert not FORBIDDEN & set(drawn.plain)
    letters = [character for character in text if character.isascii() and character.isalnum()]
    shown = iter(drawn.plain)
    assert all(letter in shown for letter in letters)
    assert all(
        text[one.start : one.end] in listed_words(text, Explained(value="x", score=1, why=(one,))) for one in why[:1]
    )
