"""Steerable mode: which comment is picked, of however many; targets in words; what is said of a choice in doubt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from mode_parts import parts
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.cli.respond import _print
from vispa.cli.setup import Setup
from vispa.errors import InputError
from vispa.modes.case import Case
from vispa.modes.checking import checked
from vispa.modes.picking import ReaderPicker
from vispa.modes.prompts import built_in_prompts
from vispa.modes.questions import hides_options
from vispa.modes.readings import Reading
from vispa.modes.steerable import SteerableMode
from vispa.readers.base import Failure
from vispa.readers.option_readings.base import DISPUTED, LEVELLED
from vispa.records import Comment, DistributionalResponse, Selection, SteerableResponse
from vispa.request import MAX_OPTIONS, OPTION_READINGS, OptionReadingName, Request
from vispa.taxonomy import Taxonomy


class Reader:
    """Finds an option the likelier, the larger the number that it begins with, and A by a habit."""

    name = "reader"

    def __init__(self, reading: OptionReadingName, scale: float = 1.0, habit: float = 0.0) -> None:
        self.option_reading, self.scale, self.habit = reading, scale, habit
        self.asked: list[str] = []

    def write(self, prompts: Sequence[str], **_: object) -> list[str]:
        raise AssertionError("nothing is written")

    def option_probabilities(self, prompts: Sequence[str], counts: Sequence[int], **_: object) -> list[np.ndarray]:
        self.asked += prompts
        return [
            self._shares(listed(prompt)[:count], prompt, self.habit)
            for prompt, count in zip(prompts, counts, strict=True)
        ]

    def likelihoods(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[np.ndarray]:
        self.asked += prompts
        return [
            np.log(self._shares(texts, prompt)) for prompt, texts in zip(prompts, continuations, strict=True)
        ]  # fmt: skip

    def _shares(self, texts: Sequence[str], prompt: str, habit: float = 0.0) -> np.ndarray:
        numbers = np.array([0.0 if "N/A" in prompt else _number(text) for text in texts])
        shares = np.exp(self.scale * (numbers - numbers.max()))
        shares[0] *= np.exp(habit)
        return shares / shares.sum()


def _number(text: str) -> float:
    first = text.split()[0]
    return float(first) if first.isdigit() else 0.0


def listed(prompt: str) -> list[str]:
    """The options of a prompt, whether in lines or in one."""
    body = prompt.split("Options: ")[-1].replace("\n", " ")
    words = body.split(" ")
    marks = [i for i, word in enumerate(words) if len(word) == 2 and word[0].isupper() and word[1] == "."]
    return [" ".join(words[i + 1 : i + 3]) for i in marks]


def case(numbers: Sequence[int], repeats: dict[int, int] | None = None) -> Case:
    """Comments that begin with these numbers; some say what another one says."""
    comments = [
        Comment(
            value=f"v{place}", text=f"{number} reasons", shift={}, prompt="", tokens=1, stance={},
            repeats=(repeats or {}).get(place),
        )
        for place, number in enumerate(numbers)
    ]  # fmt: skip
    values = tuple(Selection(value=one.value, score=0.5) for one in comments)
    return Case("Resting", comments, target="the right to know", options=("1 yes", "2 no"), values=values)


# ---------------------------------------------------------------- more comments than letters


@pytest.mark.parametrize("reading", OPTION_READINGS)
@pytest.mark.parametrize("count", [2, MAX_OPTIONS, MAX_OPTIONS + 1, 31, 53])
@pytest.mark.parametrize("best", [0, -1])
def test_the_best_of_any_number_of_comments_is_picked(reading: OptionReadingName, count: int, best: int) -> None:
    numbers = [place % 7 for place in range(count)]
    numbers[best] = 20
    picker = ReaderPicker(Reader(reading), built_in_prompts())  # type: ignore[arg-type]
    (found,) = picker.fit([case(numbers)])
    assert isinstance(found, Reading) and found.distribution.shape == (count,)
    assert found.distribution.sum() == pytest.approx(1) and int(found.distribution.argmax()) == best % count


@pytest.mark.parametrize("count", [27, 40, 60, MAX_OPTIONS**2 + 1])
def test_groups_keep_the_ratios_of_what_is_read_at_once(count: int) -> None:
    """By words no list is read, so that a reading in groups must equal that of all together."""
    numbers = [(place * 5) % 11 for place in range(count)]
    numbers[3], numbers[20] = 12, 13
    picker = ReaderPicker(Reader("words", 0.1), built_in_prompts())  # type: ignore[arg-type]
    numbers = _apart(numbers)
    (found,) = picker.fit([case(numbers)])
    assert isinstance(found, Reading) and int(found.distribution.argmax()) == 20
    shares = np.exp(0.1 * np.array(numbers))
    np.testing.assert_allclose(found.distribution, shares / shares.sum())


def _apart(numbers: Sequence[int]) -> list[int]:
    """Numbers in the same order of which no two are alike, as level ones name none."""
    return [int(place) for place in np.argsort(np.argsort(numbers, kind="stable"), kind="stable")]


def test_cases_of_all_sizes_are_picked_in_one_call() -> None:
    cases = [case([1, 4]), case([*range(1, 31)]), case([3, 3]), case([9, *range(8), *[1] * 20])]
    found = ReaderPicker(Reader("words"), built_in_prompts()).fit(cases)  # type: ignore[arg-type]
    assert found[2] is LEVELLED and not isinstance(found[3], Failure)
    assert [int(one.distribution.argmax()) for one in found if isinstance(one, Reading)] == [1, 29, 0]


# ---------------------------------------------------------------- comments that say the same


@pytest.mark.parametrize("reading", ["words", "cyclic", "calibrated"])
@pytest.mark.parametrize(
    ("numbers", "repeats", "chosen"),
    [([5, 5, 1], {1: 0}, 0), ([1, 5, 5, 5], {2: 1, 3: 1}, 1), ([2, 9, 2, 9], {2: 0, 3: 1}, 1)],
)
def test_a_comment_that_is_repeated_is_picked_once(
    reading: OptionReadingName, numbers: list[int], repeats: dict[int, int], chosen: int
) -> None:
    one = case(numbers, repeats)
    mode = SteerableMode(parts(Reader(reading, 2.0)))  # type: ignore[arg-type]
    (answer,) = mode.answer([one])
    assert isinstance(answer, SteerableResponse) and answer.chosen == chosen
    assert all(answer.fit[place] == 0 for place in repeats) and sum(answer.fit) == pytest.approx(1)
    assert "picker" in mode.parts_of(one)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_comments_that_all_say_the_same_need_no_picker(count: int) -> None:
    one = case([4] * count, dict.fromkeys(range(1, count), 0))
    mode = SteerableMode(parts(Reader("cyclic", 2.0)))  # type: ignore[arg-type]
    (answer,) = mode.answer([one])
    assert isinstance(answer, SteerableResponse) and answer.fit == (1.0, *[0.0] * (count - 1))
    assert "pick" not in answer.prompts and "picker" not in mode.parts_of(one)


@pytest.mark.parametrize(
    ("reading", "numbers", "habit", "doubt"),
    [
        ("words", [3, 3], 0.0, LEVELLED),
        ("words", [1, 3, 3], 2.0, LEVELLED),
        ("cyclic", [3, 3], 0.0, LEVELLED),
        ("cyclic", [3, 3], 1.0, DISPUTED),
        ("cyclic", [1, 3, 3], 2.0, DISPUTED),
        ("calibrated", [3, 3, 1], 1.0, LEVELLED),
        ("words", [3, 4], 2.0, None),
        ("cyclic", [3, 4], 0.5, None),
        # In groups: only the winner's own counts.
        ("words", [1, 1, *range(2, 30)], 0.0, None),
        ("words", [*range(2, 30), 40, 40], 0.0, LEVELLED),
        ("words", [40, *range(2, 30), 40], 0.0, LEVELLED),
        ("cyclic", [40, 40, *range(2, 30)], 1.0, DISPUTED),
    ],
)
def test_what_names_no_comment_says_why(
    reading: OptionReadingName, numbers: list[int], habit: float, doubt: Failure | None
) -> None:
    reader = Reader(reading, habit=habit)
    (found,) = ReaderPicker(reader, built_in_prompts()).fit([case(numbers)])  # type: ignore[arg-type]
    assert found is doubt if doubt else isinstance(found, Reading) and not found.disputed
    assert "order" not in LEVELLED.reason and "level" in LEVELLED.reason


# ---------------------------------------------------------------- targets that are values


@pytest.mark.parametrize(
    ("toward", "words"),
    [
        ("power_distance", "power distance"),
        ("Power Distance", "power distance"),
        ("kindness", "benevolence"),
        ("right_to_rest", "right_to_rest"),
        ("POLPARTY_Democrat", "POLPARTY_Democrat"),
    ],
)
def test_a_target_that_is_a_value_goes_by_its_label(toward: str, words: str) -> None:
    known = Taxonomy.built_in()
    found = checked(Request("Feeding ducks", mode="steerable", toward=toward), known)
    assert found.toward == words and found == checked(found, known)


SELECTING = [("--k", "3"), ("--k", "auto"), ("--threshold", "0.9"), ("--diversity", "0.5")]


@pytest.mark.parametrize("option", SELECTING)
@pytest.mark.parametrize("toward", ["karma", "Power Distance"])
def test_a_target_that_is_a_value_leaves_nothing_to_select(
    option: tuple[str, str], toward: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Setup, "load", _load)
    found = _respond("Feeding ducks", "--mode", "steerable", "--toward", toward, *option)
    assert isinstance(found.exception, InputError) and found.exception.field == option[0]
    assert "--toward a value" in str(found.exception)


@pytest.mark.parametrize("option", SELECTING)
@pytest.mark.parametrize("toward", ["the right to rest", "POLPARTY_Democrat"])
def test_other_targets_have_values_selected(
    option: tuple[str, str], toward: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Setup, "load", _load)
    found = _respond("Feeding ducks", "--mode", "steerable", "--toward", toward, *option)
    assert isinstance(found.exception, AssertionError), found.output


@pytest.mark.parametrize("name", ["VISPA_K", "VISPA_THRESHOLD", "VISPA_DIVERSITY"])
def test_a_configured_way_to_select_may_idle(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Setup, "load", _load)
    monkeypatch.setenv(name, "1")
    found = _respond("Feeding ducks", "--mode", "steerable", "--toward", "karma")
    assert isinstance(found.exception, AssertionError), found.output


def _load(*_: object, **__: object) -> None:
    raise AssertionError("a model is loaded")


def _respond(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["respond", *arguments, "--model", "embedded"])


# ---------------------------------------------------------------- what is printed


def mixed(weights: Sequence[float], disputed: Sequence[str]) -> DistributionalResponse:
    slugs = ("power", "honor", "karma")
    made: dict[str, Any] = {"shift": {}, "prompt": "", "tokens": 1, "stance": {}}
    return DistributionalResponse(
        text="x",
        values=tuple(Selection(value=slug, score=0.5) for slug in slugs),
        comments=(
            Comment(value="power", text="Rest.", **made),
            Comment(value="honor", text="Rest.", repeats=0, **made),
            Comment(value="karma", text="", **made),
        ),
        silent=("karma",), options=("Yes", "No"), by_value=((0.5, 0.5),) * 3, unsteered=(), weights=tuple(weights),
        mixture="given", distribution=(0.5, 0.5), answer="A", response="Yes", prompts={}, written=(),
        disputed=tuple(disputed),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "disputed", "count", "unclear"),
    [
        ((1, 0, 0), ("honor", "karma"), "over 1 value)", None),
        ((0.5, 0.5, 0), ("honor", "karma"), "over 2 values)", "honor"),
        ((0.2, 0.3, 0.5), ("power", "karma"), "over 3 values)", "power, karma"),
    ],
)
def test_a_distribution_is_of_the_values_that_weigh(
    weights: Sequence[float], disputed: Sequence[str], count: str, unclear: str | None, capsys: Any
) -> None:
    _print(mixed(weights, disputed))
    said = capsys.readouterr().out
    assert count in said and ("No option is clearly ahead" in said) == (unclear is not None)
    assert unclear is None or f"ahead for {unclear}.)" in said


@pytest.mark.parametrize(
    ("language", "names"), [(None, ("power", "honor", "karma")), ("de", ("Macht (power)", "Ehre (honor)", "(karma)"))]
)
def test_every_line_calls_a_value_by_the_same_name(language: str | None, names: Sequence[str], capsys: Any) -> None:
    known = Taxonomy.built_in(language)
    _print(mixed((0.5, 0.5, 0), ("honor",)), known.name_of)
    said = " ".join(capsys.readouterr().out.split())
    power, honor, karma = names
    assert f"(as {power})" in said and f"clearly ahead for {honor}." in said and f"{karma}." in said


# ---------------------------------------------------------------- options that are not read


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Is lying ok? Options: yes, no", True),
        ("Is lying ok?\na) yes\nb) no", True),
        ("Is lying ok?\nA. yes\nB. no", True),
        ("Is lying ok? (a) yes (b) no", True),
        ("Is lying ok?\nOPTIONS: yes / no", True),
        ("Is lying ok? Options: A. yes B. no", True),
        ("Is lying ok?\nOptions: A. yes B. no", False),
        ("Is lying ok?\nA. yes\nB. no\nAnswer:", False),
        ("I have two options: tell her, or lie.", False),
        ("We met at a. b. was there.", False),
        ("Sharing (a) flat", False),
        ("Is lying ok?", False),
    ],
)
def test_options_that_are_not_read_are_seen(text: str, hidden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Setup, "load", _load)
    assert hides_options(text) is hidden
    assert ("options are not read" in _respond(text, "--mode", "distributional").stderr) is hidden
    for more in (["--mode", "distributional", "--options", "yes|no"], []):
        assert "options are not read" not in _respond(text, *more).stderr


def test_long_texts_are_searched_in_a_moment() -> None:
    import time

    started = time.perf_counter()
    for text in ("a) " * 6_000, "\n" * 9_000 + " " * 9_000, "(" * 19_000, "a)\n" * 6_000, " \n a" * 4_000):
        hides_options(text)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("given", ["Yes,No", "Yes, No", "right; wrong", "for/against", "Yes,No;Maybe"])
def test_a_lone_option_that_is_several_is_refused(given: str) -> None:
    with pytest.raises(InputError, match=r"^options: are one text, .*Write \|"):
        Request("Feeding ducks", mode="distributional", options=given)
    found = _respond("Feeding ducks", "--mode", "distributional", "--options", given)
    assert isinstance(found.exception, InputError) and found.exception.field == "--options"


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ("Yes, often|No", ("Yes, often", "No")),
        (["Yes, often"], ("Yes, often",)),
        ("", ("",)),
        (("a/b", "c"), ("a/b", "c")),
    ],
)
def test_options_that_hold_a_comma_stay(given: Any, options: Sequence[str]) -> None:
    assert Request("x", mode="distributional", options=given).options == options


def test_values_are_still_written_with_commas() -> None:
    assert json.dumps(Request("x", values="honor,karma").values) == '["honor", "karma"]'
