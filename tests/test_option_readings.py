"""Readings of options: every order counts alike, habits are divided out, words need no letters; or nothing is said."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_api import FakeApi, Reply, said, weighed

from vispa.errors import InputError
from vispa.generation.rows import Row
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import continued
from vispa.models.loading import LoadedModel, load_model
from vispa.modes.case import Case
from vispa.modes.distributional import mix, read_comments
from vispa.modes.mixture import Mixture
from vispa.modes.prompts import built_in_prompts
from vispa.modes.readings import Reading, read_options, read_steered
from vispa.modes.repeats import bundled_encode
from vispa.modes.stances import AskedStances
from vispa.modes.statements import StatementStances
from vispa.pipeline import Vispa
from vispa.readers.api import ApiChat
from vispa.readers.base import Failure, Unweighable
from vispa.readers.local import LocalChat
from vispa.readers.option_readings import READINGS, OptionQuestion, option_reading
from vispa.readers.option_readings.cyclic import cyclic_orders
from vispa.records import Comment, Selection
from vispa.request import OPTION_READINGS, OptionReadingName
from vispa.steering.recipe import Steer

PROMPTS = built_in_prompts()
COLOURS = ("red", "green", "blue")
ASKED = "Question: Which colour has a ripe tomato?\nOptions: A. red B. green C. blue\nAnswer:"
STANCES = Path(__file__).parents[1] / "benchmarks" / "data" / "known_stances.csv"


class Reader:
    """Gives letters the masses of a function of the options under them, and words those of a table."""

    name = "reader"

    def __init__(
        self,
        reading: OptionReadingName,
        mass: Callable[[list[str], str], list[float]],
        words: Mapping[str, float] | None = None,
    ) -> None:
        self.option_reading, self._mass, self._words = reading, mass, words or {}
        self.asked: list[str] = []

    def write(self, prompts: Sequence[str], **_: object) -> list[str]:
        self.asked += prompts
        return ["B"] * len(prompts)

    def option_probabilities(self, prompts: Sequence[str], counts: Sequence[int], **_: object):
        self.asked += prompts
        found = []
        for prompt, count in zip(prompts, counts, strict=True):
            masses = np.array(self._mass(listed(prompt), prompt))[:count]
            found.append(masses / masses.sum() if masses.any() else Unweighable("no letter."))
        return found

    def likelihoods(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]):
        self.asked += prompts
        habit = [dict.fromkeys(texts, -1.0) for texts in continuations]
        asked = [{text: self._words.get(text.strip(), -1.0) for text in texts} for texts in continuations]
        return [
            np.array([(none if "N/A" in prompt else own)[text] for text in texts])
            for prompt, texts, none, own in zip(prompts, continuations, habit, asked, strict=True)
        ]


def listed(prompt: str) -> list[str]:
    line = prompt.split("Options: ")[1].split("\n")[0]
    return [word for word in line.split(" ") if word in COLOURS]


def read(reader: Reader, asked: str = ASKED, options: Sequence[str] = COLOURS, **how: bool) -> Reading | Failure:
    return read_options(reader, [asked], [options], PROMPTS, **how)[0]  # type: ignore[arg-type]


def first_wins(options: list[str], _: str) -> list[float]:
    """A reader that knows nothing."""
    return [0.9, 0.06, 0.04]


def half_sure(options: list[str], prompt: str) -> list[float]:
    """Favours the first letter, and red."""
    return [
        place * (1.0 if "N/A" in prompt else 1.5 if option == "red" else 0.5)
        for place, option in zip((0.5, 0.3, 0.2), options, strict=True)
    ]


# ---------------------------------------------------------------- questions


@pytest.mark.parametrize(
    ("text", "options", "swapped", "bare"),
    [
        (
            "Question: Well?\nOptions: A. Yes B. No\nAnswer:",
            ("Yes", "No"),
            "Question: Well?\nOptions: A. No B. Yes\nAnswer:",
            "Question: Well?\nAnswer:",
        ),
        ("Well?\n(A) Yes\n(B)  No\nAnswer:", ("Yes", "No"), "Well?\n(A) No\n(B)  Yes\nAnswer:", "Well?\nAnswer:"),
        (
            "A. one\ntwo\nB. three.\n\nWhich would you choose?\nAnswer:",
            ("one two", "three."),
            "A. three.\nB. one\ntwo\n\nWhich would you choose?\nAnswer:",
            "\n\nWhich would you choose?\nAnswer:",
        ),
        ("Quote: A. x B. y\nA. x B. y\nAnswer:", ("x", "y"), "Quote: A. x B. y\nA. y B. x\nAnswer:", None),
        ("Signs?\nA. (a|b)* B. \\d+\nAnswer:", ("(a|b)*", "\\d+"), "Signs?\nA. \\d+ B. (a|b)*\nAnswer:", None),
        ("Same?\nA. it B. it\nAnswer:", ("it", "it"), "Same?\nA. it B. it\nAnswer:", "Same?\nAnswer:"),
    ],
)
def test_options_change_places_and_nothing_else_does(
    text: str, options: tuple[str, ...], swapped: str, bare: str | None
) -> None:
    question = OptionQuestion(text, options)
    assert question.in_order((0, 1)) == text and question.in_order((1, 0)) == swapped
    assert bare is None or question.bare == bare
    blank = question.blank((1, 0))
    assert blank.startswith("Question: N/A") and swapped.endswith(blank.removeprefix("Question: N/A"))


def test_cyclic_orders_put_each_option_once_in_each_place() -> None:
    for count in (1, 2, 5, 26):
        orders = np.array(cyclic_orders(count))
        assert orders[0].tolist() == list(range(count))
        assert all(sorted(column) == list(range(count)) for column in orders.T.tolist())


def test_the_registry_is_the_list_of_names() -> None:
    assert tuple(READINGS) == OPTION_READINGS and all(READINGS[name].name == name for name in READINGS)
    with pytest.raises(InputError, match="option_reading"):
        option_reading("tea leaves")


# ---------------------------------------------------------------- what each reading says


def test_letters_are_read_once_as_they_stand() -> None:
    reader = Reader("letters", first_wins)
    found = read(reader)
    assert isinstance(found, Reading) and reader.asked == [ASKED]
    np.testing.assert_allclose(found.distribution, [0.9, 0.06, 0.04])


def test_cyclic_is_the_mean_over_orders() -> None:
    reader = Reader("cyclic", half_sure)
    found = read(reader, decided=False)
    assert isinstance(found, Reading) and len(reader.asked) == 3
    slow = np.zeros(3)
    for start in range(3):
        order = [*COLOURS[start:], *COLOURS[:start]]
        masses = np.array(half_sure(order, ""))
        for option, share in zip(order, masses / masses.sum(), strict=True):
            slow[COLOURS.index(option)] += share / 3
    np.testing.assert_allclose(found.distribution, slow)


@pytest.mark.parametrize("reading", ["cyclic", "calibrated"])
def test_a_reader_that_goes_by_the_letter_alone_is_not_read(reading: OptionReadingName) -> None:
    found = read(Reader(reading, first_wins))
    assert isinstance(found, Failure) and "could not be read" in found.reason
    shares = read(Reader(reading, first_wins), decided=False)
    assert isinstance(shares, Reading)
    np.testing.assert_allclose(shares.distribution, np.full(3, 1 / 3))


def test_calibration_divides_a_habit_out() -> None:
    plain, found = read(Reader("cyclic", half_sure), decided=False), read(Reader("calibrated", half_sure))
    assert isinstance(plain, Reading) and isinstance(found, Reading)
    # The habit gone, what is left is what the reader thinks of the options: 1.5 to 0.5 to 0.5.
    np.testing.assert_allclose(found.distribution, [0.6, 0.2, 0.2])
    assert plain.distribution[0] < 0.6


def test_a_clear_lead_is_a_verdict_although_one_order_disagrees() -> None:
    def mass(options: list[str], _: str) -> list[float]:
        return [1.0 if option == "red" else 0.02 for option in options] if options[0] != "green" else [0.5, 0.1, 0.4]

    found = read(Reader("cyclic", mass))
    assert isinstance(found, Reading) and not found.disputed and int(found.distribution.argmax()) == 0


@pytest.mark.parametrize("reading", ["cyclic", "calibrated"])
def test_where_no_letter_is_weighed_each_order_is_answered_in_writing(reading: OptionReadingName) -> None:
    reader = Reader(reading, lambda *_: [0.0, 0.0, 0.0])
    # "B" in every order: each option once.
    found = read(reader)
    assert isinstance(found, Failure) and "could not be read" in found.reason
    assert sum("Reply with the letter" in one for one in reader.asked) == 3


def test_words_are_weighed_against_the_same_words_after_nothing() -> None:
    reader = Reader("words", first_wins, {"red": -0.5, "green": -2.0, "blue": -1.0})
    found = read(reader)
    assert isinstance(found, Reading)
    gains = np.exp(np.array([0.5, -1.0, 0.0]))
    np.testing.assert_allclose(found.distribution, gains / gains.sum())
    assert found.prompt == "Question: Which colour has a ripe tomato?\nAnswer:"


def test_words_do_not_move_with_the_order() -> None:
    answers = set()
    for order in permutations(COLOURS):
        asked = f"Question: Which?\nOptions: A. {order[0]} B. {order[1]} C. {order[2]}\nAnswer:"
        found = read(Reader("words", first_wins, {"red": -0.9, "green": -0.8, "blue": -1.0}), asked, order)
        assert isinstance(found, Reading)
        answers.add(order[int(found.distribution.argmax())])
    assert answers == {"green"}


@pytest.mark.parametrize("reading", ["cyclic", "calibrated", "words"])
def test_what_cannot_be_reordered_fails_alone(reading: OptionReadingName) -> None:
    reader = Reader(reading, half_sure, {"red": 0.0})
    found = read_options(
        reader,  # type: ignore[arg-type]
        ["Say something.", ASKED, "One?\nOptions: A. yes\nAnswer:"],
        [COLOURS, COLOURS, ["yes"]],
        PROMPTS,
    )
    assert isinstance(found[0], Failure) and "does not list its options" in found[0].reason
    assert isinstance(found[1], Reading) and int(found[1].distribution.argmax()) == 0
    assert isinstance(found[2], Reading) and found[2].distribution.tolist() == [1.0]


def test_distributions_are_averaged_where_verdicts_are_refused() -> None:
    case = Case("x", [comment("c")], ASKED, COLOURS)
    (by_value,) = read_comments(Reader("cyclic", first_wins), [case], PROMPTS)  # type: ignore[arg-type]
    assert not isinstance(by_value, Failure) and by_value[0] is not None
    np.testing.assert_allclose(by_value[0].distribution, np.full(3, 1 / 3))


@pytest.mark.parametrize("reading", ["cyclic", "calibrated", "letters", "words"])
def test_a_mixture_names_the_values_for_which_no_option_is_clearly_ahead(reading: OptionReadingName) -> None:
    values = (Selection(value="v", score=1.0), Selection(value="w", score=0.5))
    case = Case("x", [comment("Hmm, well."), comment("Surely red.")], ASKED, COLOURS, values=values)

    def one_is_sure(options: list[str], text: str) -> list[float]:
        return [float(one == "red") for one in options] if "Surely" in text else first_wins(options, text)

    (by_value,) = read_comments(Reader(reading, one_is_sure), [case], PROMPTS)  # type: ignore[arg-type]
    assert not isinstance(by_value, Failure)
    answer = mix(case, by_value, Mixture())
    # Words that all are as likely as after nothing are level.
    assert answer.disputed == {"letters": (), "words": ("v", "w")}.get(reading, ("v",))


def comment(text: str) -> Comment:
    return Comment(value="v", text=text, shift={}, prompt="", tokens=1, stance={})


# ---------------------------------------------------------------- engines and readers


def slow_likelihood(loaded: LoadedModel, prompt: str, text: str) -> float:
    """One pass without cache or padding."""
    row = TransformersEngine(loaded).raw_prompt(prompt)
    ids = torch.tensor([continued(loaded, row, text)])
    with torch.no_grad():
        logs = loaded.model(ids).logits[0].double().log_softmax(-1)
    start = len(row.ids)
    return float(np.mean([logs[place - 1, ids[0, place]].item() for place in range(start, ids.shape[1])]))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_likelihoods_are_those_of_single_passes(make_model: Callable[..., LoadedModel], kind: str) -> None:
    loaded = make_model(kind)
    prompts, said = [ASKED, "Why?", ASKED], [(" red", " green", " red"), (" because it is",), (" a", " blue, perhaps")]
    engine = TransformersEngine(loaded)
    found = engine.likelihoods([Row(engine.raw_prompt(prompt)) for prompt in prompts], said)
    for prompt, texts, own in zip(prompts, said, found, strict=True):
        np.testing.assert_allclose(own, [slow_likelihood(loaded, prompt, text) for text in texts], atol=1e-4)


@pytest.mark.parametrize("reading", ["cyclic", "calibrated", "words"])
def test_a_random_model_is_read_alike_in_every_cyclic_order(llama: LoadedModel, reading: OptionReadingName) -> None:
    reader = LocalChat(TransformersEngine(replace(llama, least_option_mass=0.5)), reading)
    asked, options = [], []
    for order in cyclic_orders(3):
        options.append([COLOURS[place] for place in order])
        asked.append(f"Question: Which?\nOptions: A. {options[-1][0]} B. {options[-1][1]} C. {options[-1][2]}\nAnswer:")
    found = read_options(reader, asked, options, PROMPTS, decided=False)
    by_colour = []
    for texts, one in zip(options, found, strict=True):
        assert isinstance(one, Reading) and one.distribution.sum() == pytest.approx(1)
        by_colour.append([one.distribution[texts.index(colour)] for colour in COLOURS])
    np.testing.assert_allclose(by_colour, [by_colour[0]] * 3, atol=1e-5)


def test_the_steered_model_is_read_in_every_order_with_its_own_steers() -> None:
    vispa = Vispa.embedded()
    asked = ["Situation: Lying to a friend\nQuestion: Do you support or oppose this?\nOptions: A. Yes B. No\nAnswer:"]
    for reading in ("cyclic", "words"):
        steers = [(), (Steer("truthfulness"),)]
        found = read_steered(vispa.engine, reading, steers, asked * 2, [("Yes", "No")] * 2, PROMPTS)
        alone = read_steered(vispa.engine, reading, steers[1:], asked, [("Yes", "No")], PROMPTS)
        shares = [one.distribution for one in (*found, *alone) if isinstance(one, Reading)]
        assert abs(shares[0] - shares[1]).max() > 1e-4
        np.testing.assert_allclose(shares[1], shares[2], atol=1e-5)


def test_the_model_knows_how_it_is_read(llama: LoadedModel, tmp_path: Path) -> None:
    assert load_model("embedded").option_reading == "cyclic"
    llama.model.save_pretrained(tmp_path)
    llama.tokenizer.save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path))
    assert LocalChat(TransformersEngine(loaded)).option_reading == "words"
    assert LocalChat(TransformersEngine(loaded), "cyclic").option_reading == "cyclic"


def test_an_api_is_asked_once_an_order_and_never_for_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def answer(prompt: str, _: int) -> Reply:
        if "Options:" not in prompt:
            return said("?")
        options = listed(prompt)
        return weighed({letter: 0.1 + 0.6 * (option == "blue") for letter, option in zip("ABC", options, strict=True)})

    with FakeApi(answer) as api:
        chat = ApiChat("m", base_url=api.url)
        found = read_options(chat, [ASKED], [COLOURS], PROMPTS)[0]
        assert isinstance(found, Reading) and int(found.distribution.argmax()) == 2 and len(api.requests) == 3
        with pytest.raises(InputError, match="likelihood"):
            ApiChat("m", base_url=api.url, option_reading="words")


# ---------------------------------------------------------------- stances


def test_stances_by_statements_are_right_or_withheld() -> None:
    with STANCES.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = StatementStances(bundled_encode).read([r["situation"] for r in rows], [r["comment"] for r in rows])
    told = [(max(one, key=lambda s: one[s]), row["stance"]) for one, row in zip(found, rows, strict=True) if one]
    assert len(told) > 0.45 * len(rows) and sum(a == b for a, b in told) >= 0.9 * len(told)


def test_a_comment_on_both_sides_or_on_none_has_no_stance() -> None:
    reader = StatementStances(bundled_encode)
    said = [
        "",
        " \n",
        "I support this. I am against it. It is wrong. Well done.",
        "The train leaves at noon from Leeds.",
    ]
    assert reader.read(["x"] * 4, said) == [{}] * 4 and reader.read([], []) == []
    (one,) = reader.read(["x"], ["I am against it, and nobody should do it."])
    assert max(one, key=lambda stance: one[stance]) == "oppose" and sum(one.values()) == pytest.approx(1, abs=1e-3)


def test_who_reads_stances_is_recorded() -> None:
    vispa = Vispa.embedded()
    answer = vispa.respond("Lying to my boss", k=1, max_new_tokens=4)
    assert answer.provenance.stances == "cyclic:embedded" and answer.provenance.option_reading is None
    asked = vispa.respond("Lying to my boss", mode="distributional", k=1, max_new_tokens=4)
    assert asked.provenance.option_reading == "cyclic"


@pytest.mark.parametrize("named", [None, "words", "letters"])
def test_a_reading_named_for_another_reader_leaves_stances_to_embeddings(
    named: OptionReadingName | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    own = Vispa.embedded()
    parts = replace(own.model, option_reading="words"), own.bank, own.selector
    asked = ApiChat("m", base_url="http://127.0.0.1:9/v1")
    other = Vispa(*parts, taxonomy=own.taxonomy, reader=asked, option_reading=named)
    assert isinstance(other.stances, StatementStances)
    # A model that is read by letters is asked by them, whatever the API is asked by.
    lettered = Vispa(own.model, *parts[1:], taxonomy=own.taxonomy, reader=asked, option_reading=named)
    assert lettered.stances.name == "cyclic:embedded"
    alone = Vispa(*parts, taxonomy=own.taxonomy, option_reading=named)
    assert isinstance(alone.stances, StatementStances if named is None else AskedStances)
