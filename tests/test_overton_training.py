"""Overton training: its reward and report by hand, and training itself where trl is installed."""

from __future__ import annotations

import builtins
import json

import numpy as np
import pytest

from benchmarks.overton_training import __main__ as command
from benchmarks.overton_training.answers import WAYS, Answer
from benchmarks.overton_training.figures import difference, grammar_scores, likeness_scores
from benchmarks.overton_training.reward import ENOUGH, LONGEST, OvertonReward, Rewarded, means
from benchmarks.overton_training.section import draw, section
from benchmarks.overton_training.training import Lesson, Settings, Trained, lessons, trained
from benchmarks.stance_shift import held_out_acts
from benchmarks.voices_heard import same_length
from training.judge import Judge
from training.sources import Scene, load_sources
from vispa.errors import ModelError
from vispa.items.item import Item
from vispa.models.encoder import load_encoder
from vispa.models.loading import load_model
from vispa.modes.prompts import built_in_prompts
from vispa.request import EMBEDDED
from vispa.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def sources():
    return load_sources()


@pytest.fixture(scope="module")
def reward():
    return OvertonReward(Taxonomy.built_in(), load_encoder(), examples=10)


def said(*values):
    """An answer of the first sentence of each value's pairs."""
    return " ".join(Taxonomy.built_in().sentences(value)[0][0] for value in values)


# ---------------------------------------------------------------- the reward


def test_values_at_stake_are_counted_once(reward):
    stake = ("tradition", "stimulation", "power", "benevolence")
    answers = [said(*stake[:count]) for count in range(1, 5)]
    assert [one.coverage for one in reward(answers, [stake] * 4)] == [0.25, 0.5, 0.75, 1.0]
    again, beside = reward([said("power", "power"), said("hedonism", "power")], [stake] * 2)
    assert again.coverage == beside.coverage == 0.25
    assert again.likeness == pytest.approx(1.0, abs=1e-5) and beside.likeness < 0.5


def test_more_values_than_enough_are_not_asked_for(reward):
    many = reward.values[: ENOUGH + 4]
    (found,) = reward([said(*many[:ENOUGH])], [many])
    assert found.coverage == 1.0


