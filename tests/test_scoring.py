"""Scores, signatures, comparison and report of run folders written by hand."""

from __future__ import annotations

import itertools
import json
import math
import random
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score
from typer.testing import CliRunner

from vispa.cli.compare import compare as compare_command
from vispa.errors import InputError
from vispa.evaluation import scoring
from vispa.evaluation.comparison import compare_runs
from vispa.evaluation.diagnostics import Thresholds, check_folder, value_use
from vispa.evaluation.intervals import bootstrap_mean
from vispa.evaluation.metrics import coverage
from vispa.evaluation.metrics.distribution import LARGEST_DISTANCE, jensen_shannon_distances
from vispa.evaluation.report import inline_svg, report_folder
from vispa.evaluation.report.figures import draw_run, reliability
from vispa.evaluation.report.words import check_words
from vispa.evaluation.runs.folder import FORMAT
from vispa.evaluation.runs.run import read_run
from vispa.evaluation.score_files import load_item_scores, load_scores
from vispa.modes.prompts import built_in_prompts

STANCES = ["Support", "Oppose", "Either"]

COVERAGE_ITEMS = [
    {"id": 1, "text": "Breaking a promise", "explanations": ["Trust matters.", "Time matters."]},
    {"id": "1", "text": "Lying <script>alert(1)</script>", "explanations": ["Truth matters."]},
    {"id": 7, "text": "Sharing food", "explanations": ["Kindness matters."]},
    {"id": 8, "text": "Sleeping late", "explanations": ["Rest matters."]},
]
STANCE_ITEMS = [
    {"id": name, "text": f"Case {name}", "vrd": "Honesty", "label": label}
    for name, label in zip("abcdef", ["Support", "Oppose", "Either", "Support", "Oppose", "Support"], strict=True)
]
SURVEY_ITEMS = [
    {"id": 3, "text": "q1", "options": ["yes", "no"], "attribute": "Chile", "gold_distribution": [1.0, 0.0]},
    {"id": 1, "text": "q2", "options": ["yes", "no"], "attribute": "Peru", "gold_distribution": [0.5, 0.5]},
    {"id": 2, "text": "q3", "options": ["yes", "no"], "attribute": "Peru", "gold_distribution": [0.2, 0.8]},
    {"id": 9, "text": "q4", "options": ["only"], "attribute": "Chile", "gold_distribution": [1.0]},
]


def write_task(folder: Path, items: list[dict], mode: str, metric: str, options: list[str] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    lines = ['name = "own/task"', 'file = "items.jsonl"', f'mode = "{mode}"', f'metric = "{metric}"']
    lines += ['source = "us"', 'licence = "CC0"'] + ([f"options = {json.dumps(options)}"] if options else [])
    (folder / "task.toml").write_text("\n".join(lines))
    return folder / "task.toml"


def record(identifier: int | str, **fields: object) -> dict:
    empty = {"response": None, "answer": None, "distribution": None, "values": [], "comments": [], "error": None}
    return {"id": identifier, "text": "…", **empty, "tokens": 0, **fields}


def write_run(folder: Path, task: Path, records: dict[str, list[dict]], **config: object) -> Path:
    (folder / "records").mkdir(parents=True, exist_ok=True)
    settings_ = {"format": FORMAT, "task": str(task), "folder": str(task.parent), "methods": list(records)}
    (folder / "config.json").write_text(json.dumps({**settings_, "limit": None, "seed": 0, **config}))
    (folder / "environment.json").write_text(json.dumps({"versions": {"python": "3.11"}, "cores": 2}))
    for method, lines in records.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / "records" / f"{method}.jsonl").write_text(text, encoding="utf-8")
    return folder


def comment(value: str | None, text: str, source: str | None = None) -> dict:
    return {"value": value, "text": text, "source": source}


class WordEncoder:
    """A vector for each known word; texts are the sum of their words', made as long as 1."""

    name = "words"

    def encode(self, texts, progress=None):
        out = np.zeros((len(texts), 512))
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                out[row, sum(word.encode()) % 512] += 1
        return out / np.maximum(1e-12, np.linalg.norm(out, axis=1, keepdims=True))


class LookupJudge:
    """Entailment 0.8 where premise and hypothesis are the same, else 0.1."""

    def __init__(self, name: str) -> None:
        self.name = name

    def entailment(self, pairs, progress=None):
        return np.array([0.8 if first == second else 0.1 for first, second in pairs])


def score(folder: Path, **options: object) -> dict:
    """Score a folder; what `scores.json` holds."""
    return scoring.score_folder(folder, **options).model_dump(mode="json")


@pytest.fixture(autouse=True)
def _no_models(monkeypatch):
    monkeypatch.setattr("vispa.models.nli.NliJudge", LookupJudge)
    monkeypatch.setattr(coverage, "load_encoder", WordEncoder)


@pytest.fixture
def overton(tmp_path):
    task = write_task(tmp_path / "data", COVERAGE_ITEMS, "overton", "coverage")
    marked = [comment("honor", "Same <b>words</b> here.")]
    vispa = [
        record("1", response="Truth matters.", values=["honor"], comments=marked),
        record(
            1,
            response="Trust matters. Time matters.",
            values=["face", "honor"],
            comments=[comment("face", "Same words."), comment("honor", "Same words.")],
        ),
        record(7, error="the model did not answer <script>x</script>"),
        record(8, response="  "),
    ]
    vanilla = [record(1, response="Trust matters."), record("1", response="It depends. <script>alert(2)</script>")]
    return write_run(tmp_path / "run", task, {"vanilla": vanilla, "vispa": vispa})


@pytest.fixture
def stances(tmp_path):
    task = write_task(tmp_path / "data", STANCE_ITEMS, "steerable", "agreement", STANCES)
    good = [record(name, answer=letter, response="…") for name, letter in zip("abcd", "ABCB", strict=True)]
    good += [record("e", response="I cannot say"), record("f", error="no reply")]
    poor = [record(name, answer="C", response="Either") for name in "fedcba"]
    return write_run(tmp_path / "run", task, {"poor": poor, "good": good})


