"""Coverage that length cannot buy: the budget of sentences, and what chance gives."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from encoders import BagOfWords
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure as Canvas
from test_scoring import LookupJudge, record, write_run, write_task
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.errors import InputError
from vispa.evaluation.comparison import compare_runs
from vispa.evaluation.diagnostics import check_folder
from vispa.evaluation.metrics import METRICS, coverage
from vispa.evaluation.metrics.base import Figure, Scoring
from vispa.evaluation.metrics.controlled import (
    LONGEST_SENTENCE,
    beyond_scores,
    controlled_scores,
    counted_sentences,
    expected_best,
    other_places,
)
from vispa.evaluation.metrics.coverage import embedding_likenesses, entailment_scores
from vispa.evaluation.metrics.likeness import Cosines, Entailments
from vispa.evaluation.report import report_folder
from vispa.evaluation.report.drawings import _keep_to_scale
from vispa.evaluation.scoring import score_folder
from vispa.evaluation.tasks import load_task
from vispa.models.encoder import load_encoder
from vispa.models.sentences import split_sentences

NUMBERS = st.floats(0, 1, width=32)
TABLES = st.integers(1, 7).flatmap(
    lambda width: st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=1, max_size=3).map(np.array)
)
BUDGETS = st.integers(1, 8)


def slow_best(table, budget):
    """The mean over all subsets, gone through one by one."""
    size = min(budget, table.shape[1])
    return [np.mean([max(chosen) for chosen in itertools.combinations(row, size)]) for row in table]


# ---------------------------------------------------------------- the budget


@given(TABLES, BUDGETS)
def test_the_expected_best_is_the_mean_over_all_draws(table, budget):
    np.testing.assert_allclose(expected_best(table, budget), slow_best(table, budget), atol=1e-12)


@given(TABLES, BUDGETS)
def test_it_lies_between_mean_and_best_and_grows_with_the_budget(table, budget):
    found = expected_best(table, budget)
    assert (found <= table.max(1) + 1e-9).all() and (found >= table.mean(1) - 1e-9).all()
    assert (expected_best(table, budget + 1) >= found - 1e-9).all()
    np.testing.assert_allclose(expected_best(table, 1), table.mean(1), atol=1e-9)
    np.testing.assert_array_equal(expected_best(table, 100), table.max(1))


@given(TABLES, BUDGETS)
def test_leaving_out_sentences_at_random_changes_nothing_in_expectation(table, budget):
    if table.shape[1] > budget:
        shorter = [expected_best(np.delete(table, place, axis=1), budget) for place in range(table.shape[1])]
        np.testing.assert_allclose(np.mean(shorter, axis=0), expected_best(table, budget), atol=1e-9)


@given(TABLES, BUDGETS, st.integers(1, 5))
def test_sentences_that_say_nothing_never_raise_it(table, budget, count):
    padded = np.hstack([table, np.repeat(table.min(1, keepdims=True), count, axis=1)])
    assert (expected_best(padded, budget) <= expected_best(table, budget) + 1e-9).all()
    # Not even exactly where what was said before is all of it: the published score stays.
    np.testing.assert_array_equal(padded.max(1), table.max(1))


def test_no_sentence_and_very_many():
    assert expected_best(np.zeros((2, 0)), 3).tolist() == [0.0, 0.0]
    many = np.random.default_rng(0).random((1, 20_000))
    draws = np.random.default_rng(1).choice(many[0], (20_000, 3)).max(1)
    assert expected_best(many, 3)[0] == pytest.approx(draws.mean(), abs=0.005)


# ---------------------------------------------------------------- what counts as a sentence


def test_what_is_repeated_counts_once():
    assert counted_sentences("Ask him. Wait!\nask  him! “Wait.”") == ["Ask him.", "Wait!"]
    assert counted_sentences(" \n") == []


@given(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=200), st.sampled_from([" ", ", and "]))
def test_a_long_sentence_counts_as_several_of_like_length(letters, joint):
    text = joint.join(f"{letter}{place}" for place, letter in enumerate(letters))
    parts = counted_sentences(text)
    lengths = [len(part.split()) for part in parts]
    assert " ".join(parts) == text
    assert max(lengths) <= LONGEST_SENTENCE + 1 and max(lengths) - min(lengths) <= 1
    assert len(parts) == max(1, -(-len(text.split()) // LONGEST_SENTENCE))


# ---------------------------------------------------------------- other situations


@given(st.integers(1, 40), st.integers(0, 12), st.integers(0, 2**32))
def test_each_situation_meets_others_none_twice_and_all_equally_often(count, shuffles, seed):
    places = other_places(count, shuffles, seed)
    assert places.shape == (count, min(shuffles, count - 1))
    assert all(len({place, *met}) == 1 + len(met) for place, met in enumerate(places.tolist()))
    assert all(sorted(column) == list(range(count)) for column in places.T.tolist())
    np.testing.assert_array_equal(places, other_places(count, shuffles, seed))


def test_another_seed_meets_others():
    assert (other_places(50, 3, 0) != other_places(50, 3, 1)).any()


# ---------------------------------------------------------------- scores


def test_scores_are_those_of_slow_loops():
    gold = [["trust is kept", "time is lost"], ["truth is told"], ["food is shared", "hunger ends", "guests come"]]
    responses = ["Trust is kept. Time flies! trust is kept? Hunger ends.", "", "Guests come late."]
    others, encoder = other_places(3, 2, 5), BagOfWords()
    found = controlled_scores(responses, [0, 1, 2], gold, others, 2, Cosines(encoder))

    def table(explanations, sentences):
        pairs = [[encoder.encode([e]) @ encoder.encode([s]).T for s in sentences] for e in explanations]
        return np.array(pairs, dtype=float).reshape(len(explanations), len(sentences))

    def same(place, at):
        said = list({s.casefold().rstrip(".!?"): s for s in reversed(split_sentences(responses[place]))}.values())
        return np.mean(slow_best(table(gold[at], said), 2)) if said else 0.0

    def plain(place, at):
        said = split_sentences(responses[place])
        return table(gold[at], said).max(1).mean() if said else 0.0

    for place in range(3):
        chance = np.mean([same(place, at) for at in others[place]])
        assert found["same_length"][place] == pytest.approx(same(place, place), abs=1e-6)
        assert found["same_length_shuffled"][place] == pytest.approx(chance, abs=1e-6)
        assert found["above_chance"][place] == pytest.approx(same(place, place) - chance, abs=1e-6)
        expected = np.mean([plain(place, at) for at in others[place]])
        assert found["mean_shuffled"][place] == pytest.approx(expected, abs=1e-6)
    assert found["same_length"][0] > found["same_length"][2] > found["same_length"][1] == 0.0


def test_likeness_beyond_the_text_is_that_of_slow_loops():
    situations = [("keeping trust", ["trust is kept", "keeping trust"]), ("telling lies", ["truth is lost by telling"])]
    responses = ["Trust is kept. So it is. Truth is lost.", ""]
    others, encoder = other_places(2, 1, 0), BagOfWords()
    found = beyond_scores(responses, [0, 1], situations, others, 2, Cosines(encoder))

    def same(said, at):
        known, total = encoder.encode([situations[at][0]])[0].astype(float), 0.0
        for explanation in situations[at][1]:
            rest = encoder.encode([explanation])[0].astype(float)
            rest -= (rest @ known) * known
            length = np.linalg.norm(rest)
            cosines = [max(0.0, encoder.encode([s])[0] @ rest / length) if length > 1e-3 else 0.0 for s in said]
            total += slow_best(np.array([cosines]), 2)[0]
        return total / len(situations[at][1])

    said = split_sentences(responses[0])
    assert found[0] == pytest.approx(same(said, 0) - same(said, 1), abs=1e-6)
    assert abs(found[0]) > 0.05 and found[1] == 0


def test_restating_the_situation_is_worth_nothing_and_what_explanations_add_is():
    things = [
        (
            "Keeping a dying man's secret",
            "Keeping the dying man's secret honours his trust beyond death.",
            "The family of the dying man may need to know his secret.",
        ),
        (
            "Giving my seat to a stranger",
            "Giving a seat to a stranger is a kindness that makes a city warmer.",
            "Nobody has a duty to give comfort to a stranger, who may have stronger legs.",
        ),
        (
            "Eating meat at a wedding",
            "Eating meat at the wedding means that animals suffer for our pleasure.",
            "Refusing the meat at a wedding may offend the hosts and their tradition.",
        ),
        (
            "Driving through a red light",
            "Driving through a red light may injure pedestrians, whom the law protects.",
            "An emergency, such as a birth in the car, may excuse driving through the red light.",
        ),
        (
            "Firing a lazy employee",
            "Firing a lazy employee is fair to the colleagues who do his work.",
            "The fired employee loses the income on which his children depend.",
        ),
        (
            "Reading my daughter's diary",
            "Reading the diary breaks the privacy that a daughter needs to grow up.",
            "Parents must notice danger early, and a daughter's diary may tell of it.",
        ),
    ]
    situations, encoder = [(text, [held]) for text, _, held in things], load_encoder()
    others = other_places(len(things), 5, 0)
    answers = {
        "echo": [text for text, _, _ in things],
        "said in other words": [
            f"This is about {text.lower()}. One may think of it as one likes." for text, _, _ in things
        ],
        "what it adds": [held for _, _, held in things],
        "another reason": [reason for _, reason, _ in things],
    }
    gold = [explanations for _, explanations in situations]
    above, beyond = {}, {}
    for name, said in answers.items():
        places = range(len(things))
        above[name] = controlled_scores(said, places, gold, others, 3, Cosines(encoder))["above_chance"].mean()
        beyond[name] = beyond_scores(said, places, situations, others, 3, Cosines(encoder)).mean()
    # By likeness alone, restating is ahead of giving another reason; beyond the text it is not.
    assert above["echo"] > above["another reason"] > 0
    assert beyond["echo"] <= 0 and beyond["said in other words"] < 0.02
    assert beyond["what it adds"] > 0.5 and beyond["another reason"] > beyond["said in other words"]


COUNT = 60
GOLD = [[f"Because t{n} is {letter}{n} and helps people." for letter in "abc"] for n in range(COUNT)]
_TALK = ["It may go either way.", "People differ about such a thing.", "Much speaks for care.", "Time will tell us."]


def _own(place: int) -> str:
    return f"The t{place} a{place} helps us. The t{place} b{place} hurts us. Then the c{place} t{place} goes on."


def scored(answers: dict[str, list[str]], budget: int = 3) -> dict[str, dict[str, float]]:
    """Answer → figure → mean; `low` and `high` of what is above chance. Three explanations of each of 60 situations."""
    others, found = other_places(COUNT, 10, 0), {}
    for name, said in answers.items():
        scores = controlled_scores(said, range(COUNT), GOLD, others, budget, Cosines(BagOfWords()))
        error = 1.96 * scores["above_chance"].std() / COUNT**0.5
        found[name] = {figure: float(values.mean()) for figure, values in scores.items()}
        found[name] |= {"low": found[name]["above_chance"] - error, "high": found[name]["above_chance"] + error}
    return found


def test_length_and_other_situations_win_nothing():
    right = [_own(place) for place in range(COUNT)]
    shuffled = [right[at] for at in other_places(COUNT, 1, 99)[:, 0]]
    found = scored(
        {
            "right": right,
            "shuffled": shuffled,
            "talk": [" ".join(_TALK)] * COUNT,
            "padded": [f"{one} {' '.join(_TALK)}" for one in right],
            "twice": [f"{one} {one.upper()}" for one in right],
            "everything": [" ".join(right)] * COUNT,
            "right among 20": [" ".join(right[(n + k) % COUNT] for k in range(20)) for n in range(COUNT)],
            "silence": [""] * COUNT,
        }
    )
    above = {name: one["above_chance"] for name, one in found.items()}
    # Where the answers are the right ones they are ahead, with room between the intervals; elsewhere chance is left.
    assert found["right"]["low"] > 0.1 > max(found[name]["high"] for name in ("shuffled", "talk", "everything"))
    assert found["shuffled"]["low"] <= 0 <= found["shuffled"]["high"]
    assert above["talk"] == pytest.approx(0, abs=1e-9) and above["everything"] == pytest.approx(0, abs=1e-9)
    assert above["silence"] == 0.0
    assert above["twice"] == pytest.approx(above["right"], abs=1e-9)
    assert 0 < above["right among 20"] < above["padded"] < above["right"]


def test_full_stops_left_out_do_not_take_the_place_of_a_budget():
    right = [" ".join([_own(place), *_TALK, _own((place + 1) % COUNT)]) for place in range(COUNT)]
    joined = [one.replace(". ", ", and ") for one in right]
    assert [len(split_sentences(text)) for text in (right[0], joined[0])] == [10, 1]
    # The whole text, which as one sentence would be all that is drawn, is drawn a part at a time.
    found = scored({"joined": joined}, budget=1)["joined"]
    assert found["same_length"] < embedding_likenesses(joined, GOLD, BagOfWords()).mean() - 0.01


# ---------------------------------------------------------------- the metric

ITEMS = [{"id": n, "text": f"Case {n}", "explanations": [f"Because of a{n}.", f"Because of b{n}."]} for n in range(6)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Answers of their own words, and of those of the next situation; small judges."""
    monkeypatch.setattr("vispa.models.nli.NliJudge", LookupJudge)
    monkeypatch.setattr(coverage, "load_encoder", BagOfWords)
    task = write_task(tmp_path / "data", ITEMS, "overton", "coverage")
    right = [record(n, response=f"Because of a{n}. Because of b{n}.") for n in range(6)]
    other = [record(n, response=f"Because of a{(n + 1) % 6}. It depends. So be it. Who knows?") for n in range(6)]
    return write_run(tmp_path / "run", task, {"right": right, "other": other})


