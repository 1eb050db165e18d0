"""Answers to questions with options: letters by their tokens' mass, or in writing, or a failure; never a guess."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from engines import option_masses
from fake_api import FakeApi, Reply, said, weighed
from hypothesis import given
from hypothesis import strategies as st
from mode_parts import parts

from vispa.generation.letters import letter_masses, letter_position, letter_tokens
from vispa.generation.rows import Generated, Row
from vispa.models.encoding import Prompt
from vispa.models.loading import LoadedModel
from vispa.modes.case import Case
from vispa.modes.distributional import mix, read_comments
from vispa.modes.mixture import Mixture
from vispa.modes.overton.extractive import ExtractiveAggregator
from vispa.modes.prompts import built_in_prompts
from vispa.modes.readings import LETTER_TOKENS, THINKING_TOKENS, Reading, read_options
from vispa.modes.stances import read_stances
from vispa.modes.steerable import SteerableMode
from vispa.pipeline import Vispa
from vispa.readers.api import ApiChat
from vispa.readers.base import Failure, Unfinished, Unweighable
from vispa.readers.local import LocalChat
from vispa.readers.weighing import weighed as distribution_of
from vispa.records import Comment, Selection, SteerableResponse
from vispa.request import LEAST_OPTION_MASS
from vispa.taxonomy import Taxonomy

PROMPTS = built_in_prompts()
QUESTION = "Is a borrowed umbrella to be dried first?\nOptions: A. Yes B. No\nAnswer:"


# ---------------------------------------------------------------- which tokens are letters


@pytest.mark.parametrize(
    "token",
    [
        *("B", " B", "ĠB", "▁B", "b", "Ġb", "(B", "(B)", " (b)", "B.", "B)", "B:", "**B**", "*B", "_B_", "[B]", "\nB"),
        *("ĊB", '"B"', "'B'", "“B”", "`B`", "B,", "B!", "Ġ(B", "▁b.", " B\n", "<B>", "**B.**"),
    ],
)
def test_tokens_that_write_a_letter(token: str) -> None:
    assert letter_position(token) == 1


@pytest.mark.parametrize(
    "token",
    [
        *("", " ", "Ab", "The", "'b", "'s", "AB", "B-", "-B", ".b", "1", "B2", "ß", "é", "Б", "B B", "I'm", "("),
        *("**", "<think>", f"B{'.' * 40}", "▁", "<s>b", "B/"),
    ],
)
def test_tokens_that_write_none(token: str) -> None:
    assert letter_position(token) is None


def test_a_vocabulary_is_searched_by_the_same_rule() -> None:
    found = letter_tokens({"ĠA": 7, "A": 3, "Ġa": 1, "(A": 9, "An": 4, "Z.": 5})
    assert found[0] == [1, 3, 7, 9] and found[25] == [5] and not any(found[1:25])


@given(st.dictionaries(st.text(max_size=6), st.floats(0, 1), max_size=30), st.integers(1, 26))
def test_masses_count_no_token_twice(table: dict[str, float], count: int) -> None:
    masses = letter_masses(table.items(), count)
    assert masses.shape == (count,)
    assert masses.sum() == pytest.approx(sum(p for t, p in table.items() if letter_position(t) in range(count)))


# ---------------------------------------------------------------- how much they must hold


@pytest.mark.parametrize(
    ("masses", "expected"),
    [
        ([0.3, 0.3], [0.5, 0.5]),
        ([0.5, 0.0], [1.0, 0.0]),
        ([0.1, 0.2, 0.7], [0.1, 0.2, 0.7]),
        ([1e-9], [1.0]),
        ([0.0], [1.0]),
        ([0.3, 0.1], None),
        ([1e-4, 0.0, 0.0], None),
        ([0.0, 0.0], None),
        ([math.nan, 0.9], None),
    ],
)
def test_letters_must_hold_half_of_the_mass(masses: list[float], expected: list[float] | None) -> None:
    found = distribution_of(np.array(masses))
    if expected is None:
        assert isinstance(found, Unweighable) and "too little" in found.reason
    else:
        np.testing.assert_allclose(found, expected)


def test_the_embedded_model_is_weighed_by_its_letters() -> None:
    vispa = Vispa.embedded()
    asked = [
        f"Situation: {text}\nQuestion: Do you support or oppose this?\nOptions: A. Support B. Oppose C. Either\nAnswer:"
        for text in ("Keeping a found ring", "Telling a friend the hard truth", "Working on a holiday")
    ]
    masses = option_masses(vispa.model, asked, [3] * 3)
    assert min(one.sum() for one in masses) > 0.9
    two = option_masses(vispa.model, [QUESTION], [2])[0]
    reader = vispa.own_reader
    np.testing.assert_allclose(reader.option_probabilities([QUESTION], [2])[0], two / two.sum())


# ---------------------------------------------------------------- asked for in writing


class Writer:
    """Weighs as it is told, and writes what it is told."""

    name, option_reading = "writer", "letters"

    def __init__(self, write: Callable[[str, int], str | Failure], found: object = Unweighable("little mass.")) -> None:
        self._write, self._found = write, found
        self.asked: list[tuple[str, int]] = []

    def write(self, prompts: Sequence[str], *, max_new_tokens: int = 300, progress: object = None):
        self.asked += [(prompt, max_new_tokens) for prompt in prompts]
        return [self._write(prompt, max_new_tokens) for prompt in prompts]

    def option_probabilities(
        self, prompts: Sequence[str], counts: Sequence[int], *, progress: object = None, least: object = None
    ):
        return [self._found for _ in prompts]


@pytest.mark.parametrize(
    ("written", "position"),
    [("B", 1), ("(b)", 1), ("**A**", 0), ("B.", 1), ("no", 1), ("Answer: A", 0), ("The answer is (B).", 1)],
)
def test_a_written_letter_has_all_weight(written: str, position: int) -> None:
    reader = Writer(lambda *_: written)
    found = read_options(reader, [QUESTION], [("Yes", "No")], PROMPTS)[0]
    assert isinstance(found, Reading) and found.written
    assert found.distribution.tolist() == [float(place == position) for place in range(2)]
    assert found.prompt == reader.asked[0][0] and QUESTION in found.prompt and reader.asked[0][1] == LETTER_TOKENS


@pytest.mark.parametrize("written", ["It depends.", "A or B", "C", "Z", "", "perhaps \x1b[31mred", "word " * 100])
def test_an_answer_without_a_letter_fails_and_is_quoted(written: str) -> None:
    found = read_options(Writer(lambda *_: written), [QUESTION], [("Yes", "No")], PROMPTS)[0]
    assert isinstance(found, Failure) and "cannot be read" in found.reason and written[:5].strip() in found.reason
    assert found.reason.isprintable() and len(found.reason) < 400


def test_a_thought_that_needs_more_tokens_gets_them() -> None:
    reader = Writer(lambda prompt, tokens: Unfinished("cut off.") if tokens < 100 and "slow" in prompt else "A")
    found = read_options(reader, ["slow", "quick"], [("Yes", "No")] * 2, PROMPTS)
    assert [isinstance(one, Reading) and one.written for one in found] == [True, True]
    assert [tokens for _, tokens in reader.asked] == [LETTER_TOKENS] * 2 + [THINKING_TOKENS]
    still = read_options(Writer(lambda *_: Unfinished("cut off.")), ["slow"], [("Yes", "No")], PROMPTS)
    assert still == [Unfinished("cut off.")]


def test_a_server_that_is_gone_is_not_asked_again() -> None:
    reader = Writer(lambda *_: "A", found=Failure("gone."))
    assert read_options(reader, [QUESTION], [("Yes", "No")], PROMPTS) == [Failure("gone.")] and not reader.asked


def test_distributional_mode_marks_what_was_written() -> None:
    reader = Writer(lambda prompt, _: "A" if "rain" in prompt else "B")
    case = Case("x", [_comment("a", "rain"), _comment("b", "sun")], QUESTION, ("Yes", "No"))
    by_value = read_comments(reader, [case], PROMPTS)[0]
    assert not isinstance(by_value, Failure)
    values = tuple(Selection(value=one, score=0.5) for one in "ab")
    answer = mix(replace(case, values=values), by_value, Mixture())
    assert answer.by_value == ((1.0, 0.0), (0.0, 1.0)) and answer.distribution == (0.5, 0.5)
    assert answer.written == ("a", "b") and all("Reply with the letter" in one for one in answer.prompts.values())
    failing = read_comments(Writer(lambda *_: "hmm"), [case], PROMPTS)[0]
    assert isinstance(failing, Failure) and "hmm" in failing.reason


def test_steerable_mode_picks_and_answers_in_writing() -> None:
    reader = Writer(lambda prompt, _: "B" if "agree with most" in prompt else "(a)")
    case = Case("x", [_comment("a", "one"), _comment("b", "two")], QUESTION, ("Yes", "No"), "t")
    answer = SteerableMode(parts(reader)).answer([case])[0]
    assert isinstance(answer, SteerableResponse)
    assert (answer.chosen, answer.fit, answer.answer, answer.distribution) == (1, (0.0, 1.0), "A", None)
    assert all("Reply with the letter" in one for one in answer.prompts.values())
    failing = Writer(lambda prompt, _: "B" if "agree with most" in prompt else "both, in a way")
    found = SteerableMode(parts(failing)).answer([case])[0]
    assert isinstance(found, Failure) and "both, in a way" in found.reason


# ---------------------------------------------------------------- stances


def test_a_stance_that_cannot_be_read_is_none() -> None:
    reader = Writer(lambda prompt, _: "B. Oppose" if "never" in prompt else "cannot say")
    found = read_stances(reader, ["t"] * 3, ["never", "well", " \n"], PROMPTS)
    assert found == [{"support": 0.0, "oppose": 1.0, "either": 0.0}, {}, {}]
    assert not any("Passage:  " in prompt for prompt, _ in reader.asked) and len(reader.asked) == 2


def test_values_without_a_stance_do_not_agree(small_taxonomy: Taxonomy) -> None:
    silent = [_comment(value, f"Words of {value}.") for value in ("calm", "thrift")]
    response = ExtractiveAggregator(small_taxonomy).aggregate([Case("x", silent)])[0].response
    assert response == "Calm: Words of calm.\nThrift: Words of thrift."
    speaking = [silent[0], *(_comment(value, f"So {value}.", {"support": 1.0}) for value in ("thrift", "candor"))]
    response = ExtractiveAggregator(small_taxonomy).aggregate([Case("x", speaking)])[0].response
    assert "agree" not in response and "part" not in response
    assert response.startswith("Thrift and candor speak for it; calm takes no side that can be read.\n")


def _comment(value: str, text: str, stance: dict | None = None) -> Comment:
    return Comment(value=value, text=text, shift={}, prompt="", tokens=1, stance=stance or {})


# ---------------------------------------------------------------- one behaviour for local models and APIs

TABLES = [
    {"A": 0.2, "(B": 0.3, "The": 0.5},
    {" b": 0.5, "It": 0.5},
    {"A": 1e-4, "The": 0.9999},
    {"The": 1.0},
    {"**B**": 0.9, "A.": 0.1},
    {"C": 0.9, "A": 0.1},
]


@pytest.mark.parametrize("table", TABLES)
def test_api_and_local_models_are_weighed_alike(table: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def answer(prompt: str, _: int) -> Reply:
        return said("I would say B") if "Reply with" in prompt else weighed(table)

    with FakeApi(answer) as api:
        chat = ApiChat("m", base_url=api.url, option_reading="letters")
        by_api = read_options(chat, [QUESTION], [("Yes", "No")], PROMPTS)[0]

    class Engine:
        name, least_option_mass, option_reading = "local", LEAST_OPTION_MASS, "letters"

        def chat_prompt(self, message: str) -> Prompt:
            return Prompt(message, (1,))

        raw_prompt = chat_prompt

        def generate(self, rows: Sequence[Row], *_: object) -> list[Generated]:
            return [Generated("I would say B", 4)] * len(rows)

        def options(self, rows: Sequence[Row], counts: Sequence[int]) -> list[np.ndarray]:
            return [letter_masses(table.items(), 2)]

    local = LocalChat(Engine())
    here = read_options(local, [QUESTION], [("Yes", "No")], PROMPTS)[0]
    assert isinstance(by_api, Failure) == isinstance(here, Failure)
    if isinstance(by_api, Reading) and isinstance(here, Reading):
        np.testing.assert_allclose(by_api.distribution, here.distribution, atol=1e-9)
        assert by_api.written == here.written and by_api.prompt == here.prompt


def test_a_models_own_vocabulary_is_summed(llama: LoadedModel) -> None:
    masses = option_masses(llama, [QUESTION, "Well?"], [2, 3])
    ids = torch.tensor([[1, *llama.tokenizer(QUESTION, add_special_tokens=False)["input_ids"]]])
    likely = llama.model(ids).logits[0, -1].double().softmax(-1)
    letters = [sum(likely[llama.tokenizer.convert_tokens_to_ids(one)].item() for one in pair) for pair in ("Aa", "Bb")]
    np.testing.assert_allclose(masses[0], letters, rtol=1e-5)
    assert masses[1].shape == (3,) and masses[1].sum() < 1
