"""The suites of law, education, work and care: from labels to items, and as tasks that need no folder."""

from __future__ import annotations

import csv
import json
from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import domain_agreement
from benchmarks.agreement import alpha, coincidences
from benchmarks.domain_agreement import COLUMNS, agreement
from benchmarks.domains import __main__ as command
from benchmarks.domains import figures as domains
from benchmarks.domains.section import draw, section
from training import domain_suites as suites
from training.domain_suites import DOMAINS, Label, Written, assembled, left_out, load_written
from training.near_copies import WORDS, common_words, own_sentences, own_situations, suite_texts
from training.shared_sentences import LEAST_OF_OPTION, shared, suite_sentences
from vispa.cli.main import app
from vispa.errors import InputError
from vispa.evaluation.intervals import bootstrap_mean
from vispa.evaluation.runs.run import read_run
from vispa.evaluation.tasks import Task, available, built_in_tasks, is_shipped, load_task

NAMES = [f"domains/{domain}{end}" for domain in DOMAINS for end in domains.TASKS.values()]


@pytest.fixture(scope="module")
def written() -> dict[str, Written]:
    return {domain: load_written(domain) for domain in DOMAINS}


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("kind", "said", "kept"),
    [
        ("G", "+ 2+ 1+", True),
        ("G", "+ 1~ 1+", True),
        ("G", "+ 2+ 0", False),
        ("G", "- 2+ 2+", False),
        ("G", "- 2~ 1+", False),
        ("G", "0 2+ 2+", False),
        ("T", "Oppose Oppose Either", True),
        ("T", "Oppose Either Either", False),
        ("V", "C A C", True),
        ("V", "C A B", False),
    ],
)
def test_what_the_readers_do_not_confirm_is_dropped(kind, said, kept):
    assert Label(kind, "x", "x", *said.split()).is_kept is kept


def test_a_drawn_name_counts_as_foreign_only_where_both_readers_say_so():
    said = ["0 0 0", "0 0 1~", "0 2+ 2+", "+ 0 0"]
    assert [Label("G", "x", "x", *one.split()).is_foreign for one in said] == [True, False, False, False]


WRITTEN = """S\ts1\tFlying a kite over the harbour
G\ts1\tvalue\tJoy\t+\tA kite over the harbour makes whoever holds its string merry.
G\ts1\tright\tRight to quiet\t-\tThe rattling kite wakes those who sleep on their boats.
G\ts1\tduty\tDuty to look up\t+\tA kite makes people look up.
T\ts1\tJoy\tSupport
T\ts1\tQuiet\tOppose
T\ts1\tBoats\tEither
S\ts2\tSelling the kite
G\ts2\tvalue\tThrift\t+\tThe price of the kite is saved.
G\ts2\tvalue\tJoy\t-\tWithout the kite there is less fun.
Q\tq1\tWhere may kites fly?\tNowhere\tOver water\tOver fields\tEverywhere
V\tq1\tsec\tA
V\tq1\thed\tD
V\tq1\tsdi\tD
V\tq1\tuni\tB
V\tq1\ttra\tC
Q\tq2\tWho pays for a lost kite?\tIts owner\tThe finder\tThe town\tNobody
V\tq2\tjus\tA
V\tq2\tdeo\tA
V\tq2\tfai\tA
V\tq2\tuti\tA
"""
READ = """kind,item,entry,first,second
G,s1,right: Right to quiet,2-,1-
G,s1,value: Thrift,0,0
G,s1,value: Joy,2+,2+
G,s1,duty: Duty to look up,0,1+
T,s1,Joy,Support,Support
T,s1,Quiet,Either,Oppose
T,s1,Boats,Oppose,Oppose
G,s2,value: Thrift,2+,1+
G,s2,value: Joy,0,2-
V,q1,sec,A,A
V,q1,hed,D,C
V,q1,sdi,D,D
V,q1,uni,B,B
V,q1,tra,A,A
V,q2,jus,A,A
V,q2,deo,A,A
V,q2,fai,A,A
V,q2,uti,A,A
"""