@pytest.mark.parametrize(("judge", "kind"), [("embedding", "cosine"), ("nli:lookup", "entailment")])
def test_every_table_has_length_chance_and_the_same_length(run, judge, kind):
    scores = score_folder(run, judge=judge)
    assert (scores.budget, scores.shuffles) == (3, 5 if judge == "embedding" else 1)
    figures = scores.methods["other"].figures
    headline = "cosine_beyond_text" if kind == "cosine" else "entailment_above_chance"
    assert next(iter(figures)) == headline
    assert list(figures)[:3].count(f"{kind}_above_chance") == 1
    expected = {f"{kind}_{name}" for name in ("same_length", "same_length_shuffled", "mean", "mean_shuffled")}
    assert expected | {"length_sentences", "length_words"} < set(figures)
    assert figures["length_sentences"].estimate == 4 and figures["length_words"].estimate == 10
    assert scores.methods["right"].figures[f"{kind}_above_chance"].low > 0
    assert figures[f"{kind}_above_chance"].low < 0
    fired = {(one.method, one.fired) for one in check_folder(run) if one.name == "chance level"}
    assert fired == {("right", False), ("other", True)}
    page = report_folder(run).read_text()
    order = [page.index(text) for text in ('id="headline"', 'id="signatures"', 'id="results"')]
    assert order == sorted(order) and "Same length: 3 sentences of each answer" in page
    assert "hollow" in (run / "figures" / "methods.svg").read_text()


