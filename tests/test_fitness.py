"""`vispa doctor`: what a model, a recipe or a reader of options must show to be called fit."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from random_banks import COEFFICIENT, VALUES, random_bank
from test_option_readings import Reader
from typer.testing import CliRunner

from benchmarks.expression import with_random_vectors
from vispa import Vispa
from vispa.cli.main import app
from vispa.files.tables import read_table
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoder import load_encoder
from vispa.modes.prompts import built_in_prompts
from vispa.readers import local
from vispa.readers.base import Failure
from vispa.readers.local import LocalChat
from vispa.request import EMBEDDED, OPTION_READINGS, OptionReadingName
from vispa.steering import separating
from vispa.steering.recipe import Recipe
from vispa.steering.separating import say_unseparated, separation
from vispa.study.checks import Fitness, Rule, checked, rules
from vispa.study.expression import Expression
from vispa.study.fitness import balanced_values, comment_checks, fitness, interval_of_mean, ranks_among, reader_checks
from vispa.study.known import KnownTexts, known_comments, pair_sentences
from vispa.study.plain_reading import plain_questions, read_plainly
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy
from vispa.tuning import search
from vispa.tuning.situations import development_situations, untuned_situations

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "data" / "plain_questions.csv"


@pytest.fixture(autouse=True)
def unsaid() -> Iterator[None]:
    """What is said once a process is said once a test."""
    caches = (separating._say_unseparated, local._say_letters)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture(scope="module")
def judge() -> ValueJudge:
    """Of a third of the texts, for the time it takes."""
    known, pairs = known_comments(), pair_sentences(Taxonomy.built_in())

    def few(texts: KnownTexts, count: int) -> KnownTexts:
        return KnownTexts(*({v: t[:count] for v, t in side.items()} for side in (texts.promoting, texts.opposing)))

    return ValueJudge(load_encoder(), few(known, 24), few(pairs, 20))


@pytest.fixture(scope="module")
def vispa() -> Vispa:
    return Vispa.embedded()


def examined(vispa: Vispa, judge: ValueJudge) -> Fitness:
    return fitness(vispa, judge, untuned_situations(), balanced_values(vispa.taxonomy))


# ---------------------------------------------------------------- models and recipes


def test_the_embedded_model_is_fit(vispa: Vispa, judge: ValueJudge) -> None:
    told: list[tuple[str, int, int]] = []
    values = balanced_values(vispa.taxonomy)
    found = fitness(vispa, judge, untuned_situations(), values, progress=lambda *one: told.append(one))
    assert {check.name: check.verdict for check in found.checks if check.rule.part == "recipe"} == dict.fromkeys(
        ("separation", "value", "side", "fluency", "relation", "similarity", "repeated", "unusable"), "good"
    )
    assert found.verdict("reader") == found.verdict() == "good" and found["moves"].figure == 0
    assert sum(done for _, done, _ in told) == told[0][2] == 4 * 11
    assert [check.name for check in found.checks] == list(rules())
    assert all(bool(check.advice) == (check.verdict != "good") for check in found.checks)


@pytest.mark.parametrize("reading", ["cyclic", "letters"])
def test_its_letters_are_read_well_over_all_orders_and_in_one_order_follow_it(reading: OptionReadingName) -> None:
    engine = Vispa.embedded().engine
    read = read_plainly(LocalChat(engine, reading), plain_questions(EMBEDDED), built_in_prompts(EMBEDDED))
    assert all(check.verdict == "good" for check in reader_checks(read, EMBEDDED)) is (reading == "cyclic")
    # It was trained on one order of the options.
    assert read.moves == 0 if reading == "cyclic" else read.moves > 0.9


def test_a_random_bank_is_bad(vispa: Vispa, judge: ValueJudge) -> None:
    bank = with_random_vectors(vispa.bank, vispa.recipe)
    found = examined(Vispa(vispa.model, bank, vispa.selector, taxonomy=vispa.taxonomy), judge)
    assert found.verdict("recipe") == found["value"].verdict == "bad"
    assert "vispa tune embedded" in found["value"].advice and "AUC" in found["value"].detail
    # It says of itself what the true one did.
    assert found["separation"].verdict == "good"


def test_the_published_recipe_is_bad_on_a_model_that_it_does_not_steer(vispa: Vispa, judge: ValueJudge) -> None:
    found = examined(vispa.variant(recipe="published"), judge)
    assert found.verdict("recipe") == found["value"].verdict == "bad"


# ---------------------------------------------------------------- readers of options


def only_a(options: list[str], _: str) -> list[float]:
    return [1.0, 0.0, 0.0]


class Plain(Reader):
    """Knows the options of any listed question."""

    def option_probabilities(self, prompts: Sequence[str], counts: Sequence[int], **_: object) -> list[np.ndarray]:
        return [np.array(self._mass([], prompt))[:count] for prompt, count in zip(prompts, counts, strict=True)]


@pytest.mark.parametrize("reading", OPTION_READINGS)
def test_who_only_says_a_is_an_unfit_reader(vispa: Vispa, judge: ValueJudge, reading: OptionReadingName) -> None:
    reader = Plain(reading, only_a)
    found = reader_checks(read_plainly(reader, plain_questions(), vispa.prompts), reader.name)  # type: ignore[arg-type]
    by_name = {check.name: check for check in found}
    assert by_name["right"].verdict == "bad" and Fitness(tuple(found)).verdict("reader") == "bad"
    if reading == "letters":
        assert by_name["right"].figure == pytest.approx(1 / 3) and by_name["moves"].figure == 1.0
        assert by_name["letter"].verdict == "bad" and by_name["letter"].detail == "A"
    else:
        assert by_name["unread"].verdict == "bad" and by_name["unread"].figure == 1.0 and "letter" not in by_name
        assert "could not be read" in by_name["unread"].detail


def test_a_pipeline_is_unfit_with_such_a_reader(vispa: Vispa, judge: ValueJudge) -> None:
    reader = Plain("letters", only_a)
    parts = (vispa.model, vispa.bank, vispa.selector)
    found = examined(Vispa(*parts, taxonomy=vispa.taxonomy, reader=reader), judge)  # type: ignore[arg-type]
    assert found.verdict("recipe") == "good" and found.verdict("reader") == "bad"


def knowing(prompt: str) -> list[float]:
    answers = {question.text: question.answer for question in plain_questions()}
    (answer,) = [answer for text, answer in answers.items() if text in prompt]
    listed = prompt.split("Options: ")[1]
    places = [listed.index(f"{letter}. ") for letter in "ABC"] + [len(listed)]
    own = [listed[start + 3 : end].split("\n")[0].strip() for start, end in pairwise(places)]
    return [1.0 if option == answer else 0.0 for option in own]


def test_who_knows_the_answers_is_a_good_one() -> None:
    prompts = built_in_prompts()
    read = read_plainly(Plain("letters", lambda _, prompt: knowing(prompt)), plain_questions(), prompts)  # type: ignore[arg-type]
    assert (read.right, read.moves, read.unread, read.problem) == (1.0, 0.0, 0.0, "")
    assert (read.letter_share, read.chance) == pytest.approx((1 / 3, 1 / 3))
    assert all(check.verdict == "good" for check in reader_checks(read, "m"))


def test_why_nothing_could_be_read_is_said() -> None:
    class Gone(Plain):
        def option_probabilities(self, prompts: Sequence[str], *_: object, **__: object) -> list[Failure]:  # type: ignore[override]
            return [Failure("The server is gone.")] * len(prompts)

    read = read_plainly(Gone("letters", only_a), plain_questions(), built_in_prompts())  # type: ignore[arg-type]
    assert read.right == 0.0 and read.unread == 1.0 and not read.letter
    assert reader_checks(read, "m")[-1].detail == "The server is gone."


def test_questions_are_of_three_options_and_the_packages_own() -> None:
    others = {row.fields["question"] for row in read_table(BENCHMARK).rows}
    assert len(plain_questions()) == len(set(plain_questions())) >= 12
    for model in ("", EMBEDDED):
        for question in plain_questions(model):
            assert len(set(question.options)) == 3 and question.answer in question.options
            assert question.text not in others
    assert plain_questions("another") == plain_questions() != plain_questions(EMBEDDED)


# ---------------------------------------------------------------- figures


def test_rules_have_three_verdicts_and_no_figure_is_bad() -> None:
    much, little = Rule("recipe", "a", 0.9, 0.5, "b"), Rule("reader", "a", 0.1, 0.6, "b", number=True)
    assert [much.verdict(figure) for figure in (0.9, 0.89, 0.5, 0.49, float("nan"))] == [
        "good", "weak", "weak", "bad", "bad",
    ]  # fmt: skip
    assert [little.verdict(figure) for figure in (0.1, 0.11, 0.6, 0.61, float("nan"))] == [
        "good", "weak", "weak", "bad", "bad",
    ]  # fmt: skip
    assert (much.good_is, much.bad_is, much.shown(float("nan"))) == ("at least 90%", "below 50%", "–")
    assert (little.good_is, little.bad_is) == ("at most 0.10", "above 0.60")
    assert rules()["moves"].bad_is == "" and checked("right", 0.2, "lab/{x}").advice
    assert checked("value", 0.2, "lab/{x}").advice.count("lab/{x}") == 1


def test_ranks_are_an_auc_and_half_where_comments_are_alike() -> None:
    chance = np.random.default_rng(0)
    likely = chance.dirichlet(np.ones(4), size=(3, 4))
    slow = np.zeros((3, 4))
    for place in range(3):
        for value in range(4):
            own = likely[place, value, value]
            slow[place, value] = np.mean([own > likely[place, value, other] for other in range(4) if other != value])
    np.testing.assert_allclose(ranks_among(expression(likely)), slow)
    alike = np.repeat(likely[:, :1], 4, axis=1)
    assert ranks_among(expression(alike)).mean() == pytest.approx(0.5)
    assert ranks_among(expression(np.full((1, 2, 2), 0.5))).tolist() == [[0.5, 0.5]]


def expression(likely: np.ndarray, texts: Sequence[Sequence[str]] = ()) -> Expression:
    grid = np.full(likely.shape[:2], 0.5)
    values = tuple("abcdefgh"[: likely.shape[1]])
    return Expression(values, tuple(map(tuple, texts)), grid, grid, grid, grid, grid, grid, grid.mean(1), likely)


def test_intervals_hold_the_mean_and_shrink() -> None:
    chance = np.random.default_rng(1)
    few, many = chance.normal(0.6, 0.2, 10), chance.normal(0.6, 0.2, 1000)
    low, high = interval_of_mean(many)
    half = 1.96 * many.std() / np.sqrt(1000)
    assert (low, high) == pytest.approx((many.mean() - half, many.mean() + half), abs=0.003)
    wide = interval_of_mean(few)
    assert wide[0] < few.mean() < wide[1] and wide[1] - wide[0] > 5 * (high - low)
    assert interval_of_mean(np.full(3, 0.5)) == (0.5, 0.5)


def test_comments_that_say_nothing_or_the_same_are_bad(judge: ValueJudge) -> None:
    texts = [["Honesty first.", "Honesty first.", "", "I'm sorry, but as an AI I can't comment on that."]]
    likely = np.full((1, 4, 4), 0.25)
    found = {check.name: check for check in comment_checks(*[expression(likely, texts)] * 2, judge, "m")}
    assert found["unusable"].figure == 0.5 and found["repeated"].figure == 0.25
    assert found["unusable"].verdict == found["value"].verdict == "bad" and found["repeated"].verdict == "weak"
    assert "not heard: a, b, c, d" in found["value"].detail


def test_values_are_taken_from_all_families() -> None:
    taxonomy = Taxonomy.built_in()
    chosen = balanced_values(taxonomy, 10)
    families = [taxonomy[slug].family for slug in chosen]
    assert len(set(chosen)) == 10
    assert sorted(families.count(family) for family in {value.family for value in taxonomy.values}) == [2] * 5
    assert set(balanced_values(taxonomy, 99)) == set(taxonomy)


def test_situations_are_none_that_tuning_looks_at() -> None:
    own, known = untuned_situations(), development_situations()
    rounds = (search._SCREENED, search._RUN, search._WEIGHED, search._LEARNT, search.FINAL)
    assert len(own) == 4 and not {text for part in rounds for text in known[part]} & set(own)


# ---------------------------------------------------------------- what is known without measuring


def test_values_that_do_not_separate_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    bank = random_bank()
    quality = torch.tensor([[0.9, 0.8, 0.9, 0.7], [0.9, 0.5, 0.6, 0.7], [0.1, 0.7, 0.7, 0.8]])
    entry = bank.entries["mean"]
    bank = replace(bank, entries={"mean": replace(entry, directions=replace(entry.directions, quality=quality))})
    found = separation(bank, COEFFICIENT)
    assert found.accuracy == pytest.approx({VALUES[0]: 0.8, VALUES[1]: 0.6, VALUES[2]: 2.2 / 3})
    assert found.unseparated == (VALUES[1],) and found.share == pytest.approx(2 / 3)
    nowhere = separation(bank, replace(COEFFICIENT, minimal_quality=0.75))
    assert nowhere.accuracy[VALUES[1]] == 0.0 and nowhere.accuracy[VALUES[2]] == pytest.approx(0.8)
    for _ in range(3):
        say_unseparated(bank, COEFFICIENT)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for words in ("1 of 3 values", f"({VALUES[1]})", f"`vispa doctor {bank.info.model}`"):
        assert words in record.getMessage()


def test_every_pipeline_says_so(vispa: Vispa, caplog: pytest.LogCaptureFixture) -> None:
    entry = vispa.bank.entry("one_versus_others_last")
    blind = replace(entry.directions, quality=torch.full_like(entry.directions.quality, 0.5))
    bank = replace(
        vispa.bank, entries={**vispa.bank.entries, "one_versus_others_last": replace(entry, directions=blind)}
    )
    made = [Vispa(vispa.model, bank, vispa.selector, taxonomy=vispa.taxonomy) for _ in range(2)]
    made[0].respond("Lying to my boss", k=1, max_new_tokens=4)
    assert len(caplog.records) == 1 and "31 of 31 values" in caplog.records[0].getMessage()
    Vispa.embedded().variant(recipe=Recipe("one_versus_others", blocks=(1,), magnitude="residual", amount=0.5))
    assert len(caplog.records) == 1


def test_letters_of_a_model_that_is_read_otherwise_are_warned_of_once(
    make_model: Callable[..., object], caplog: pytest.LogCaptureFixture
) -> None:
    other = replace(make_model("llama"), option_reading="words")  # type: ignore[type-var]
    for reading in (None, "words", "cyclic"):
        LocalChat(TransformersEngine(other), reading)  # type: ignore[arg-type]
    LocalChat(TransformersEngine(replace(other, option_reading="letters")), "letters")  # type: ignore[arg-type,type-var]
    assert not caplog.records
    for _ in range(2):
        LocalChat(TransformersEngine(other), "letters")  # type: ignore[arg-type]
    (record,) = caplog.records
    assert "vispa doctor random-llama --option-reading letters" in record.getMessage()


# ---------------------------------------------------------------- the command


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, judge: ValueJudge) -> None:
    monkeypatch.setattr("vispa.study.taxonomy_judge.judge_of", lambda *_: judge)


def test_the_command_shows_figures_verdicts_and_advice(quick: None) -> None:
    found = CliRunner().invoke(app, ["doctor", "embedded"])
    assert found.exit_code == 0, found.output
    for words in ("embedded: one_versus_others_last", "options read by embedded, cyclic", "at least 90%", "verdict"):
        assert words in found.output
    assert "The recipe is good; the reader of options is good." in found.output
    found = CliRunner().invoke(app, ["doctor", "embedded", "--option-reading", "letters"])
    assert "weak: answers that move with the order. Read in all orders at once" in found.output


def test_a_bad_check_is_exit_code_1(quick: None) -> None:
    found = CliRunner().invoke(app, ["doctor", "--recipe", "published", "--option-reading", "cyclic", "--json"])
    assert found.exit_code == 1
    said = json.loads(found.stdout)
    assert said["verdict"] == "bad" and said["parts"] == {"recipe": "bad", "reader": "good"}
    assert said["recipe"]["estimator"] == "probe" and said["option_reading"] == "cyclic"
    assert {check["verdict"] for check in said["checks"]} >= {"good", "bad"}
    assert all(bool(check["advice"]) == (check["verdict"] != "good") for check in said["checks"])


def test_help_tells_the_exit_code() -> None:
    assert "exit code is 1" in " ".join(CliRunner().invoke(app, ["doctor", "--help"]).output.replace("│", " ").split())