@pytest.fixture
def survey(tmp_path):
    task = write_task(tmp_path / "data", SURVEY_ITEMS, "distributional", "distribution")
    exact = [record(item["id"], distribution=item["gold_distribution"], answer="A") for item in SURVEY_ITEMS]
    letters = [record(3, answer="B"), record(1, answer="A"), record(2, error="no reply")]
    return write_run(tmp_path / "run", task, {"letters": letters, "exact": exact})


def estimates(scores: dict, method: str) -> dict[str, float]:
    return {name: figure["estimate"] for name, figure in scores["methods"][method]["figures"].items()}


# ---------------------------------------------------------------- scores


def test_entailment_coverage_by_hand(overton):
    scores = score(overton, judge="nli:lookup")
    assert scores["judge"] == "nli:lookup"
    # vispa: .8 for item 1 (both said), .8 for "1", 0 for the failed and 0 for the empty one.
    found = estimates(scores, "vispa")
    assert found["entailment_mean"] == pytest.approx(0.4)
    assert found["covered_share"] == 0.5
    assert found["entailment_deviation"] == pytest.approx(0.4)
    # vanilla: (.8 + .1) / 2, .1, and two without a record.
    assert estimates(scores, "vanilla")["entailment_mean"] == pytest.approx((0.45 + 0.1) / 4)
    assert estimates(scores, "vanilla")["covered_share"] == 0.25
    difference = scores["methods"]["vispa"]["differences"]["entailment_mean"]
    assert difference["difference"] == pytest.approx(0.4 - 0.55 / 4)
    # Differences .35, .7, 0, 0: of 16 sign patterns those 8 with equal signs on the first two are as far.
    assert difference["p_value"] == pytest.approx(0.5)
    assert scores["methods"]["vanilla"]["differences"] == {}


def test_counts_say_what_became_of_every_item(overton):
    scores = score(overton, judge="none")
    assert scores["judge"] is None
    assert scores["methods"]["vispa"]["counts"] == {
        "items": 4, "answered": 2, "unreadable": 1, "failed": 1, "missing": 0,
    }  # fmt: skip
    assert scores["methods"]["vanilla"]["counts"]["missing"] == 2
    assert estimates(scores, "vispa") == {}


def test_embedding_figures_have_names_of_their_own(overton):
    embedding, entailment = score(overton, judge="embedding"), score(overton, judge="nli:lookup")
    assert embedding["judge"] == "embedding:words"
    shared = set(estimates(embedding, "vispa")) & set(estimates(entailment, "vispa"))
    assert shared == {"length_sentences", "length_words"}
    assert estimates(embedding, "vispa")["cosine_mean"] == pytest.approx(0.5)


def test_agreement_equals_scikit_learn(stances):
    scores = score(stances)
    gold = [0, 1, 2, 0, 1, 0]
    predicted = [0, 1, 2, 1, 3, 3]
    found = estimates(scores, "good")
    assert found["accuracy"] == 0.5
    with pytest.warns(UserWarning, match="y_pred contains classes"):
        assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(gold, predicted), abs=1e-12)
    for kind in ("macro", "micro"):
        expected = f1_score(gold, predicted, average=kind)
        assert found[f"{kind}_f1"] == pytest.approx(expected, abs=1e-12)
    # Binary: item c is left out; e and f stay as wrong.
    assert found["binary_accuracy"] == pytest.approx(2 / 5)
    assert scores["methods"]["good"]["figures"]["binary_accuracy"]["n"] == 5
    assert scores["methods"]["good"]["counts"]["unreadable"] == 1
    assert scores["methods"]["good"]["counts"]["failed"] == 1
    # A method that always says Either leaves no item for the binary figures.
    assert "binary_accuracy" not in estimates(scores, "poor")
    assert scores["methods"]["good"]["differences"]["accuracy"]["difference"] == pytest.approx(0.5 - 1 / 6)


def test_distances_by_hand(survey):
    scores = score(survey)
    assert estimates(scores, "exact") == {"jensen_shannon": 0.0, "most_likely": 1.0}
    # Of (1, 0) to (1/2, 1/2): m = (3/4, 1/4).
    half = math.sqrt((math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * math.log(2)) / 2)
    expected = (LARGEST_DISTANCE + half + LARGEST_DISTANCE + LARGEST_DISTANCE) / 4
    assert estimates(scores, "letters")["jensen_shannon"] == pytest.approx(expected, abs=1e-12)
    # Item 3 is wrong, item 1 right as the first of equals, 2 failed and 9 is missing: both wrong.
    assert estimates(scores, "letters")["most_likely"] == 0.25
    groups = scores["methods"]["letters"]["groups"]
    assert list(groups) == ["Chile", "Peru"]
    assert groups["Peru"]["jensen_shannon"]["estimate"] == pytest.approx((half + LARGEST_DISTANCE) / 2)
    assert scores["methods"]["exact"]["differences"]["jensen_shannon"]["difference"] == pytest.approx(-expected)


def test_a_prediction_without_mass_is_uniform_not_a_failure(tmp_path):
    task = write_task(tmp_path / "data", SURVEY_ITEMS[1:2], "distributional", "distribution")
    run = write_run(tmp_path / "run", task, {"m": [record(1, distribution=[0.0, 0.0])]})
    scores = score(run)
    assert estimates(scores, "m") == {"jensen_shannon": 0.0, "most_likely": 1.0}
    assert scores["methods"]["m"]["counts"]["answered"] == 1


def test_most_likely_tasks_have_that_figure_alone(tmp_path):
    task = write_task(tmp_path / "data", SURVEY_ITEMS[:2], "steerable", "most-likely")
    run = write_run(tmp_path / "run", task, {"m": [record(3, answer="a"), record(1, answer="Z")]})
    scores = score(run)
    assert estimates(scores, "m") == {"most_likely": 0.5}
    assert scores["methods"]["m"]["counts"]["unreadable"] == 1