def test_published_scores_are_unchanged(run):
    items = load_task(run.parent / "data" / "task.toml").items
    for method in ("right", "other"):
        lines = [json.loads(line) for line in (run / "records" / f"{method}.jsonl").read_text().splitlines()]
        said, gold = [line["response"] for line in lines], [item.explanations for item in items]
        expected = {
            "cosine_mean": (embedding_likenesses(said, gold, BagOfWords()), "embedding"),
            "entailment_mean": (entailment_scores(said, gold, LookupJudge("x")), "nli:x"),
        }
        for name, (values, judge) in expected.items():
            assert score_folder(run, judge=judge).methods[method].figures[name].estimate == values.mean()


def test_a_pair_is_judged_once_and_chance_costs_as_many_pairs_again(monkeypatch):
    asked: list[tuple[str, str]] = []

    class Counting(LookupJudge):
        def entailment(self, pairs, progress=None):
            asked.extend(pairs)
            return super().entailment(pairs)

    gold = [[f"e{n}", f"f{n}"] for n in range(9)]
    said = [f"One is {n}. Two is {n}. One is {n}." for n in range(9)]
    tables = Entailments(Counting("x"))
    tables.read((one, split_sentences(text)) for one, text in zip(gold, said, strict=True))
    assert len(asked) == 9 * 2 * 2
    controlled_scores(said, range(9), gold, other_places(9, 1, 0), 3, tables)
    assert len(asked) == len(set(asked)) == 2 * 9 * 2 * 2