@pytest.mark.parametrize("answer", ["", " ", "Xq zzt vrr.", "12 34 56."])
def test_what_says_nothing_is_worth_nothing(reward, answer):
    (found,) = reward([answer], [("power",)])
    assert (found.coverage, found.likeness, found.excess, found.total) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(("words", "excess"), [(1, 0.0), (LONGEST, 0.0), (LONGEST * 3 // 2, 0.5), (LONGEST * 5, 1.0)])
def test_words_cost_beyond_the_longest(reward, words, excess):
    (found,) = reward([" ".join(["word"] * words)], [("power",)])
    assert found.excess == pytest.approx(excess) and found.total == found.coverage - found.likeness - found.excess


def test_an_answer_is_rewarded_as_it_is_alone(reward):
    answers = [said("power", "tradition"), said("hedonism"), "", said("power", "hedonism")]
    stakes = [("power",), ("hedonism", "power"), ("power",), ("tradition", "hedonism")]
    together = reward(answers, stakes)
    for one, answer, stake in zip(together, answers, stakes, strict=True):
        (alone,) = reward([answer], [stake])
        assert alone.coverage == one.coverage and alone.total == pytest.approx(one.total, abs=1e-5)
    assert means(together)["reward"] == pytest.approx(np.mean([one.total for one in together]))


def test_the_reward_hears_values_that_it_was_not_shown(reward, sources):
    sentences = [sources.voices[value].comment_sentences()[:5] for value in reward.values]
    right = reward.finds(sentences)
    assert 0.4 < right <= 1.0
    assert reward.finds([*sentences[1:], sentences[0]]) < right / 4


# ---------------------------------------------------------------- lessons


def test_no_lesson_is_held_out(sources):
    left = command.held_out(sources)
    every = lessons(sources, left)
    assert len(every) > 2000 and all(one.stake and "{" not in one.text for one in every)
    assert not {one.text.casefold() for one in every} & {text.casefold() for text in left}
    assert {scene.text for scene in held_out_acts(sources, 3)} <= left
    assert {item.text for item in command.domain_items(2)} <= left
    first = every[0].text
    assert first not in {one.text for one in lessons(sources, {first.upper()})}
    assert lessons(sources, left) == every != lessons(sources, left, seed=1)


# ---------------------------------------------------------------- figures


@pytest.fixture(scope="module")
def scene(sources):
    one = held_out_acts(sources, 1)[0]
    return Scene(one.text, one.domain, dict.fromkeys(("power", "tradition"), "support"), is_act=True)


def test_share_heard_of_sentences_that_are_drawn(sources, scene):
    judge = Judge(sources)
    own, other = (sources.voices[value].principles[0] for value in ("power", "hedonism"))
    # One gold value of two; one sentence of one, of two, of three.
    assert same_length([own], scene, judge, 1) == 0.5
    assert same_length([own, other], scene, judge, 1) == 0.25
    assert same_length([own, own, other], scene, judge, 1) == 0.25
    assert same_length([own, other, "No sentence of it."], scene, judge, 2) == pytest.approx(0.5 * 2 / 3)
    assert same_length([], scene, judge, 3) == 0.0


def test_scores_of_answers(sources, scene):
    own = sources.voices["power"].principles[0]
    found = grammar_scores([Answer(own, [own]), Answer("", [])], [scene, scene], sources)
    assert found["gold heard"].tolist() == [0.5, 0.0] and found["precision"].tolist() == [1.0, 0.0]
    assert found["sentences"].tolist() == [1.0, 0.0] and found["words"].tolist() == [len(own.split()), 0]


def test_answers_that_say_the_explanations_are_ahead_of_chance():
    items = [
        Item(id=number, text=f"A question of {word}", explanations=(f"The {word} is kept.", f"No {word} is sold."))
        for number, word in enumerate(("kites", "letters", "winter", "goats"))
    ]
    right = [Answer(" ".join(item.explanations), []) for item in items]
    found = likeness_scores({"right": right, "turned": [*right[1:], right[0]]}, items, load_encoder())
    assert found["right"]["as published"] == pytest.approx(np.ones(4), abs=1e-6)
    assert (found["right"]["above chance"] > 0.2).all() and (found["right"]["beyond the text"] > 0).all()
    assert (found["turned"]["above chance"] < 0).all()


@pytest.mark.parametrize(("by", "words"), [(0.2, "ahead"), (-0.2, "behind"), (0.0, "not told apart")])
def test_a_difference_is_told_by_its_interval(by, words):
    scores = np.random.default_rng(0).random(40)
    found = difference(scores + by, scores)
    assert found["words"] == words and found["difference"] == pytest.approx(by)


# ---------------------------------------------------------------- the command


def test_the_command_reports_what_training_gave(monkeypatch, tmp_path, capsys):
    """Training stands aside: the model is measured as it is, so that it is told apart from prompting in nothing."""
    course = [{"reward": 0.1, "coverage": 0.2, "likeness": 0.1, "excess": 0.0, "words": 30.0}] * 7
    monkeypatch.setattr(command, "check_trl", lambda: None)
    monkeypatch.setattr(command, "trained", lambda *_: Trained(course, 7.0, 6.0))
    file = tmp_path / "figures.json"
    arguments = ["--steps", "7", "--acts", "2", "--situations", "1", "--seed", "3"]
    report = command.main([*arguments, "--json", str(file)])
    printed = capsys.readouterr().out
    assert json.loads(file.read_text(encoding="utf-8")) == json.loads(json.dumps(report))
    assert report["command"] == f"python -m benchmarks.overton_training {' '.join(arguments)}"
    assert report["seed"] == report["settings"]["seed"] == 3 and report["versions"]["trl"]
    assert list(report["rows"]) == list(WAYS) and report["training"]["answers"] == 7 * 64
    same, other = report["rows"]["trained"], report["rows"]["prompting"]
    assert same["acts"] == other["acts"] and same["examples"] == other["examples"]
    assert {one["words"] for one in report["differences"]["prompting"].values()} == {"not told apart"}
    assert report["rows"]["vispa"]["acts"]["words"]["estimate"] > same["acts"]["words"]["estimate"]
    assert printed.strip() == section(report) and "7 steps of 8 situations" in printed
    assert all(words in printed for words in WAYS.values())
    draw(report, tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize("arguments", [["--steps", "0"], ["--answers", "1"], ["--acts", "1"], ["--situations", "0"]])
def test_unusable_numbers_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert f"{arguments[0]}: give a number from" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["trl", "datasets"])
def test_what_is_missing_is_said_before_anything_is_done(missing, monkeypatch):
    usual = builtins.__import__

    def refused(name, *rest):
        if name.partition(".")[0] == missing:
            raise ImportError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refused)
    monkeypatch.setattr(command, "load_sources", lambda: pytest.fail("began"))
    with pytest.raises(ModelError, match=r"vispa\[study\]"):
        command.main([])


# ---------------------------------------------------------------- training


class Letters:
    """A reward in which hardly two answers are alike, and the stakes that it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, answers, stakes):
        self.asked += map(tuple, stakes)
        return [Rewarded(sum(map(ord, answer)) % 97 / 97, 0.0, 0.0) for answer in answers]


def test_the_same_seed_gives_the_same_rewards():
    pytest.importorskip("trl", reason="trl is not installed.")
    taught = [Lesson(f"Should {word} be kept?", (word,)) for word in ("kites", "goats", "ice", "hats")]
    settings = Settings(steps=2, prompts=2, answers=2, tokens=8, rate=1e-3)

    def run(seed=0):
        loaded, seen = load_model(EMBEDDED, dtype="float32"), Letters()
        before = {name: one.clone() for name, one in loaded.model.state_dict().items()}
        found = trained(loaded, built_in_prompts(EMBEDDED), seen, taught, Settings(**{**vars(settings), "seed": seed}))
        after = loaded.model.state_dict()
        assert any((after[name] != one).any() for name, one in before.items()) and not loaded.model.training
        assert not any(one.requires_grad for one in loaded.model.parameters())
        return found.course, seen.asked, after

    first, second, other = run(), run(), run(seed=1)
    assert first[0] == second[0] and len(first[0]) == 2
    assert all((first[2][name] == one).all() for name, one in second[2].items())
    assert any((first[2][name] != one).any() for name, one in other[2].items())
    assert first[1][:4] == [taught[0].stake] * 2 + [taught[1].stake] * 2