@pytest.mark.parametrize("judge", ["embedding", "nli:lookup"])
def test_scores_are_the_same_when_redone(overton, judge):
    score(overton, judge=judge)
    first = [(overton / name).read_bytes() for name in ("scores.json", "item-scores.jsonl")]
    score(overton, judge=judge)
    assert [(overton / name).read_bytes() for name in ("scores.json", "item-scores.jsonl")] == first


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_of_lines_does_not_matter(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("order")
    task = write_task(folder / "data", SURVEY_ITEMS, "distributional", "distribution")
    lines = [record(item["id"], distribution=item["gold_distribution"][::-1]) for item in SURVEY_ITEMS]
    straight = score(write_run(folder / "a", task, {"m": lines}))
    random.Random(seed).shuffle(lines)
    assert score(write_run(folder / "b", task, {"m": lines})) == straight


def test_a_torn_last_line_is_a_missing_item(survey):
    path = survey / "records" / "exact.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert score(survey)["methods"]["exact"]["counts"]["missing"] == 1


def test_a_limited_run_has_the_first_items_only(survey):
    config = json.loads((survey / "config.json").read_text())
    (survey / "config.json").write_text(json.dumps({**config, "limit": 2, "methods": ["letters"]}))
    path = survey / "records" / "letters.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    assert score(survey)["items"] == 2


def test_item_scores_are_joined_by_identifier(overton):
    score(overton, judge="nli:lookup")
    run = read_run(overton)
    scores = load_item_scores(run, load_scores(run))["vispa"]["entailment_mean"]
    assert scores == pytest.approx({1: 0.8, "1": 0.8, 7: 0.0, 8: 0.0})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (record(99, response="x"), "99"),
        (record(8, response="again"), "twice"),
        ({"id": 8}, "line 5 field text: is missing"),
    ],
)
def test_unusable_records_are_refused(overton, line, message):
    with (overton / "records" / "vispa.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(InputError, match=message):
        score(overton, judge="none")


def test_unusable_settings_are_refused(overton, survey, tmp_path):
    for judge in ("nli", "nli:", "something"):
        with pytest.raises(InputError, match="judge"):
            score(overton, judge=judge)
    with pytest.raises(InputError, match="holds no run"):
        score(tmp_path / "nowhere")
    path = survey / "records" / "letters.jsonl"
    path.write_text(json.dumps(record(3, distribution=[1.0])) + "\n")
    with pytest.raises(InputError, match="1 probabilities for 2 options"):
        score(survey)


def test_scores_of_other_records_are_refused(survey):
    with pytest.raises(InputError, match="Score the run first"):
        load_scores(read_run(survey))
    score(survey)
    load_scores(read_run(survey))
    with (survey / "records" / "letters.jsonl").open("a") as file:
        file.write(json.dumps(record(9, answer="A")) + "\n")
    with pytest.raises(InputError, match="other records"):
        load_scores(read_run(survey))


# ---------------------------------------------------------------- signatures


def by_name(found, method):
    return {one.name: one for one in found if one.method == method}


def test_signatures_of_answers(overton):
    score(overton, judge="nli:lookup")
    vispa, vanilla = (by_name(check_folder(overton), method) for method in ("vispa", "vanilla"))
    assert (vispa["failed"].figure, vispa["failed"].fired) == (0.25, True)
    assert (vispa["unreadable"].figure, vispa["unreadable"].fired) == (0.25, True)
    assert (vispa["missing"].figure, vispa["missing"].fired) == (0.0, False)
    assert (vanilla["missing"].figure, vanilla["missing"].fired) == (0.5, True)
    assert not vispa["low coverage"].fired
    assert vanilla["low coverage"].fired
    assert "repetition" not in vanilla
    stored = json.loads((overton / "signatures.json").read_text())
    fired = [one["fired"] for one in stored]
    assert fired == sorted(fired, reverse=True)
    assert {one["advice"] for one in stored if not one["advice"]} == set()


def test_signatures_of_comments(overton):
    score(overton, judge="none")
    vispa = by_name(check_folder(overton, encoder=WordEncoder()), "vispa")
    assert vispa["low coverage"].figure is None
    assert vispa["equal comments"].figure == 1.0
    assert vispa["equal comments"].fired
    assert vispa["similar comments"].figure == pytest.approx(1.0)
    assert vispa["perplexity"].figure is None
    assert "no encoder" in by_name(check_folder(overton), "vispa")["similar comments"].detail


def test_perplexity_is_that_of_the_unsteered_model(overton, llama):
    from vispa.models.encoding import chat_prompt
    from vispa.study.fluency import continuation, perplexities

    score(overton, judge="none")
    found = by_name(check_folder(overton, loaded=llama, thresholds=Thresholds(perplexity=1.0)), "vispa")["perplexity"]
    texts = [("1", "Same <b>words</b> here."), (1, "Same words."), (1, "Same words.")]
    # The same prompt as the one that is steered, not the data set's own text.
    prompts = {item["id"]: chat_prompt(llama, asked_to_comment(item["text"])) for item in COVERAGE_ITEMS}
    each = [float(perplexities(llama, [prompts[i]], [continuation(prompts[i].text, t)])[0]) for i, t in texts]
    assert found.figure == pytest.approx(math.exp(np.mean(np.log(each))), rel=1e-4)
    assert found.fired


def test_perplexity_is_read_after_each_comments_own_prompt(tmp_path, llama):
    from vispa.models.encoding import chat_prompt
    from vispa.study.fluency import continuation, perplexities

    task = write_task(tmp_path / "data", COVERAGE_ITEMS[:1], "overton", "coverage")
    name = COVERAGE_ITEMS[0]["id"]
    prompts = [chat_prompt(llama, message) for message in (asked_to_comment(COVERAGE_ITEMS[0]["text"]), "As a nurse:")]
    said = [comment("honor", "So it is."), comment(None, "Not so.", "nurse") | {"prompt": prompts[1].text}]
    run = write_run(tmp_path / "run", task, {"vispa": [record(name, response="x", comments=said)]})
    score(run, judge="none")
    found = by_name(check_folder(run, loaded=llama), "vispa")["perplexity"]
    texts = [continuation(p.text, c["text"]) for p, c in zip(prompts, said, strict=True)]
    assert found.figure == pytest.approx(math.exp(np.mean(np.log(perplexities(llama, prompts, texts)))), rel=1e-4)


def asked_to_comment(text):
    return built_in_prompts().comment.format(text=text)


def test_repetition_is_the_share_of_repeated_grams(tmp_path):
    task = write_task(tmp_path / "data", COVERAGE_ITEMS[:1], "overton", "coverage")
    said = [comment(None, "a b c a b c", "nurse"), comment(None, "one two", "judge")]
    run = write_run(tmp_path / "run", task, {"personas": [record(1, response="x", comments=said)]})
    score(run, judge="none")
    found = by_name(check_folder(run), "personas")
    # Grams abc, bca, cab, abc: a quarter occurred before; the other text has none.
    assert found["repetition"].figure == pytest.approx(0.125)
    assert found["equal comments"].figure == 0.0
    assert "never selected" not in found


def test_values_never_and_always_selected(tmp_path, small_taxonomy):
    items = [{"id": i, "text": f"t{i}", "explanations": ["e"]} for i in range(20)]
    task = write_task(tmp_path / "data", items, "overton", "coverage")
    lines = [record(i, response="x", values=["calm"] + (["candor"] if i % 2 else [])) for i in range(20)]
    run = write_run(tmp_path / "run", task, {"vispa": lines})
    score(run, judge="none")
    assert value_use(read_run(run), "vispa") == {"calm": 1.0, "candor": 0.5}
    found = by_name(check_folder(run, taxonomy=small_taxonomy), "vispa")
    assert (found["never selected"].figure, found["never selected"].detail) == (pytest.approx(1 / 3), "thrift")
    assert (found["always selected"].fired, found["always selected"].detail) == (True, "calm")
    # With the 31 built-in values thirty selections are too few to tell.
    assert by_name(check_folder(run), "vispa")["never selected"].figure is None


def test_divergence_is_compared_with_the_uniform_answer(survey):
    score(survey)
    found = check_folder(survey)
    assert by_name(found, "letters")["high divergence"].fired
    exact = by_name(found, "exact")
    assert not exact["high divergence"].fired
    uniform = [np.full(len(item["options"]), 1 / len(item["options"])) for item in SURVEY_ITEMS]
    gold = [item["gold_distribution"] for item in SURVEY_ITEMS]
    expected = np.mean(jensen_shannon_distances(gold, uniform))
    assert exact["high divergence"].threshold == pytest.approx(expected)
    assert exact["one answer"].fired  # All three answers that had a choice are A.
    assert exact["one answer"].detail == "answer A"


# ---------------------------------------------------------------- comparison


def test_comparison_by_hand(survey, tmp_path):
    other = tmp_path / "other"
    write_run(other, tmp_path / "data" / "task.toml", {"letters": [record(3, answer="A"), record(1, answer="B")]})
    score(survey)
    score(other)
    found = compare_runs(survey, other)
    assert found.only_in_first == ("exact",)
    letters = found.methods["letters"]
    assert (letters.flipped_by, letters.gained, letters.lost) == ("most_likely", (3,), (1,))
    assert letters.differences["most_likely"].difference == 0.0
    assert letters.differences["jensen_shannon"].difference == pytest.approx(-LARGEST_DISTANCE / 4)
    same = compare_runs(survey, survey, method="exact").methods
    assert list(same) == ["exact"]
    assert same["exact"].differences["jensen_shannon"].p_value == 1.0


def test_comparison_refuses_what_does_not_compare(survey, tmp_path):
    score(survey)
    with pytest.raises(InputError, match="--method"):
        compare_runs(survey, survey, method="nobody")
    items = write_task(tmp_path / "data2", SURVEY_ITEMS[:3], "distributional", "distribution")
    shorter = write_run(tmp_path / "shorter", items, {"exact": []})
    score(shorter)
    with pytest.raises(InputError, match="other items"):
        compare_runs(survey, shorter)
    alone = write_run(tmp_path / "alone", tmp_path / "data" / "task.toml", {"third": []})
    score(alone)
    with pytest.raises(InputError, match="no method"):
        compare_runs(survey, alone)


def test_comparison_refuses_different_judges_and_tasks(overton, tmp_path):
    score(overton, judge="nli:lookup")
    twin = write_run(tmp_path / "twin", tmp_path / "data" / "task.toml", {"vispa": []})
    score(twin, judge="embedding")
    with pytest.raises(InputError, match="same judge"):
        compare_runs(overton, twin)
    toml = tmp_path / "data" / "task.toml"
    renamed = toml.with_name("renamed.toml")
    renamed.write_text(toml.read_text().replace("own/task", "own/other"))
    other = write_run(tmp_path / "third", renamed, {"vispa": []})
    score(other, judge="nli:lookup")
    with pytest.raises(InputError, match="own/other"):
        compare_runs(overton, other)


def damage(path: Path, change: Callable[[str], str]) -> Callable[[], None]:
    """Changes a file; returns what puts it back."""
    before = path.read_bytes()
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    return lambda: path.write_bytes(before)


def first_line_twice(text: str) -> str:
    return text.splitlines(keepends=True)[0] + text


def without_last_line(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-1])


