"""The controlled benchmarks' figures on hand-worked cases, and both of them whole on a tiny random model."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from random_banks import random_bank_of
from scipy.spatial.distance import jensenshannon

from benchmarks import controlled, orders, stance_shift
from benchmarks.controlled import Outputs
from benchmarks.voices_heard import gold_values, overton_scores, same_length_scores
from training.judge import Judge
from training.sources import Scene, load_acts, load_sources
from vispa.evaluation.intervals import Interval
from vispa.files.tables import read_table
from vispa.pipeline import Vispa
from vispa.request import Request
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

RECIPE = Recipe("mean", (1,), magnitude="residual", amount=0.6, minimal_quality=0.0)


@pytest.fixture(scope="module")
def sources():
    return load_sources()


class FirstLetters:
    """Scores that depend on the text alone."""

    name = "letters"

    def __init__(self, taxonomy):
        self.taxonomy = taxonomy

    def scores(self, texts, progress=None):
        return np.stack([np.random.default_rng(ord(text[0])).random(len(self.taxonomy)) for text in texts])


@pytest.fixture(scope="module")
def vispa(make_model):
    """A tiny random model with random directions for all values."""
    loaded, taxonomy = make_model("llama"), Taxonomy.built_in()
    bank = random_bank_of(loaded, taxonomy, RECIPE, seed=1)
    return Vispa(loaded, bank, FirstLetters(taxonomy), taxonomy=taxonomy)


# ---------------------------------------------------------------- acts


def test_held_out_acts_come_in_rounds_of_all_kinds(sources):
    scenes = stance_shift.held_out_acts(sources)
    assert len(scenes) >= 200
    assert [Counter(scene.kind for scene in scenes[i : i + 32]) for i in (0, 32, 64)] == [Counter(range(32))] * 3
    assert not any("{" in scene.text for scene in scenes)
    assert all(scene.text[0].isupper() for scene in scenes)
    assert stance_shift.held_out_acts(sources, 5) == scenes[:5]


def test_held_out_acts_are_not_in_the_corpus(sources):
    assert not {act.text for act in load_acts(stance_shift.HELD_OUT)} & {act.text for act in sources.acts}


def test_drawn_values_have_the_stance(sources):
    scenes = stance_shift.held_out_acts(sources)
    drawn = stance_shift.drawn_values(scenes, sources.values)
    for scene, row in zip(scenes, drawn, strict=True):
        assert [scene.stance(value) for value in row] == ["support", "oppose", "either"]
    assert drawn == stance_shift.drawn_values(scenes, sources.values)
    assert drawn != stance_shift.drawn_values(scenes, sources.values, seed=1)


# ---------------------------------------------------------------- hand-worked figures


def test_moves_and_accuracy():
    before = np.array([[0.3, 0.3, 0.4], [0.5, 0.2, 0.3]])
    after = np.array(
        [[[0.5, 0.2, 0.3], [0.4, 0.3, 0.3]], [[0.4, 0.1, 0.5], [0.1, 0.8, 0.1]]]
    )  # Support rose; Oppose stayed. Support fell; Oppose rose.
    assert stance_shift.moved(before, after).tolist() == [[1, 0], [0, 1]]
    assert stance_shift.right(after).tolist() == [[1, 0], [0, 1]]
    row = stance_shift.figures(before, [after, np.stack([before, before], axis=1)])
    assert row["moved"].estimate == 0.25
    assert row["moved to support"].estimate == 0.25
    # The likeliest of before's options is Either, then Support: right once of four.
    assert row["accuracy"].estimate == pytest.approx((2 / 4 + 1 / 4) / 2)


def test_overton_scores(sources):
    judge = Judge(sources)
    scene = Scene("x", None, {"power": "support", "karma": "oppose", "face": "oppose", "honor": "either"})
    voices = sources.voices
    assert gold_values(scene) == {"power", "karma", "face"}

    def scores(*sentences):
        return overton_scores(sentences, scene, judge, sources)

    said = (voices["power"].support[0], voices["karma"].principles[0], voices["honor"].mixed[0], "No such sentence.")
    assert scores(*said) == (2 / 3, 1 / 3, 2 / 4)
    assert scores(voices["karma"].oppose[0], voices["karma"].oppose[1]) == (1 / 3, 1 / 3, 1.0)
    assert scores(voices["karma"].anti_comments[0]) == (0.0, 0.0, 0.0)
    assert scores() == (0.0, 0.0, 0.0)


def test_all_gold_comments_of_the_grammar_cover_all(sources):
    judge = Judge(sources)
    for scene in stance_shift.held_out_acts(sources, 32):
        said = [sources.voices[value].reasons(scene.stance(value))[0] for value in gold_values(scene)]
        assert overton_scores(said, scene, judge, sources) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_what_says_the_same_of_every_act_is_at_chance(sources, count):
    # What is said of all acts alike fits its own no better than others; what is said of one alone does.
    judge, values = Judge(sources), list(sources.voices)[:count]
    scenes = [Scene(str(number), None, {value: "support"}) for number, value in enumerate(values)]
    reasons = [sources.voices[value].reasons("support")[0] for value in values]
    alike = same_length_scores([reasons] * count, scenes, judge)
    assert alike["same length"] == pytest.approx(min(1.0, 3 / count)) and alike["above chance"] == pytest.approx(0.0)
    own = same_length_scores([[reason] for reason in reasons], scenes, judge)
    assert own["same length"].tolist() == [1.0] * count and own["same length, other acts"].tolist() == [0.0] * count


def test_every_sentence_of_the_grammar_is_one_sentence(sources):
    for voice in sources.voices.values():
        for sentence in voice.comment_sentences():
            assert controlled.sentences_of(f" {sentence} ") == [sentence]


def test_votes_and_mixtures():
    scenes = [Scene("x", None, {"a": "support", "b": "oppose"}), Scene("y", None, {"c": "support"})]
    votes = controlled.votes(scenes, ("a", "b", "c"))
    gold = controlled.mixed(np.array([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0]]), votes)
    np.testing.assert_allclose(gold, [[[0.5, 0.3, 0.2], [0.2, 0, 0.8]], [[0, 0, 1], [1, 0, 0]]])


def test_populations_are_distributions_and_repeat():
    drawn = controlled.populations(8, 31)
    np.testing.assert_allclose(drawn.sum(1), 1)
    np.testing.assert_array_equal(drawn, controlled.populations(8, 31))
    assert drawn.shape == (8, 31)


def test_distances_against_scipy():
    rng = np.random.default_rng(0)
    gold, predicted = rng.dirichlet(np.ones(3), (2, 4)), rng.dirichlet(np.ones(3), 4)
    expected = [np.mean([jensenshannon(predicted[e], gold[p, e]) for p in range(2)]) for e in range(4)]
    np.testing.assert_allclose(controlled.distances(predicted, gold), expected)


def test_target_accuracy():
    perfect = np.eye(3)
    assert controlled.target_accuracy(np.stack([perfect, np.roll(perfect, 1, axis=0)])).tolist() == [1.0, 0.0]
    # A method that does not look at the target is right for exactly one of three.
    same = np.repeat(np.random.default_rng(0).dirichlet(np.ones(3), 10)[:, None], 3, axis=1)
    assert controlled.target_accuracy(same) == pytest.approx(np.full(10, 1 / 3))


def test_total_variation():
    np.testing.assert_allclose(controlled.total_variation(np.eye(2), np.array([[0.5, 0.5], [0.0, 1.0]])), [0.5, 0.0])


def test_weights_are_recovered_where_they_can_be():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(4), 2)
    found = controlled.recovered(rng.dirichlet(np.full(3, 0.3), (40, 4)), weights, ("a", "b", "c", "d"))
    assert found["total variation"].estimate < 0.02
    assert found["distance, fitted"].estimate < found["distance, mean"].estimate / 5


def test_verdict_needs_intervals_apart():
    def interval(low, high):
        return Interval(estimate=(low + high) / 2, low=low, high=high, confidence=0.95, resamples=10, n=5)

    figures = {
        "vanilla": {"x": interval(0.1, 0.2)},
        "prompting": {"x": interval(0.3, 0.5)},
        "VISPA": {"x": interval(0.4, 0.6)},
    }
    assert controlled.not_beaten(figures, "x") == {"VISPA": ["prompting"]}
    assert controlled.not_beaten(figures, "x", lower=True) == {"VISPA": ["vanilla", "prompting"]}


# ---------------------------------------------------------------- whole


@pytest.fixture(scope="module")
def outputs(vispa, sources):
    return Outputs(vispa, sources, stance_shift.held_out_acts(sources, 4))


def test_comments_and_responses_are_those_of_the_pipeline(outputs, vispa):
    answers = vispa.respond_many([Request(text) for text in outputs.texts], max_new_tokens=64)
    ours = controlled.overton_sentences(outputs)["VISPA, 6 selected values"]
    for number, answer in enumerate(answers):
        row = [outputs.comments[number][v] for v in outputs.selected[number]]
        assert [(one.value, one.text) for one in row] == [(one.value, one.text) for one in answer.comments]
        assert ours[number] == [s for claim in controlled.quoted(answer) for s in controlled.sentences_of(claim.text)]


@pytest.mark.parametrize("passages", [True, False])
def test_distributions_are_those_of_the_pipeline(outputs, vispa, passages):
    request = Request(outputs.texts[0], mode="distributional", values=tuple(vispa.taxonomy), passages=passages)
    answer = vispa.respond_many([request], max_new_tokens=64)[0]
    by_value = {chosen.value: row for chosen, row in zip(answer.values, answer.by_value, strict=True)}
    table = (outputs.read if passages else outputs.own)[0]
    np.testing.assert_allclose(table, [by_value[value] for value in vispa.taxonomy], atol=2e-4)


def test_controlled_benchmark_runs(outputs, sources, vispa, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(controlled.Vispa, "embedded", staticmethod(lambda: vispa))
    monkeypatch.setattr(controlled, "Outputs", lambda *_: outputs)
    monkeypatch.setattr(
        controlled, "fitted_weights", lambda by_value, gold, values: np.full((len(gold), len(values)), 1 / len(values))
    )
    file = tmp_path / "figures.json"
    controlled.main(["--limit", "4", "--json", str(file)])
    report = json.loads(file.read_text(encoding="utf-8"))
    assert set(report) == {"acts", "overton", "steerable", "distributional", "recovery"}
    vanilla = next(name for name in report["steerable"] if name.startswith("vanilla"))
    row = report["steerable"][vanilla]
    # Of three targets one is right, whatever it says; unless it cannot be read.
    assert row["accuracy"]["estimate"] == pytest.approx((1 - row["not read"]["estimate"]) / 3)
    printed = capsys.readouterr().out
    assert "Overton" in printed and "VISPA" in printed


def test_answers_that_change_with_the_order_count_as_wrong(outputs):
    figures = controlled.steerable(outputs)
    for name, row in figures.items():
        assert name.startswith("vanilla") or row["accuracy"].estimate + row["not read"].estimate <= 1
    decided = np.array([[[0.2, 0.5, 0.3], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]]])
    assert controlled.target_accuracy(decided).tolist() == pytest.approx([2 / 3])
    assert controlled.target_accuracy(decided, np.array([[True, True, False]])).tolist() == pytest.approx([1 / 3])


def test_option_readings_are_compared_over_orders(vispa, sources, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(orders.Vispa, "embedded", staticmethod(lambda: vispa))
    monkeypatch.setattr(stance_shift, "SAMPLING", stance_shift.Sampling(8))
    file = tmp_path / "figures.json"
    orders.main(["--limit", "3", "--json", str(file)])
    report = json.loads(file.read_text(encoding="utf-8"))
    scenes = stance_shift.held_out_acts(sources, 3)
    texts = [scene.text for scene in scenes for _ in range(3)]
    values = [value for row in stance_shift.drawn_values(scenes, tuple(vispa.taxonomy)) for value in row]
    cyclic = stance_shift.options_read(vispa, stance_shift.stance_prompts(vispa, texts), vispa.bank, values, "cyclic")
    own, right = report["the steered model's own"], np.arange(9) % 3
    likeliest = np.array([one.distribution.argmax() for one in cyclic])
    disputed = np.array([one.disputed for one in cyclic])
    assert own["cyclic, not read"]["estimate"] == pytest.approx(disputed.mean())
    assert own["cyclic"]["estimate"] == pytest.approx(((likeliest == right) & ~disputed).mean())
    assert own["cyclic, the likeliest of those too"]["estimate"] == pytest.approx((likeliest == right).mean())
    assert "3 held-out acts" in capsys.readouterr().out


def test_too_few_acts_are_refused():
    with pytest.raises(SystemExit) as stopped:
        controlled.main(["--limit", "3"])
    assert stopped.value.code == 2


def test_stance_shift_runs(vispa, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stance_shift.Vispa, "embedded", staticmethod(lambda: vispa))
    monkeypatch.setattr(stance_shift, "SAMPLING", stance_shift.Sampling(8))
    file = tmp_path / "figures.json"
    stance_shift.main(["--limit", "3", "--json", str(file)])
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["own options: not steered"]["moved"]["estimate"] == 0.0
    assert report["own options: steered"]["moved"]["n"] == 3
    assert "3 held-out acts" in capsys.readouterr().out


def test_a_reader_chose_six_values_for_every_held_out_act():
    rows = read_table(controlled.READ, ("act", "values")).rows
    acts = [scene.text for scene in stance_shift.held_out_acts(load_sources())]
    assert [row.fields["act"] for row in rows] == acts
    known = set(Taxonomy.built_in())
    for row in rows:
        chosen = row.fields["values"].split()
        assert len(set(chosen)) == len(chosen) == controlled.DEFAULT_K and set(chosen) <= known