def test_the_task_says_the_budget(run):
    task = run.parent / "data" / "task.toml"
    before = score_folder(run).methods["other"].figures["cosine_same_length"].estimate
    task.write_text(task.read_text() + "\nbudget = 1\n")
    scores = score_folder(run)
    assert scores.budget == 1
    assert scores.methods["other"].figures["cosine_same_length"].estimate < before
    task.write_text(task.read_text().replace("budget = 1", "budget = 0"))
    with pytest.raises(InputError, match="budget"):
        score_folder(run)
    stances = write_task(run.parent / "other", [], "steerable", "agreement", ["Yes", "No"])
    stances.write_text(stances.read_text() + "\nbudget = 2\n")
    with pytest.raises(InputError, match="agreement has no budget of sentences"):
        load_task(stances)
    assert all(metric.budget is None for name, metric in METRICS.items() if name != "coverage")


def test_without_other_situations_nothing_is_said_of_chance(run):
    scores = score_folder(run, shuffles=0)
    assert scores.shuffles == 0 and not any("chance" in name for name in scores.methods["right"].figures)
    assert "cosine_same_length" in scores.methods["right"].figures
    assert next(one for one in check_folder(run) if one.name == "chance level").figure is None
    report_folder(run)
    with pytest.raises(InputError, match="shuffles: is -1"):
        score_folder(run, shuffles=-1)
    (item, *_) = load_task(run.parent / "data" / "task.toml").items
    one = METRICS["coverage"].score([item], [None], Scoring("embedding"), None)
    assert one.shuffles == 0 and one.scores["cosine_same_length"].tolist() == [0.0]