SCORE = r'"jensen_shannon": [^,}]+'


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("item-scores.jsonl", lambda t: re.sub(SCORE, '"jensen_shannon": NaN', t), "line 1 .*no finite number"),
        ("item-scores.jsonl", lambda t: re.sub(SCORE, '"jensen_shannon": Infinity', t, count=1), "no finite number"),
        ("item-scores.jsonl", lambda t: re.sub(SCORE, '"jensen_shannon": null', t, count=1), "jensen_shannon"),
        ("item-scores.jsonl", lambda t: re.sub(SCORE, '"jensen_shannon": "0.1"', t, count=1), "jensen_shannon"),
        ("item-scores.jsonl", lambda t: re.sub(SCORE, '"jensen_shannon": 0.25', t, count=1), "holds other scores"),
        ("item-scores.jsonl", lambda t: re.sub(SCORE + ", ", "", t), "holds other scores"),
        (
            "item-scores.jsonl",
            lambda t: t.replace('"letters"', '"lettres"'),
            "is of the methods .*lettres",
        ),
        ("item-scores.jsonl", without_last_line, "lacks item 9"),
        ("item-scores.jsonl", first_line_twice, "line 2: holds item 3 a second time"),
        ("item-scores.jsonl", lambda t: t.replace('"id": 3', '"id": 4'), "lacks item 3"),
        ("item-scores.jsonl", lambda t: t.replace('"id": 3', '"id": "3"'), "lacks item 3"),
        (
            "item-scores.jsonl",
            lambda t: t + t.splitlines()[0].replace('"id": 3', '"id": 5'),
            "holds 5 items, the run 4",
        ),
        ("item-scores.jsonl", lambda t: t[:-20], "not valid JSON"),
        ("item-scores.jsonl", lambda t: "", "lacks item 3"),
        ("scores.json", lambda t: re.sub(r'"estimate": [^,]+', '"estimate": NaN', t, count=1), "no finite number"),
        ("scores.json", lambda t: t[: len(t) // 2], "not valid JSON"),
        ("scores.json", lambda t: "{}", "scores.json field task: is missing"),
        ("config.json", lambda t: t.replace('"seed": 0', '"seed": 1'), "config.json: has other settings than when"),
        ("config.json", lambda t: t.replace('"limit": null', '"limit": 3'), "though the run has no such item"),
        ("config.json", lambda t: t.replace('"limit": null', '"limit": "3"'), "limit"),
        ("config.json", lambda t: t.replace('"letters", "exact"', '"letters"'), "has other settings"),
        ("config.json", lambda t: t.replace('["letters", "exact"]', '"letters"'), "methods"),
        ("config.json", lambda t: t.replace('"exact"]', '"../exact"]'), "methods"),
        ("config.json", lambda t: t.replace('"exact"]', '"exact", "third"]'), "has no figures of third"),
        ("config.json", lambda t: "[]", "not a JSON object"),
        ("records/letters.jsonl", without_last_line, "letters.jsonl: holds other records .* than were scored"),
        ("records/letters.jsonl", lambda t: t[:-9], "letters.jsonl: holds other records .* than were scored"),
        ("records/exact.jsonl", lambda t: t.replace("0.5", "0.4", 1), "exact.jsonl: holds other records"),
        ("records/exact.jsonl", lambda t: t.replace("0.5", "NaN", 1), r"line 2 field distribution\[0\]: is nan"),
    ],
)
def test_comparison_says_what_is_damaged(survey, name, change, message):
    score(survey)
    twin = survey.with_name("twin")
    shutil.copytree(survey, twin)
    compare_runs(survey, twin)
    put_back = damage(twin / name, change)
    for pair in ((survey, twin), (twin, survey)):
        with pytest.raises(InputError, match=message) as caught:
            compare_runs(*pair)
        assert str(twin) in str(caught.value)
    put_back()
    compare_runs(survey, twin)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("item-scores.jsonl", "item-scores.jsonl"),
        ("scores.json", "is missing. Score the run first"),
        ("config.json", "holds no run"),
        ("records/exact.jsonl", "exact.jsonl: is missing, though it was scored"),
    ],
)
def test_comparison_says_what_is_missing(survey, name, message):
    score(survey)
    twin = survey.with_name("twin")
    shutil.copytree(survey, twin)
    (twin / name).unlink()
    with pytest.raises(InputError, match=message) as caught:
        compare_runs(survey, twin)
    assert str(twin) in str(caught.value)