def test_items_hold_what_is_left(tmp_path):
    (tmp_path / "kites.tsv").write_text(WRITTEN)
    (tmp_path / "kites_readings.csv").write_text(READ)
    made = load_written("kites", tmp_path)
    suite = assembled(made)
    # One name is left of the second situation: too few.
    (situation,) = suite.overton
    assert situation["vrd"] == ("Right to quiet", "Joy") and situation["kinds"] == ("right", "value")
    assert situation["sides"] == ["-", "+"] and situation["not_at_stake"] == ["Thrift"]
    assert [text.split()[1] for text in situation["explanation"]] == ["rattling", "kite"]
    assert [(row["id"], row["vrd"], row["label"]) for row in suite.steerable] == [
        ("s1-1", "Joy", "A"),
        ("s1-2", "Quiet", "B"),
    ]
    # All values that are left choose alike in the second question.
    (question,) = suite.survey
    assert question["gold_distribution"] == [0.25, 0.25, 0, 0.5]
    assert question["chosen"] == {"security": "A", "hedonism": "D", "self-direction": "D", "universalism": "B"}
    assert [(row["vrd"], row["label"]) for row in suite.values][:2] == [("security", "A"), ("hedonism", "D")]
    assert suites.dropped(made, suite).endswith("dropped 2 of 5 names (2 not at stake), 1 of 3 answers, 1 of 9 choices")
    assert assembled(made, ["s1", "q1"]).files("kites") == {name: [] for name in suite.files("kites")}


@pytest.mark.parametrize(
    ("said", "labels"),
    [
        (["Support", "Oppose", "Either", "Oppose"], {"s1-1": "A", "s1-2": "B", "s1-3": "C"}),
        (["Support", None, "Either", "Oppose", "Support"], {"s1-1": "A", "s1-3": "C", "s1-4": "B"}),
        ([None, None, "Either", "Oppose"], {"s1-3": "C", "s1-4": "B"}),
    ],
)
def test_a_situation_has_the_first_three_targets_that_are_confirmed(said, labels):
    targets = tuple(
        Label("T", "s1", f"target {number}", one or "Support", one or "Oppose", one or "Either")
        for number, one in enumerate(said)
    )
    suite = assembled(Written({"s1": "A kite"}, {}, {}, targets))
    assert {row["id"]: row["label"] for row in suite.steerable} == labels


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_package_ships_what_the_readings_come_to(written, domain):
    for name, rows in assembled(written[domain], left_out(domain)).files(domain).items():
        assert json.loads((suites.SHIPPED / name).read_text(encoding="utf-8")) == json.loads(json.dumps(rows)), name
    assert left_out(domain) <= {*written[domain].situations, *written[domain].questions}


