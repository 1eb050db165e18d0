"""The benchmark of option readings: tries agree with the engine, figures and their floors with slow references."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.option_figures import Answers, nobody
from benchmarks.options import Remembering, data_set, plain_questions
from benchmarks.tries import Read, Tries
from vispa.evaluation.metrics.distribution import jensen_shannon_distances
from vispa.generation.rows import Row
from vispa.generation.transformers import TransformersEngine
from vispa.items.item import Item
from vispa.models.loading import load_model
from vispa.modes.prompts import built_in_prompts
from vispa.request import LETTERS, OPTION_READINGS

ASKED = {
    "Question: Is it right?\nOptions: A. Right B. Wrong\nAnswer:": (" Right", " Wrong", " Right and wrong"),
    "Question: Is it right?\nOptions: A. Wrong B. Right\nAnswer:": (),
    "Question: Is it right?\nAnswer:": (" Right", " Wrong"),
    "Nothing": (" in common",),
}
GOLD = [np.array([0.5, 0.5]), np.array([0.2, 0.3, 0.5]), np.array([1.0]), np.array([0.1, 0.9])]


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine(load_model())


@pytest.mark.parametrize("tokens", [1, 60, 768])
def test_tries_read_what_the_engine_reads(engine: TransformersEngine, tokens: int) -> None:
    found = dict(Tries(engine, tokens).read(ASKED))
    assert found.keys() == ASKED.keys()
    rows = [Row(engine.raw_prompt(text)) for text in ASKED]
    masses = engine.options(rows, [len(LETTERS)] * len(rows))
    means = engine.likelihoods(rows, list(ASKED.values()))
    for text, letters, likely in zip(ASKED, masses, means, strict=True):
        np.testing.assert_allclose(found[text].letters, letters, atol=1e-5)
        np.testing.assert_allclose([found[text].means[word] for word in ASKED[text]], likely, atol=1e-4)


def test_what_was_read_is_kept_and_not_read_again(
    engine: TransformersEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = Item(id=1, mode="distributional", text="Is rain wet?", options=("Yes", "No"), gold_distribution=(0.9, 0.1))
    prompts, kept = built_in_prompts(), tmp_path / "kept.jsonl"

    def all_readings(reader: Remembering) -> list[Answers]:
        found = []
        for name in OPTION_READINGS:
            reader.option_reading = name
            found.append(data_set(reader, [item], prompts))
        return found

    first = Remembering(engine, kept)
    first.learn(lambda: all_readings(first))
    answers = all_readings(first)
    lines = kept.read_text(encoding="utf-8").splitlines()
    # The question in two orders and bare; the same three of a question without content.
    assert len(lines) == 6 == len({json.loads(line)["prompt"] for line in lines})
    monkeypatch.setattr(Tries, "_pass", lambda *_: pytest.fail("read again"))
    again = Remembering(engine, kept)
    again.learn(lambda: all_readings(again))
    for one, other in zip(answers, all_readings(again), strict=True):
        np.testing.assert_array_equal(one.given, other.given)


@pytest.fixture
def asked(
    engine: TransformersEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[Remembering, list[str], Path]]:
    """Asks all of `ASKED`; gives the reader, the prompts that were not kept, and the file that keeps them."""
    read: list[str] = []
    tries = Tries.read

    def counted(self: Tries, asked: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Read]]:
        read.extend(asked)
        return tries(self, asked)

    monkeypatch.setattr(Tries, "read", counted)

    def ask() -> tuple[Remembering, list[str], Path]:
        read.clear()
        reader = Remembering(engine, tmp_path / "kept.jsonl")
        reader.learn(lambda: reader.likelihoods(list(ASKED), list(ASKED.values())))
        return reader, list(read), tmp_path / "kept.jsonl"

    return ask


Asks = Callable[[], tuple[Remembering, list[str], Path]]


@pytest.mark.parametrize(("field", "other"), [("model", "0" * 64), ("dtype", "torch.bfloat16")])
def test_what_another_model_made_of_prompts_is_not_taken_for_this_ones(asked: Asks, field: str, other: str) -> None:
    first, _, kept = asked()
    entries = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    theirs = [json.dumps(entry | {field: other, "letters": [1.0] * 26}) + "\n" for entry in entries]
    kept.write_text("".join(theirs), encoding="utf-8")
    again, read, _ = asked()
    assert sorted(read) == sorted(ASKED)
    for text in ASKED:
        np.testing.assert_array_equal(again.letters_of(text, 26), first.letters_of(text, 26))
    # What is of the other stays, and this one's is found beside it.
    assert kept.read_text(encoding="utf-8").startswith("".join(theirs)) and asked()[1] == []


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_line_that_a_stop_left_unfinished_is_read_again(asked: Asks, cut: int) -> None:
    _, first, kept = asked()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-cut])
    assert sorted(first) == sorted(ASKED)
    assert asked()[1] == [json.loads(whole.splitlines()[-1])["prompt"]]
    lines = kept.read_bytes().splitlines(keepends=True)
    assert lines[:-1] == whole.splitlines(keepends=True)[:-1] and len(lines) == len(ASKED)
    assert asked()[1] == []


@pytest.mark.parametrize(
    "line", ['["Nothing", [0.5], {}]', "{}", "no JSON", '{"model": "x", "dtype": "y", "prompt": "z"}', "7", ""]
)
def test_a_file_of_something_else_is_refused_and_left_alone(asked: Asks, line: str) -> None:
    _, _, kept = asked()
    whole = kept.read_bytes() + f"{line}\n".encode() + b"unfinished"
    kept.write_bytes(whole)
    with pytest.raises(SystemExit, match=f"--keep: .*kept.jsonl line {len(ASKED) + 1} does not say"):
        asked()
    assert kept.read_bytes() == whole


def test_a_reader_of_words_answers_plain_questions_alike_in_all_orders(engine: TransformersEngine) -> None:
    rows = [{"question": "What is 1 + 1?", "options": "3|2|9", "answer": "2"}]
    reader, prompts = Remembering(engine), built_in_prompts()
    reader.option_reading = "words"
    reader.learn(lambda: plain_questions(reader, rows, prompts))
    assert plain_questions(reader, rows, prompts).moves == 0


# ---------------------------------------------------------------- figures


def test_letters_are_counted_against_the_golds() -> None:
    given = [np.array([0.1, 0.9]), np.array([0.0, 0.2, 0.8]), np.array([1.0]), None]
    answers = Answers.of(["a", "b", "b", "c"], GOLD, given)
    assert answers.questions.tolist() == [0, 1, 1] and answers.unread == 0.25
    figures = answers.figures()
    # Given B, C, A; gold A (or half A, half B), C, A.
    assert figures.variation.estimate == pytest.approx(1 / 3)
    assert figures.shared.estimate == pytest.approx(1 / 6)
    assert figures.agreement.estimate == pytest.approx(2 / 3)
    expected = jensen_shannon_distances(GOLD[:3], given[:3]).mean()  # type: ignore[arg-type]
    assert figures.distance.estimate == pytest.approx(expected)


def test_items_of_one_question_are_drawn_together() -> None:
    gold = [np.array([1.0, 0.0])] * 40
    given = [np.array([1.0, 0.0])] * 20 + [np.array([0.0, 1.0])] * 20
    alone = Answers.of([str(number) for number in range(40)], gold, given).figures().agreement
    paired = Answers.of([str(number // 20) for number in range(40)], gold, given).figures().agreement
    assert (paired.low, paired.high) == (0.0, 1.0) and 0.3 < alone.low < 0.5 < alone.high < 0.7


def test_a_reader_without_skill_is_as_far_off_as_draws_of_it() -> None:
    found, random = nobody(GOLD), np.random.default_rng(1)
    draws = [[int(random.integers(len(one))) for one in GOLD] for _ in range(20_000)]
    use = np.array([np.bincount(own, minlength=3) for own in draws]) / len(GOLD)
    first = np.bincount([int(one.argmax()) for one in GOLD], minlength=3) / len(GOLD)
    assert found.variation == pytest.approx(abs(use.mean(0) - first).sum() / 2, abs=0.01)
    far = abs(use - first).sum(1) / 2
    assert found.low == pytest.approx(np.quantile(far, 0.025)) and found.high == pytest.approx(np.quantile(far, 0.975))
    right = np.mean([[place == one.argmax() for place, one in zip(own, GOLD, strict=True)] for own in draws])
    assert found.agreement == pytest.approx(right, abs=0.01)


@pytest.mark.parametrize(
    ("gold", "variation", "needed"),
    [
        # All under one letter: every wrong answer shows.
        ([[1.0, 0.0]] * 10, 0.5, 0.85),
        # Letters are used alike: nothing shows.
        ([[1.0, 0.0], [0.0, 1.0]] * 5, 0.0, 0.0),
        ([[1.0]], 0.0, 0.0),
    ],
)
def test_how_often_an_unbiased_reader_must_be_right(gold: list[list[float]], variation: float, needed: float) -> None:
    found = nobody([np.array(one) for one in gold])
    assert found.variation == pytest.approx(variation) and found.needed == pytest.approx(needed)


def test_level_options_share_the_item() -> None:
    found = nobody([np.array([0.5, 0.5])] * 3)
    assert found.variation == pytest.approx(0.5) and found.shared == pytest.approx(0)
    assert found.distance == pytest.approx(0)