def chance_runs(folder: Path, first: dict, second: dict) -> tuple[Path, Path]:
    """Two runs over five situations, scored by embeddings, each against chance in its own way."""
    items = [{**COVERAGE_ITEMS[place % 4], "id": place, "text": f"Case {place}"} for place in range(5)]
    task = write_task(folder / "data", items, "overton", "coverage")
    answers = [record(place, response=f"Trust matters. Case {place}.") for place in range(5)]
    runs = tuple(write_run(folder / name, task, {"vispa": answers}) for name in ("a", "b"))
    for run, options in zip(runs, (first, second), strict=True):
        score(run, **options)
    return runs


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"shuffles": 2}, {"shuffles": 3}, r"--shuffles 3, .*/a by 2"),
        ({}, {"shuffles": 1}, r"--shuffles 1, .*/a by 4"),
        ({"shuffles": 2}, {"shuffles": 2, "seed": 1}, r"drawn by seed 1, .*/a by seed 0"),
    ],
)
def test_comparison_refuses_chance_that_was_measured_in_another_way(tmp_path, first, second, message):
    runs = chance_runs(tmp_path, first, second)
    for pair in (runs, runs[::-1]):
        with pytest.raises(InputError) as caught:
            compare_runs(*pair)
        assert str(pair[1]) in str(caught.value)
    with pytest.raises(InputError, match=message):
        compare_runs(*runs)


@pytest.mark.parametrize(
    ("first", "second", "has_chance"),
    [
        ({"shuffles": 2}, {"shuffles": 2}, True),
        # There are four others: more than that, and in another order, are the same four.
        ({}, {"shuffles": 7}, True),
        ({}, {"seed": 3}, True),
        ({"shuffles": 0}, {"shuffles": 3}, False),
        ({"shuffles": 0}, {"shuffles": 0, "seed": 3}, False),
        ({"judge": "none"}, {"judge": "none", "seed": 3}, False),
    ],
)
def test_comparison_of_the_same_chance_or_of_none(tmp_path, first, second, has_chance):
    found = compare_runs(*chance_runs(tmp_path, first, second)).methods["vispa"].differences
    assert ("cosine_above_chance" in found) == has_chance
    assert all(one.difference == pytest.approx(0, abs=1e-12) for one in found.values())


# ---------------------------------------------------------------- items of one text