# ---------------------------------------------------------------- older runs, other budgets


def as_of_old(folder: Path) -> None:
    """Make a run's scores those of a release that knew the published score alone."""
    kept, path = {"cosine_mean", "cosine_deviation"}, folder / "scores.json"
    lines = [json.loads(line) for line in (folder / "item-scores.jsonl").read_text().splitlines()]
    for line in lines:
        line["scores"] = {m: {n: v for n, v in of.items() if n in kept} for m, of in line["scores"].items()}
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    (folder / "item-scores.jsonl").write_bytes(data)
    scores = json.loads(path.read_text())
    for one in scores["methods"].values():
        for part in ("figures", "differences"):
            one[part] = {name: figure for name, figure in one[part].items() if name in kept}
    del scores["budget"], scores["shuffles"]
    path.write_text(json.dumps(scores | {"item_scores_digest": hashlib.sha256(data).hexdigest()}))


def twin_of(run: Path) -> Path:
    lines = [record(n, response=f"Because of b{n}.") for n in range(6)]
    return write_run(run.with_name("twin"), run.parent / "data" / "task.toml", {"right": lines})


def test_older_runs_are_read_and_say_what_they_lack(run):
    twin = twin_of(run)
    for folder in (run, twin):
        score_folder(folder)
    assert compare_runs(run, twin).outdated == {}
    as_of_old(run)
    page = report_folder(run).read_text()
    assert re.search(r"Scored by an older release:</span> the answers&#39; length, .* are missing", page)
    found = compare_runs(run, twin)
    assert set(found.methods["right"].differences) == {"cosine_mean"} and found.budget is None
    assert list(found.outdated) == [str(run)]
    text = CliRunner().invoke(app, ["compare", str(run), str(twin)]).output
    assert "was scored by an older release and lacks the answers' length" in " ".join(text.split())
    score_folder(run)
    assert "older release" not in report_folder(run).read_text()


def test_comparison_has_the_controlled_figures_and_refuses_another_budget(run):
    twin, task = twin_of(run), run.parent / "data" / "task.toml"
    score_folder(run)
    score_folder(twin)
    differences = compare_runs(run, twin).methods["right"].differences
    assert list(differences)[:2] == ["cosine_beyond_text", "cosine_above_chance"]
    assert differences["length_sentences"].difference == -1 and "cosine_mean_shuffled" in differences
    assert "same length: 3 sentences" in CliRunner().invoke(app, ["compare", str(run), str(twin)]).output
    task.write_text(task.read_text() + "\nbudget = 2\n")
    score_folder(twin)
    with pytest.raises(InputError, match=r"counts 2 sentences of each answer .* 3\. Score both with the same budget"):
        compare_runs(run, twin)


# ---------------------------------------------------------------- drawings, the command


@pytest.mark.parametrize("values", [(0.0, 0.0), (0.98, 1.0), (-1.0, -0.9), (0.4, 0.6)])
def test_axes_keep_to_their_scale(values):
    for span in ((0, 1), (-1, 1)):
        axis = Canvas().subplots()
        inside = np.clip(values, *span)
        axis.plot(inside, [0, 1])
        _keep_to_scale(axis, Figure("x", "x", "x", span=span))
        low, high = axis.get_xlim()
        assert span[0] <= low < high <= span[1] and low <= inside.min() and inside.max() <= high
        assert span[0] == 0 or low <= 0 <= high


def test_the_command_prints_the_headline_first(tmp_path):
    task = write_task(tmp_path / "data", ITEMS, "overton", "coverage")
    options = ["--methods", "vanilla,vispa", "--k", "2", "--max-new-tokens", "24", "--model", "embedded"]
    result = CliRunner().invoke(app, ["eval", "--task", str(task), "-o", str(tmp_path / "run"), *options])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    at = next(place for place, line in enumerate(lines) if line.startswith("Same length: 3 sentences"))
    assert re.match(r"vanilla +likeness beyond the text +-?\d", lines[at + 1]) and lines[at + 2].startswith("vispa")
    beside = re.compile(r"vispa +(words|sentences|embedding likeness, shuffled) ")
    assert sum(beside.match(line) is not None for line in lines) == 3
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.index("Headline: likeness beyond the text") < page.index('id="signatures"')