def entries(domain: str, end: str) -> list[dict[str, Any]]:
    return json.loads((suites.SHIPPED / f"{domain}{end}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("domain", DOMAINS)
def test_suites_are_as_large_and_varied_as_they_say(domain):
    overton, steerable, survey, values = (load_task(f"domains/{domain}{end}").items for end in domains.TASKS.values())
    assert (len(overton), len(survey), len(steerable)) == (80, 40, 240) and len(values) > 220
    assert all(2 <= len(item.vrd) <= 6 for item in overton)
    rows = entries(domain, "")
    targets = Counter(row["id"].rpartition("-")[0] for row in entries(domain, "-steerable"))
    assert targets == {row["id"]: suites.TARGETS for row in rows}
    both = sum({"+", "-"} <= set(row["sides"]) for row in rows)
    assert both >= 0.75 * len(rows)
    # No answer is so common that always giving it does well.
    for items in (steerable, values):
        shares = np.bincount([item.label for item in items]) / len(items)
        assert shares.max() < 0.5 and len(shares) == len(items[0].options)
    chosen = [np.argmax(item.gold_distribution) for item in survey]
    assert len(set(chosen)) == 4


# ---------------------------------------------------------------- agreement


@pytest.mark.parametrize("ordinal", [False, True])
def test_alpha_equals_a_slow_computation_with_gaps_and_three_readers(ordinal):
    draw = np.random.default_rng(3)
    truth = draw.integers(3, size=60)
    said = np.where(draw.random((60, 3)) < 0.7, truth[:, None], draw.integers(3, size=(60, 3)))
    said[draw.random(said.shape) < 0.15] = -1
    units = [[int(one) for one in row if one >= 0] for row in said]
    units = [unit for unit in units if len(unit) > 1]
    pooled = [one for unit in units for one in unit]
    counts = np.bincount(pooled)

    def distance(a: int, b: int) -> float:
        low, high = min(a, b), max(a, b)
        if not ordinal:
            return float(a != b)
        return float((counts[low : high + 1].sum() - (counts[low] + counts[high]) / 2) ** 2)

    within = sum(distance(a, b) / (len(unit) - 1) for unit in units for a, b in permutations(unit, 2)) / len(pooled)
    anywhere = np.mean([distance(a, b) for a, b in permutations(pooled, 2)])
    assert alpha(coincidences(said, 3), ordinal=ordinal) == pytest.approx(1 - within / anywhere)


def test_agreement_within_a_question_is_measured_against_that_question():
    # Three of three agree everywhere, but always on the same letter of a question: chance would do the same.
    alike = [coincidences(np.full((5, 3), letter), 4) for letter in range(3)]
    other = coincidences(np.array([[0, 0, 1], [1, 1, 0], [0, 1, 1]]), 4)
    assert alpha(sum(alike[1:], alike[0])) == pytest.approx(1)
    assert alpha(*alike, other) == pytest.approx(alpha(other))


@pytest.mark.parametrize("domain", DOMAINS)
def test_readers_agree_on_what_is_kept_and_on_all(written, domain):
    for kept in (False, True):
        found = dict(zip(COLUMNS, agreement(written[domain], kept=kept, without=left_out(domain)), strict=True))
        assert min(found.values()) > 0.6, found


# ---------------------------------------------------------------- other texts


def test_no_text_nearly_repeats_one_that_something_learned_from():
    ours, explanations = suite_texts(DOMAINS)
    gone = {f"{domain} {item}" for domain in DOMAINS for item in left_out(domain)}
    assert gone
    texts = {name: text for name, text in ours.items() if name not in gone} | explanations
    known = sorted(own_situations() | own_sentences())
    near = [(list(texts)[place], known[other]) for place, other, _ in common_words(list(texts.values()), known)]
    assert not near


def test_no_sentence_stands_in_a_text_that_something_learned_from():
    known = own_situations() | own_sentences()
    texts, options = suite_sentences(DOMAINS)
    assert len(texts) > 2500 and len(options) == 4 * sum(len(load_written(domain).questions) for domain in DOMAINS)
    gone = {f"{domain} {item}" for domain in DOMAINS for item in left_out(domain)}
    found = [*shared(texts, known), *shared(options, known, LEAST_OF_OPTION)]
    assert not [(name, words) for name, words in found if " ".join(name.split()[:2]) not in gone]


def test_common_words_are_found():
    ours = ["The mayor sells the old bridge.", "A goat eats the letters"]
    others = ["A horse eats grass", "The old bridge the mayor sells!", "the letters a goat eats daily"]
    found = [(place, other, round(share, 2)) for place, other, share in common_words(ours, others)]
    assert sorted(found) == [(0, 1, 1.0), (1, 2, 0.83)] and WORDS == 0.6


# ---------------------------------------------------------------- tasks


def test_domains_are_tasks_of_the_package():
    assert [name for name, task in built_in_tasks().items() if is_shipped(task)] == NAMES
    assert all(len(load_task(name).items) == built_in_tasks()[name].items for name in NAMES)


def test_an_own_task_of_the_same_name_is_not_the_packages(tmp_path):
    known = built_in_tasks()["domains/law"].model_dump(exclude={"description"})
    assert not is_shipped(Task(**known, description="mine"))
    (tmp_path / "law.toml").write_text(
        'name = "domains/law"\nfile = "domains/law.json"\nmode = "overton"\nmetric = "coverage"\n'
        'source = "me"\nlicence = "none"\n'
    )
    with pytest.raises(InputError, match="is missing"):
        load_task(tmp_path / "law.toml")


def test_a_folder_is_not_looked_at(tmp_path):
    (tmp_path / "care.json").write_text("no item")
    assert load_task("domains/care", tmp_path).items == load_task("domains/care").items
    (found,) = available(tmp_path, ["domains/care"])
    assert found.problem is None and found.is_published and found.path is not None
    assert not Path(found.path).is_relative_to(tmp_path)


def test_eval_runs_without_a_folder_and_refuses_one(tmp_path):
    asked = ["eval", "--task", "domains/work-steerable", "--methods", "echo", "--limit", "6", "--model", "embedded"]
    asked += ["-o", str(tmp_path / "run")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    run = read_run(tmp_path / "run")
    assert run.config["folder"] is None and len(run.items) == 6
    refused = CliRunner().invoke(app, [*asked, "--data", str(tmp_path)])
    assert isinstance(refused.exception, InputError)
    assert refused.exception.field == "--data" and "ship with the package" in refused.exception.problem


def test_data_lists_them(tmp_path):
    done = CliRunner().invoke(app, ["data", str(tmp_path), "--json"])
    found = {one["task"]: one for one in json.loads(done.stdout)}
    assert done.exit_code == 0
    for name in NAMES:
        assert found[name]["is_published"] and found[name]["licence"] == "CC-BY-4.0"
    assert [name for name, one in found.items() if one["problem"] is None] == NAMES


# ---------------------------------------------------------------- the benchmark


def test_selection_counts_own_names_before_others():
    situations = [
        domains.Named("a kite", ("joy", "wind"), ("law",)),
        domains.Named("a court", ("law",), ("joy", "wind")),
    ]
    liked = {("a kite", "joy"): 0.9, ("a kite", "wind"): 0.1, ("a kite", "law"): 0.5, ("a court", "law"): 0.8}
    selected = domains.selection(
        situations, lambda pairs: np.array([liked.get(pair, 0.0) for pair in pairs], dtype=np.float32)
    )
    found = selected.figures
    level = domains.selection(situations, lambda pairs: np.zeros(len(pairs), dtype=np.float32))
    assert selected.less(level)["AUC"]["estimate"] == pytest.approx(0.75 - 0.5)
    assert found["AUC"]["estimate"] == pytest.approx((0.5 + 1) / 2)
    assert found["precision"]["estimate"] == pytest.approx((0.5 + 1) / 2)
    assert found["precision by chance"]["estimate"] == pytest.approx((2 / 3 + 1 / 3) / 2)


@pytest.mark.parametrize("domain", DOMAINS)
def test_names_that_the_encoder_learnt_from_are_left_out(domain):
    learnt = domains.learnt_names()
    assert {"presumption of innocence", "human dignity", "attentiveness"} <= learnt
    found = domains.named_situations(domain)
    assert len(found) > 40 and all(one.own and one.foreign for one in found)
    assert not {domains.plain(name) for one in found for name in (*one.own, *one.foreign)} & learnt


def test_items_of_one_question_are_drawn_together():
    scores = {f"law-q{question}-{item}": float(question < 4) for question in range(8) for item in range(5)}
    found = domains.by_question(scores)
    apart = bootstrap_mean(list(scores.values()))
    assert found["estimate"] == apart.estimate == 0.5 and found["n"] == 8
    assert found["high"] - found["low"] > 1.5 * (apart.high - apart.low)


def test_chance_knows_the_commonest_answer_and_equal_shares():
    task = load_task("domains/law-steerable")
    labels = [item.label for item in task.items]
    best = max(labels.count(place) for place in range(3)) / len(labels)
    assert domains.chance_figures(task, None)["accuracy"]["estimate"] == pytest.approx(best)
    distance = domains.chance_figures(load_task("domains/law-survey"), 5)["jensen_shannon"]
    assert distance["n"] == 5 and 0 < distance["estimate"] < 1
    assert domains.chance_figures(load_task("domains/law"), 5) == {}


def test_the_command_prints_tables_and_writes_figures(tmp_path, capsys):
    file = tmp_path / "figures.json"
    asked = ["--domains", "law,care", "--tasks", "steerable", "--methods", "echo", "--limit", "4", "--situations", "4"]
    command.main([*asked, "--json", str(file), "--output", str(tmp_path / "runs")])
    printed = capsys.readouterr().out
    assert "| law, 4 | that reads values |" in printed and "| care | echo |" in printed
    report = json.loads(file.read_text())
    assert report["command"] == " ".join(["python -m benchmarks.domains", *asked])
    # Four items of two situations.
    assert report["tasks"]["steerable"]["law"]["chance"]["accuracy"]["n"] == 2
    assert set(report["selection"]["care"]) == {"that reads values", "bundled", "difference of the two"}
    assert section(report) in printed


def test_the_command_measures_every_task(tmp_path, capsys):
    file = tmp_path / "figures.json"
    asked = ["--domains", "work", "--methods", "vispa", "--limit", "2", "--situations", "2", "--tokens", "4"]
    tasks = command.main([*asked, "--json", str(file)])["tasks"]
    assert {part: set(own["work"]) for part, own in tasks.items()} == {
        "overton": {"vispa"},
        **{part: {"chance", "vispa"} for part in ("steerable", "survey", "values")},
    }
    for own in tasks.values():
        for figures in own["work"].values():
            assert all(one["low"] <= one["estimate"] <= one["high"] and one["n"] <= 2 for one in figures.values())
    head, *rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| domain |", "| work |"))]
    assert [row.split(" | ")[1] for row in rows] == ["chance", "vispa"]
    assert "–" not in rows[-1] and head.count("|") == rows[-1].count("|") == 11
    draw(json.loads(file.read_text()), tmp_path / "domains.svg")
    assert "values: accuracy" in (tmp_path / "domains.svg").read_text(encoding="utf-8")


def test_selection_alone_needs_no_model(tmp_path):
    report = command.main(["--model", "none", "--domains", "law", "--situations", "3"])
    assert "tasks" not in report and report["selection"]["law"]["bundled"]["AUC"]["n"] == 3
    draw(report, tmp_path / "domains.svg")
    assert "AUC" in (tmp_path / "domains.svg").read_text(encoding="utf-8")


def test_the_agreement_command_writes_what_it_prints(tmp_path, capsys, written):
    file = tmp_path / "alpha.json"
    found = domain_agreement.main(["--json", str(file)])
    report = json.loads(file.read_text())
    assert report["alpha"] == found and report["command"] == "python -m benchmarks.domain_agreement"
    assert set(found) == set(DOMAINS) and all(len(rows) == 3 for rows in found.values())
    assert list(found["law"]["all"].values()) == agreement(written["law"])
    shown = " | ".join(f"{found['care']['kept'][column]:.2f}" for column in COLUMNS)
    assert f"| care | kept | {shown} |" in capsys.readouterr().out


@pytest.mark.parametrize(
    "asked", [["--domains", "law,sea"], ["--tasks", "overton,dance"], ["--limit", "0"], ["--situations", "0"]]
)
def test_the_command_refuses_what_it_does_not_know(asked):
    with pytest.raises(SystemExit) as stopped:
        command.main(asked)
    assert stopped.value.code == 2


def test_the_readings_name_each_thing_once():
    for domain in DOMAINS:
        with (suites.HERE / f"{domain}_readings.csv").open(encoding="utf-8", newline="") as file:
            things = [(row["kind"], row["item"], row["entry"]) for row in csv.DictReader(file)]
        assert len(things) == len(set(things)) > 900