def shared_items(metric: str) -> list[dict]:
    """24 items on four questions."""
    items = [{"id": place, "text": f"Question {place % 4}", "attribute": "ab"[place // 12]} for place in range(24)]
    if metric == "agreement":
        return [{**item, "vrd": "Honesty", "label": STANCES[item["id"] % 3]} for item in items]
    if metric == "coverage":
        return [{**item, "explanations": [f"Reason {item['id'] % 4}."]} for item in items]
    return [{**item, "options": ["yes", "no"], "gold_distribution": [1.0, 0.0]} for item in items]


@pytest.fixture(params=["agreement", "coverage", "distribution", "most-likely"])
def shared(request, tmp_path):
    """Two runs over items that share texts; the answers, and so the scores, depend on the text alone."""
    metric = request.param
    mode = {"agreement": "steerable", "coverage": "overton"}.get(metric, "distributional")
    task = write_task(tmp_path / "data", shared_items(metric), mode, metric, STANCES if mode == "steerable" else None)

    def answers(right: set[int]) -> list[dict]:
        given = []
        for place in range(24):
            letter = (
                "ABC"[(place + (place % 4 not in right)) % 3] if metric == "agreement" else "BA"[place % 4 in right]
            )
            given.append(record(place, answer=letter, response=f"Reason {place % 4 if place % 4 in right else 9}."))
        return given

    kinds = {"first": {0}, "second": {0, 1, 2}}, {"first": {0, 1, 2, 3}, "second": {0, 1}}
    return [
        write_run(tmp_path / name, task, {method: answers(right) for method, right in kind.items()})
        for name, kind in zip("ab", kinds, strict=True)
    ]


def test_figures_draw_items_of_one_text_together(shared):
    scores = score(shared[0])
    for one in scores["methods"].values():
        figures = {**one["figures"], **{f"d {name}": d for name, d in one["differences"].items()}}
        assert figures
        for name, figure in figures.items():
            # Fewer items have gold and answer other than Either, and they may be of fewer texts.
            assert figure["clusters"] == 4 or name.startswith("binary_"), name
            assert figure["n"] == 24 or name.startswith("binary_"), name
        assert {(f["n"], f["clusters"]) for group in one["groups"].values() for f in group.values()} == {(12, 4)}
    name = {"agreement": "accuracy", "coverage": "cosine_mean"}.get(scores["metric"], "most_likely")
    run = read_run(shared[0])
    # Each question's items score the same, so the interval is that of four items.
    four = [load_item_scores(run, load_scores(run))["second"][name][place] for place in range(4)]
    found, expected = scores["methods"]["second"]["figures"][name], bootstrap_mean(four)
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    # Of four questions no difference is beyond one pattern of signs in eight.
    assert all(d["p_value"] >= 1 / 8 for d in scores["methods"]["second"]["differences"].values())


def test_comparison_draws_items_of_one_text_together_whatever_scored_them(shared):
    for run in shared:
        score(run)
    found = compare_runs(*shared)
    for method in found.methods.values():
        assert method.differences
        assert all((d.n, d.clusters) == (24, 4) and d.p_value >= 1 / 8 for d in method.differences.values())
    without_clusters(shared[1])
    assert compare_runs(*shared) == found


def without_clusters(run: Path) -> None:
    """The run's figures as an older release wrote them."""
    path = run / "scores.json"
    path.write_text(re.sub(r',\s*"clusters": \d+', "", path.read_text()))
    assert "clusters" not in path.read_text()


def test_report_says_that_items_of_one_text_are_drawn_together(shared):
    run = shared[0]
    score(run)
    check_folder(run)

    def text() -> str:
        return re.sub(r"\s+", " ", parse(report_folder(run)).text)

    assert "result over texts (2,000 resamples). Items of one text are drawn together (24 items, 4 texts)." in text()
    assert "sign-flip test, in which items of one text change sign together, and not" in text()
    assert "bootstrap intervals over texts." in text() and "over items" not in text()
    assert "intervals over texts; a group of one text has none" in text()
    without_clusters(run)
    assert "Each of the 24 items was drawn by itself, though they have 4 texts: intervals are too narrow." in text()
    assert "over texts" not in text()


@pytest.mark.parametrize("name", ["survey", "stances", "overton"])
def test_report_of_texts_of_their_own_says_what_it_said(name, request):
    run = request.getfixturevalue(name)
    score(run)
    text = re.sub(r"\s+", " ", parse(report_folder(run)).text)
    assert "bootstrap interval of each result over items (2,000 resamples). Differences are" in text
    assert "drawn together" not in text and "sign together" not in text and "by itself" not in text
    without_clusters(run)
    assert re.sub(r"\s+", " ", parse(report_folder(run)).text) == text


def test_figures_of_one_text_have_no_interval(tmp_path):
    items = [{**item, "text": "One question"} for item in SURVEY_ITEMS]
    task = write_task(tmp_path / "data", items, "distributional", "distribution")
    run = write_run(tmp_path / "run", task, {"m": [record(item["id"], answer="A") for item in items]})
    score(run)
    drawn = draw_run(read_run(run), load_scores(read_run(run)), run / "figures")
    assert "(one text)" in drawn[0].alternative
    assert "no interval" in parse(report_folder(run)).text


# ---------------------------------------------------------------- the command


LONG = "vispa:one_versus_others_last+embedding"


def printed(*arguments: str | Path, columns: int = 80, terminal: bool = False) -> str:
    """What `vispa compare` prints at a width, in a pipe or in a terminal."""
    import typer

    app = typer.Typer()
    app.command()(compare_command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("TERM", "xterm")
        if terminal:
            patch.setattr("vispa.cli.compare.shows_styles", lambda: True)
        found = CliRunner().invoke(app, list(map(str, arguments)))
    assert found.exit_code == 0, found.output
    return found.output


@pytest.fixture
def long_names(tmp_path):
    """Two scored Overton runs whose methods have the longest names there are."""
    items = [{**item, "id": place} for place, item in enumerate(COVERAGE_ITEMS)]
    task = write_task(tmp_path / "data", items, "overton", "coverage")
    methods = {LONG: "Trust matters.", "vispa:unsupervised_mean+nli": "Time."}
    runs = []
    for name, more in (("a", ""), ("b", " Rest matters. Kindness matters.")):
        answers = {m: [record(place, response=t + more) for place in range(4)] for m, t in methods.items()}
        runs.append(write_run(tmp_path / name, task, answers))
        score(runs[-1])
    return runs


def numbers(runs: list[Path]) -> list[list[str]]:
    """The numbers of each row, as JSON has them."""
    methods = json.loads(printed(*runs, "--json"))["methods"]
    rows = [d for one in methods.values() for d in one["differences"].values()]
    texts = [[f"{d[name]:+.4f}" for name in ("difference", "low", "high")] + [f"{d['p_value']:.4f}"] for d in rows]
    return [[difference, low, "to", high, p] for difference, low, high, p in texts]


@pytest.mark.parametrize("columns", [20, 60, 80, 200])
@pytest.mark.parametrize("terminal", [False, True])
def test_the_command_cuts_no_number_and_no_name(long_names, columns, terminal):
    text = printed(*long_names, columns=columns, terminal=terminal)
    assert "…" not in text and "p" in text.splitlines()[1].split()
    found = [match.split() for match in re.findall(r"[+-]\d\.\d{4} +[+-]\d\.\d{4} to [+-]\d\.\d{4} +\d\.\d{4}", text)]
    assert found == numbers(long_names)
    if not terminal:
        assert text.count(f"{LONG}  cosine") > 5
        assert all(name in text for name in ("cosine_same_length_shuffled", "length_sentences"))
    elif columns == 80:
        assert max(map(len, text.splitlines()[1:4])) <= 80


def test_folded_names_are_whole(long_names):
    lines = printed(*long_names, columns=80, terminal=True).splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("vispa"))
    stop = next(place for place, line in enumerate(lines) if place > start and re.search(r"\d\.\d{4}$", line))
    column = lines[1].index("figure")
    assert "".join(line[:column].strip() for line in lines[start:stop]) == LONG
    assert "".join(line[column:].split()[0] for line in lines[start:stop] if line[column:].split())


def test_the_command_says_what_is_drawn(shared):
    for run in shared:
        score(run)
    assert "Items of one text are drawn together (24 items, 4 texts)." in printed(*shared)


def test_the_command_says_nothing_of_texts_of_their_own(survey):
    score(survey)
    assert "together" not in printed(survey, survey)


def test_the_command_prints_and_gives_json(survey):
    import typer

    score(survey)
    app = typer.Typer()
    app.command()(compare_command)
    text = CliRunner().invoke(app, [str(survey), str(survey)])
    assert text.exit_code == 0
    assert "jensen_shannon" in text.output and "gained: 0 items" in text.output
    data = json.loads(CliRunner().invoke(app, [str(survey), str(survey), "--json"]).output)
    assert data["methods"]["exact"]["lost"] == []


# ---------------------------------------------------------------- report


class Page(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.drawings: list[dict[str, str | None]] = []
        self.header_cells: list[dict[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "svg":
            self.drawings.append(dict(attrs))
        if tag == "th":
            self.header_cells.append(dict(attrs))
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            assert not name.startswith("on")

    def handle_data(self, data):
        self.text += data


def parse(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def test_report_is_safe_and_whole(overton):
    score(overton, judge="nli:lookup")
    check_folder(overton, encoder=WordEncoder())
    path = report_folder(overton)
    page, source = parse(path), path.read_text(encoding="utf-8")
    assert "script" not in page.tags and "link" not in page.tags and "b" in page.tags
    assert "<script" not in source
    assert all(address.startswith("#") for address in page.addresses)
    assert not re.search(r"url\((?!#)|@import|https?://", source)
    for expected in ("vanilla", "vispa", "Lying <script>alert(1)</script>", "the model did not answer", "cores"):
        assert expected in page.text
    assert page.text.index("Failure signatures") < page.text.index("What became of the items")
    assert "equal comments" in page.text
    assert len(page.ids) == len(set(page.ids))
    assert sorted(p.name for p in (overton / "figures").iterdir()) == ["methods.svg", "values.svg"]


def test_report_has_all_figures_of_distributions(survey):
    score(survey)
    path = report_folder(survey)
    page = parse(path)
    assert "They were not checked" in page.text
    for title in ("Results by method", "Reliability of option distributions", "By attribute", "Chile"):
        assert title in page.text
    before = path.read_bytes(), [p.read_bytes() for p in sorted((survey / "figures").iterdir())]
    report_folder(survey)
    assert (path.read_bytes(), [p.read_bytes() for p in sorted((survey / "figures").iterdir())]) == before


def test_report_of_counts_alone_and_of_one_method(overton, tmp_path):
    run = write_run(tmp_path / "alone", tmp_path / "data" / "task.toml", {"vanilla": []})
    score(run, judge="none")
    assert "counts only" in parse(report_folder(run)).text
    with pytest.raises(InputError, match="Score the run first"):
        report_folder(overton)


def test_report_of_stances(stances):
    score(stances)
    text = parse(report_folder(stances)).text
    assert "accuracy, binary" in text and "Target: Honesty" in text


@pytest.mark.parametrize("which", ["overton", "stances", "survey"])
def test_report_can_be_read_by_everyone(which, request):
    run = request.getfixturevalue(which)
    score(run)
    found = check_folder(run)
    path = report_folder(run)
    page, source = parse(path), path.read_text(encoding="utf-8")
    assert source.lstrip().startswith("<!doctype html>")
    # One first heading, no level left out, and no section without something in it.
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(page.headings))
    assert not re.search(r"</h2>\s*<h2", source)
    # Figures say what they show, tables what their heads are for, and links of the page lead somewhere.
    assert page.drawings
    assert all(drawing["role"] == "img" and len(drawing["aria-label"]) > 20 for drawing in page.drawings)
    assert all(cell["scope"] in ("col", "row", "rowgroup") for cell in page.header_cells)
    assert all(address[1:] in page.ids for address in page.addresses)
    # Every check is explained, and nothing of the program shows.
    assert all(check_words(one.name).measured.lower() in page.text.lower() for one in found if not one.fired)
    assert not re.search(r"built-in method|object at 0x|\bnan\b|cosine_mean|jensen_shannon", page.text)
    assert page.text.index("checks fired") < page.text.index("What became of the items")


def test_report_says_what_each_check_means_once(overton):
    score(overton, judge="nli:lookup")
    fired = [one for one in check_folder(overton) if one.fired]
    text = parse(report_folder(overton)).text
    assert len({one.method for one in fired if one.name == "unreadable"}) == 1
    assert "Items without a record; fires above 0\u00a0%:vanilla 50\u00a0%" in re.sub(r"\s*\n\s*", "", text)
    assert all(text.count(one.advice) == 1 for one in fired)
    assert "Perplexity of comments" not in text and "perplexity of comments" in text
    assert re.search(r"Look into these before reading the results\. \d+ could not be made\.", text)


def test_report_does_not_call_checks_that_were_not_made_good(tmp_path):
    task = write_task(tmp_path / "data", COVERAGE_ITEMS[:1], "overton", "coverage")
    answer = record(1, response="Trust matters. Time matters.", comments=[comment("face", "So it is.")])
    run = write_run(tmp_path / "run", task, {"m": [answer]})
    score(run, judge="nli:lookup")
    check_folder(run)
    text = parse(report_folder(run)).text
    assert "None of 5 checks fired. 2 more could not be made." in text
    # The interval of a single item says nothing.
    assert "no interval" in text and "0.800 to 0.800" not in text


def test_report_gives_numbers_of_items_where_they_differ(stances):
    score(stances)
    text = re.sub(r"\s+", " ", parse(report_folder(stances)).text)
    assert "accuracy, binary without the items whose gold or answer is Either" in text
    assert re.search(r"poor no item .* good 5 items 0\.\d{3}", text)


def test_report_of_a_part_of_a_task_says_so(tmp_path):
    task = write_task(tmp_path / "data", SURVEY_ITEMS, "distributional", "distribution")
    task.write_text(task.read_text() + "\nitems = 4\n")
    records = [record(item["id"], distribution=item["gold_distribution"]) for item in SURVEY_ITEMS[:2]]
    run = write_run(tmp_path / "run", task, {"vispa:probe+nli": records}, limit=2, model="own/model")
    score(run)
    text = parse(report_folder(run)).text
    assert "the first 2 of 4" in text and "licence: CC0" in text and "own/model" in text
    assert "by the estimator probe, selected by nli" in text
    # Both items prefer the first option, the second by a tie.
    assert "The gold prefers option A in every item" in text


def test_gold_that_changes_is_not_remarked(survey):
    score(survey)
    assert "The gold prefers" not in parse(report_folder(survey)).text


def test_a_method_has_its_color_in_every_figure(overton):
    score(overton, judge="nli:lookup")
    report_folder(overton)
    # Vanilla uses no values, so that vispa comes first among the bars but second in the run.
    second = "#b34700"
    for name in ("methods.svg", "values.svg"):
        assert second in (overton / "figures" / name).read_text()
    assert "#1f5fa8" not in (overton / "figures" / "values.svg").read_text()


def test_figures_say_their_numbers_in_words(survey):
    score(survey)
    run = read_run(survey)
    drawn = {one.path.stem: one for one in draw_run(run, load_scores(run), survey / "figures")}
    assert "exact 0.000 (0.000 to 0.000)" in drawn["methods"].alternative
    assert "exact: 0.00 and 0.00 (1 options)" in drawn["reliability"].alternative
    assert drawn["groups"].title == "Jensen-Shannon distance (lower is better)"
    assert "groups with most items" not in drawn["groups"].caption


def test_names_are_not_read_as_formulas_or_markup(tmp_path):
    items = [{**SURVEY_ITEMS[0], "attribute": "$x_1$ <i>& co"}]
    task = write_task(tmp_path / "data", items, "distributional", "distribution")
    run = write_run(tmp_path / "run", task, {"m": [record(3, distribution=[0.4, 0.6], values=["a<b"])]})
    score(run)
    page = parse(report_folder(run))
    assert "i" not in page.tags
    assert "$x_1$ <i>& co (1)" in page.text


def test_hidden_characters_are_written_out(tmp_path):
    hidden = "up\x1b[2J \u202edown\x9b <b>x</b>"
    items = [{**SURVEY_ITEMS[0], "text": hidden, "options": [hidden, "no"], "attribute": "a\x1b\x08"}]
    task = write_task(tmp_path / "data", items, "distributional", "distribution")
    said = record(3, distribution=[0.4, 0.6], response=hidden, values=["a\x1b"], comments=[comment("a\x1b", hidden)])
    run = write_run(tmp_path / "run", task, {"m": [said]}, model=hidden)
    score(run)
    page = parse(report_folder(run))
    for path in (run / "report.html", *(run / "figures").iterdir()):
        assert not set(path.read_text(encoding="utf-8")) & set("\x1b\x08\x9b\u202e")
    assert "up\\x1b[2J \\u202edown\\x9b <b>x</b>" in page.text and "a\\x1b" in page.text
    for path in (run / "figures").iterdir():
        ElementTree.fromstring(path.read_text(encoding="utf-8"))


def test_reliability_by_hand(survey):
    exact = reliability(read_run(survey), "exact")
    # Shares 0 1 | .5 .5 | .2 .8; the item with a single option says nothing.
    assert exact.predicted == pytest.approx((0.0, 0.2, 0.5, 0.8, 1.0))
    assert exact.gold == pytest.approx(exact.predicted)
    assert exact.options == (1, 1, 2, 1, 1)
    assert reliability(read_run(survey), "letters") is None


def test_figures_of_a_page_share_no_identifier():
    svg = '<?xml version="1.0"?><svg xmlns="http://x"><style>*{}</style><g id="a"/><use xlink:href="#a"/></svg>'
    assert inline_svg(svg, "f1-") == '<svg><g id="f1-a"/><use href="#f1-a"/></svg>'
