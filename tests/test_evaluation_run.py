"""Runs: every method in every mode, joining by identifier, resuming after any stop, the two commands."""

from __future__ import annotations

import json
import random
import types
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from vispa.cli import evaluate as commands
from vispa.cli.data import data
from vispa.errors import InputError, OutputError, VispaError
from vispa.evaluation import runner
from vispa.evaluation.intervals import Interval
from vispa.evaluation.methods import METHODS, Bench, check_methods, make_methods
from vispa.evaluation.methods.community_files import FileCommunity
from vispa.evaluation.methods.community_models import ModelCommunity
from vispa.evaluation.methods.personas import read_personas
from vispa.evaluation.methods.prompting import Prompting
from vispa.evaluation.methods.vanilla import Vanilla
from vispa.evaluation.runner import _bench_settings, run
from vispa.evaluation.runs.folder import MethodAnswer, RunFolder
from vispa.evaluation.tasks import load_task
from vispa.generation.rows import Generated, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.items.answering import batch_settings
from vispa.items.asking import item_request
from vispa.items.item import Item
from vispa.modes.checking import checked
from vispa.pipeline import Vispa
from vispa.readers.api import ApiChat
from vispa.readers.base import Failure
from vispa.readers.local import LocalChat
from vispa.steering.fitting import fit_bank
from vispa.steering.recipe import Recipe

MODES = ("overton", "steerable", "distributional")
PLAIN = ("vanilla", "prompting", "vispa")
ALL = (*METHODS, "vispa:mean_difference", "vispa+other", "vispa:projection+other")
METRICS = {"overton": "coverage", "steerable": "agreement", "distributional": "distribution"}


class LengthSelector:
    """Scores that depend on the text alone."""

    def __init__(self, taxonomy, name="length", step=7):
        self.name, self.taxonomy, self.step = name, taxonomy, step

    def scores(self, texts: Sequence[str], progress=None):
        rows = [[(len(text) * self.step * (n + 1)) % 11 / 11 for n in range(len(self.taxonomy))] for text in texts]
        return np.array(rows, dtype=np.float32)


@pytest.fixture(scope="module")
def bench(llama, make_model, small_taxonomy):
    bank = fit_bank(llama, small_taxonomy, recipe=Recipe("projection", magnitude="residual", amount=0.2))
    vispa = Vispa(llama, bank, LengthSelector(small_taxonomy), taxonomy=small_taxonomy)
    return Bench(
        vispa,
        {"k": 2},
        max_new_tokens=6,
        response_tokens=12,
        personas=3,
        community=ModelCommunity({name: lambda s=s: make_model("llama", seed=s) for s, name in enumerate("xy", 1)}),
        selectors={"other": lambda taxonomy: LengthSelector(taxonomy, "other", 5)},
    )


def rows(mode: str, count: int = 4) -> list[dict]:
    things = ["a kite", "the long road home", "soup", "an old debt to a friend", "a song", "rain on the roof"]
    found = []
    for number in range(count):
        thing = f"{things[number % 6]} {number}"
        row: dict = {"id": f"i{number}" if number % 2 else number, "text": f"Giving up {thing}"}
        if mode == "overton":
            row["explanations"] = ["It may hurt.", "It may help."]
        elif mode == "steerable":
            row |= {"vrd": "Right to rest"} if number % 2 else {"attribute": "SEX_Female"}
            row["label"] = "ABC"[number % 3]
        else:
            options = ["Yes", "No", "Maybe"][: 1 + number % 3]
            lettered = " ".join(f"{letter}. {option}" for letter, option in zip("ABC", options, strict=False))
            row["text"] = f"Question: Keep {thing}?\nOptions: {lettered}\nAnswer:"
            row |= {"options": options, "gold_distribution": [1.0] + [0.0] * (len(options) - 1)}
            row["attribute"] = ("Chile", "low_ambiguity")[number % 2]
        found.append(row)
    return found


def write_task(folder: Path, mode: str, found: list[dict]) -> Path:
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    options = 'options = ["Support", "Oppose", "Either"]\n' if mode == "steerable" else ""
    path = folder / "task.toml"
    path.write_text(
        f'name = "tests/{mode}"\nfile = "items.jsonl"\nmode = "{mode}"\nmetric = "{METRICS[mode]}"\n'
        f'source = "the tests"\nlicence = "none"\n{options}'
    )
    return path


def items(tmp_path: Path, mode: str, count: int = 4) -> list[Item]:
    return list(load_task(write_task(tmp_path, mode, rows(mode, count))).items)


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("mode", MODES)
def test_every_method_answers_every_mode(bench, tmp_path, mode):
    found = items(tmp_path, mode)
    shuffled = [found[i] for i in (2, 0, 3, 1)]
    for method in make_methods(ALL, bench):
        answers = dict(zip((item.id for item in found), method.answer(found), strict=True))
        again = dict(zip((item.id for item in shuffled), method.answer(shuffled), strict=True))
        for item in found:
            answer = answers[item.id]
            assert answer.error is None, (method.name, answer)
            if mode == "overton":
                assert answer.response is not None and answer.answer is None and answer.distribution is None
                assert answer.response == again[item.id].response
            else:
                assert len(answer.distribution) == len(item.options)
                assert sum(answer.distribution) == pytest.approx(1)
                assert answer.answer == "ABC"[int(np.argmax(answer.distribution))]
                assert answer.response == item.options["ABC".index(answer.answer)]
                assert answer.distribution == pytest.approx(again[item.id].distribution, abs=1e-5)
            assert [c.text for c in answer.comments] == [c.text for c in again[item.id].comments]
            expected = {"personas": None, "moe": 1, "modplural": 2}
            if method.name.startswith("vispa"):
                assert [c.value for c in answer.comments] == list(answer.values) and len(answer.values) == 2
                assert all(c.source is None for c in answer.comments)
            elif method.name in expected:
                assert not answer.values and all(c.value is None and c.source for c in answer.comments)
                assert len(answer.comments) == (expected[method.name] or len(answer.comments)) >= 1
            else:
                assert not answer.comments
            writes = mode == "overton" and method.name != "echo"
            assert (answer.tokens > 0) == (writes or bool(answer.comments))


def test_echo_says_nothing_of_its_own(bench, tmp_path):
    (echo,) = make_methods(["echo"], bench)
    found = items(tmp_path, "overton")
    assert [answer.response for answer in echo.answer(found)] == [item.text for item in found]
    for item, answer in zip(found := items(tmp_path, "distributional"), echo.answer(found), strict=True):
        assert set(answer.distribution) == {1 / len(item.options)} and answer.answer == "A"


def test_no_items_no_answers(bench):
    assert all(method.answer([]) == [] for method in make_methods(ALL, bench))


def test_variants_differ_from_the_pipeline(bench):
    plain, probe, other = make_methods(["vispa", "vispa:mean_difference", "vispa+other"], bench)
    assert probe.settings["recipe"]["estimator"] == "mean_difference" and plain.vispa is bench.vispa
    assert bench.vispa.recipe.estimator == "projection" and bench.vispa.selector.name == "length"
    assert other.settings["selector"] == "other" and other.settings["recipe"] == plain.settings["recipe"]


def test_moe_overton_is_a_members_comment_and_modplural_has_them_all(bench, tmp_path):
    found = items(tmp_path, "overton")
    moe, modplural = (method.answer(found) for method in make_methods(["moe", "modplural"], bench))
    for picked, every in zip(moe, modplural, strict=True):
        assert picked.response == picked.comments[0].text
        assert picked.comments[0] in every.comments and picked.tokens == every.tokens


@pytest.mark.parametrize("kind", ["local", "api", "own"])
def test_readers_of_one_name_are_told_apart_in_settings(bench, make_model, monkeypatch, kind):
    """Other weights in a folder, or a name at another address: what was begun with one is not gone on from."""
    monkeypatch.setenv("OPENAI_API_KEY", "key")

    def settings(number: int) -> list[dict[str, Any]]:
        vispa = copy(bench.vispa)
        if kind == "local":
            vispa.reader = LocalChat(TransformersEngine(make_model("llama", seed=number)))
        elif kind == "api":
            vispa.reader = ApiChat("m", base_url=f"http://user:secret@127.0.0.1:{number}/v1")
        else:
            vispa.reader = SimpleNamespace(name="mine", option_reading="letters")
        return [_bench_settings(replace(bench, vispa=vispa)), batch_settings(vispa, {}, Sampling(8))]

    first, second, again = settings(1), settings(2), settings(1)
    assert "secret" not in json.dumps(first) and first == again
    assert all((one == other) is (kind == "own") for one, other in zip(first, second, strict=True))


def test_community_models_of_one_name_are_told_apart_in_settings(make_model):
    found = [ModelCommunity({"x": lambda seed=seed: make_model("llama", seed=seed)}).settings for seed in (1, 2, 1)]
    assert found[0] == found[2] != found[1]


def test_distributional_voices_are_averaged(bench, tmp_path):
    found = items(tmp_path, "distributional")
    single = []
    for name in "xy":
        alone = ModelCommunity({name: lambda model=bench.community._models[name]: model})
        single.append(make_methods(["modplural"], replace(bench, community=alone))[0].answer(found))
    both = make_methods(["modplural"], bench)[0].answer(found)
    for first, second, mean in zip(*single, both, strict=True):
        expected = (np.array(first.distribution) + np.array(second.distribution)) / 2
        np.testing.assert_allclose(mean.distribution, expected, atol=1e-6)


def test_option_questions_name_whom_they_ask(bench, tmp_path):
    vanilla, prompting = Vanilla(bench), Prompting(bench)
    group, right = items(tmp_path, "steerable")[:2]
    assert "whose sex is: Female" in vanilla.question(group) and "Right to rest" in vanilla.question(right)
    assert prompting.question(group) != vanilla.question(group) and "Right to rest" in prompting.question(right)
    chile, nowhere = items(tmp_path, "distributional")[:2]
    assert "Chile" in vanilla.question(chile) and prompting.question(chile).count("Chile") == 1
    assert "ambiguity" not in vanilla.question(nowhere) + prompting.question(nowhere)
    for item in (group, right, chile, nowhere):
        for method in (vanilla, prompting):
            assert method.question(item).endswith("Answer:") and "{" not in method.question(item)
    own = right.model_copy(update={"prompt": "Would Right to rest agree?\nA. Support B. Oppose C. Either\nAnswer:"})
    assert vanilla.question(own) == own.prompt


def test_the_embedded_model_is_asked_for_stances_in_words_that_it_knows(bench, tmp_path, monkeypatch):
    right = items(tmp_path, "steerable")[1]
    asked = right.model_copy(update={"prompt": "Would Right to rest agree?\nA. Support B. Oppose C. Either\nAnswer:"})
    monkeypatch.setattr(Bench, "own_stances", True)
    named = Vanilla(bench).question(asked)
    assert "Value: Right to rest\n" in named and named.endswith("A. Support B. Oppose C. Either\nAnswer:")
    assert "Would Right to rest agree" not in named + Prompting(bench).question(asked)
    assert item_request(asked, {}, own_stances=True).question is None
    assert item_request(asked, {}).question == asked.prompt


def test_requests_carry_the_items_own_wording(bench, tmp_path):
    overton = items(tmp_path, "overton")[0]
    assert item_request(overton, {}).prompt is None
    assert item_request(overton.model_copy(update={"prompt": "Say: it"}), {}).prompt == "Say: it"
    asked = items(tmp_path, "distributional")[0]
    request = checked(item_request(asked, {"k": 1}), bench.vispa.taxonomy)
    assert (request.country, request.k, request.question) == ("Chile", 1, asked.text)
    assert request.text == "Keep a kite 0?" and request.options == asked.options


@pytest.mark.parametrize("methods", [("vispa",), ("vanilla", "vispa:mean_difference"), ("vanilla", "vispa+other")])
def test_an_item_that_cannot_be_asked_ends_a_run_before_it_begins(bench, tmp_path, methods):
    found = rows("distributional", 66)
    found[65] |= {"text": "Keep it?", "options": ["Yes", "No", "yes"], "gold_distribution": [1.0, 0.0, 0.0]}
    task = load_task(write_task(tmp_path, "distributional", found))
    with pytest.raises(InputError, match="item 'i65': options: hold 'yes' twice"):
        run(task, methods, bench, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert run(task, ["echo"], bench, tmp_path / "echo").answered == 66


def test_personas_are_read_from_lists():
    assert read_personas("Sure!\n1. A nurse\n2) **A judge**\n- A baker\n1. A nurse", 6) == [
        "A nurse",
        "A judge",
        "A baker",
    ]
    assert read_personas("Person 1: A nurse\n\n**Persona 2:** A judge", 6) == ["A nurse", "A judge"]
    assert read_personas("A nurse\nA judge\nA baker", 2) == ["A nurse", "A judge"]
    assert read_personas(" \n", 3) == []


def test_an_item_without_personas_fails_alone(bench, tmp_path, monkeypatch):
    found = items(tmp_path, "overton", 3)

    def say(self, messages, most):
        return [Generated("" if "road" in text else "1. A nurse", 1) for text in messages]

    monkeypatch.setattr(Bench, "say", say)
    answers = make_methods(["personas"], bench)[0].answer(found)
    assert [answer.error for answer in answers] == [None, "The model wrote no persona.", None]


class DeafReader:
    name, option_reading = "deaf", "letters"

    def write(self, prompts, *, max_new_tokens=300, progress=None):
        return [Failure("No answer came.") for _ in prompts]

    def option_probabilities(self, prompts, counts, *, progress=None, least=None):
        return [Failure("No answer came.") for _ in prompts]


@pytest.mark.parametrize("mode", MODES)
def test_failures_of_the_reader_are_recorded(bench, tmp_path, mode, llama, small_taxonomy):
    vispa = Vispa(llama, bench.vispa.bank, LengthSelector(small_taxonomy), taxonomy=small_taxonomy, reader=DeafReader())
    deaf = replace(bench, vispa=vispa)
    found = items(tmp_path, mode, 2)
    names = ["moe", "modplural", "personas", "vispa"] if mode != "overton" else ["moe"]
    for method in make_methods(names, deaf):
        assert [answer.error for answer in method.answer(found)] == ["No answer came."] * 2, method.name


# ---------------------------------------------------------------- community files


def community(folder: Path, **files: list[dict]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, entries in files.items():
        (folder / f"{name}.json").write_text(json.dumps(entries))
    return folder


def test_files_are_joined_by_identifier_or_text(bench, tmp_path):
    found = items(tmp_path, "overton", 3)
    by_id = [{"id": item.id, "output": f"one {item.id}"} for item in reversed(found)]
    by_text = [{"situation": item.text, "comment": f"two {item.id}"} for item in (found[1], found[2], found[0])]
    files = FileCommunity(community(tmp_path / "c", alpha=by_id, beta=by_text[:2]))
    spoken = files.comments(found, bench.wording, 5)
    assert isinstance(spoken[0], Failure) and "beta" in spoken[0].reason
    assert [[(v.source, v.text) for v in voices] for voices in spoken[1:]] == [
        [("alpha", f"one {item.id}"), ("beta", f"two {item.id}")] for item in found[1:]
    ]
    answers = make_methods(["modplural"], replace(bench, community=files))[0].answer(found)
    assert [answer.error is None for answer in answers] == [False, True, True]


def test_a_number_is_not_a_text_with_the_same_digits(bench, tmp_path):
    files = FileCommunity(community(tmp_path / "c", a=[{"id": "0", "output": "no"}, {"id": 0, "output": "yes"}]))
    assert files.comments(items(tmp_path, "overton", 1), bench.wording, 5)[0][0].text == "yes"


def test_files_of_another_task_are_refused(bench, tmp_path):
    files = FileCommunity(community(tmp_path / "c", a=[{"id": 0, "situation": "Another", "output": "x"}]))
    with pytest.raises(InputError, match="another text"):
        files.comments(items(tmp_path, "overton", 1), bench.wording, 5)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"id": 1, "output": None}], "has no text comment or output"),
        ([{"output": "x"}], "has neither id nor text"),
        ([{"id": 1, "output": "x"}, {"id": 1, "output": "y"}], "comments anew"),
        ([{"text": "s", "output": "x"}, {"text": "s", "output": "y"}], "comments anew"),
        (["x"], "item 1: is 'x'. It should be an object"),
    ],
)
def test_bad_community_files_are_refused(tmp_path, entries, message):
    with pytest.raises(InputError, match=message):
        FileCommunity(community(tmp_path / "c", a=entries))


def test_a_community_needs_members(tmp_path):
    with pytest.raises(InputError, match="holds no"):
        FileCommunity(tmp_path)
    with pytest.raises(InputError, match="names 0 community models"):
        ModelCommunity({})


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["vanila"],
        ["vanilla", "vanilla"],
        ["vispa:"],
        ["vispa:../x"],
        ["vispa+"],
        ["vispa+a:b"],
        ["moe:x"],
        ["vispax"],
    ],
)
def test_unknown_methods_are_refused(names):
    with pytest.raises(InputError, match="methods: names"):
        check_methods(names)


def test_methods_that_lack_something_are_refused(bench):
    for name, message in (("vispa:nothing", "not in the bank"), ("vispa+nothing", "asks for the selector")):
        with pytest.raises(InputError, match=message):
            make_methods([name], bench)
    for name in ("moe", "modplural"):
        with pytest.raises(InputError, match="community: is missing"):
            make_methods([name], replace(bench, community=None))
    with pytest.raises(InputError, match="personas: is 0"):
        replace(bench, personas=0)


# ---------------------------------------------------------------- runs


class Echo:
    """Answers from the text alone, and counts what it was asked."""

    def __init__(self, name="echo", trouble=()):
        self.name, self.settings, self.trouble = name, {}, trouble
        self.asked: list[int] = []

    def answer(self, items):
        self.asked.append(len(items))
        if any(item.id in self.trouble for item in items):
            raise RuntimeError("no\nfinite number")
        return [MethodAnswer(response=f"{item.text} ü\u2028", tokens=len(items)) for item in items]


@pytest.fixture
def echo(monkeypatch):
    method = Echo()
    monkeypatch.setitem(METHODS, "echo", lambda bench: method)
    return method


def records(output: Path, method: str) -> bytes:
    return RunFolder(output).records_path(method).read_bytes()


@pytest.mark.parametrize("mode", MODES)
def test_a_torn_run_ends_in_the_same_bytes(bench, tmp_path, mode, monkeypatch):
    monkeypatch.setattr(runner, "CHUNK", 3)
    task = write_task(tmp_path, mode, rows(mode, 5))
    summary = run(load_task(task), PLAIN, bench, tmp_path / "whole")
    assert (len(summary.run.items), summary.answered, set(summary.failed.values())) == (5, 15, {0})
    moments = random.Random(mode)
    for cut in range(3):
        output = tmp_path / f"torn{cut}"
        run(load_task(task), PLAIN, bench, output)
        for method in PLAIN:
            path = RunFolder(output).records_path(method)
            path.write_bytes(path.read_bytes()[: moments.randrange(path.stat().st_size)])
        run(load_task(task), PLAIN, bench, output)
        assert all(records(output, method) == records(tmp_path / "whole", method) for method in PLAIN)
        assert (output / "config.json").read_bytes() == (tmp_path / "whole" / "config.json").read_bytes()
    found = RunFolder(output).records("vispa")
    assert [record.id for record in found] == [item.id for item in load_task(task).items]
    assert all(record.comments and record.text for record in found)


def test_every_cut_of_a_file_resumes(bench, tmp_path, echo, monkeypatch):
    monkeypatch.setattr(runner, "CHUNK", 2)
    task, output = write_task(tmp_path, "overton", rows("overton", 5)), tmp_path / "run"
    run(load_task(task), ["echo"], bench, output)
    whole = records(output, "echo")
    assert echo.asked == [2, 2, 1]
    for length in range(0, len(whole) + 1, 7):
        RunFolder(output).records_path("echo").write_bytes(whole[:length])
        told: list[int] = []
        run(load_task(task), ["echo"], bench, output, progress=lambda _, done, __, told=told: told.append(done))
        assert records(output, "echo") == whole and sum(told) == 5
    echo.asked.clear()
    assert run(load_task(task), ["echo"], bench, output).answered == 0 and echo.asked == []


def test_one_failing_item_does_not_end_the_run(bench, tmp_path, echo, monkeypatch):
    monkeypatch.setattr(runner, "CHUNK", 3)
    echo.trouble = (2,)
    task = write_task(tmp_path, "overton", rows("overton", 5))
    assert run(load_task(task), ["echo"], bench, tmp_path / "run").failed == {"echo": 1}
    found = RunFolder(tmp_path / "run").records("echo")
    assert [record.error for record in found] == [None, None, "RuntimeError: no finite number", None, None]
    assert echo.asked == [3, 1, 1, 1, 2]


def test_items_that_failed_are_asked_again_and_keep_their_places(bench, tmp_path, echo, monkeypatch):
    monkeypatch.setattr(runner, "CHUNK", 3)
    task, output = write_task(tmp_path, "overton", rows("overton", 5)), tmp_path / "run"
    run(load_task(task), ["echo"], bench, tmp_path / "whole")
    echo.trouble = (0, "i3")
    assert run(load_task(task), ["echo"], bench, output).failed == {"echo": 2}
    for trouble, failed in (((0, "i3"), 2), (("i3",), 1), ((), 0), ((), 0)):
        echo.trouble = trouble
        told: list[int] = []
        summary = run(
            load_task(task), ["echo"], bench, output, progress=lambda _, done, __, told=told: told.append(done)
        )
        assert summary.failed == {"echo": failed} and sum(told) == 5
        found = RunFolder(output).records("echo")
        assert [record.id for record in found] == [0, "i1", 2, "i3", 4]
        assert sum(record.error is not None for record in found) == failed
    assert summary.answered == 0
    assert [path.name for path in (output / "records").iterdir()] == ["echo.jsonl"]


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("")])
def test_records_that_are_touched_in_mid_run_are_noticed(bench, tmp_path, echo, monkeypatch, harm):
    monkeypatch.setattr(runner, "CHUNK", 2)
    task, output = write_task(tmp_path, "overton", rows("overton", 5)), tmp_path / "run"
    path = RunFolder(output).records_path("echo")
    told: list[int] = []

    def progress(method, done, total):
        told.append(done)
        if sum(told) == 4:
            harm(path)

    with pytest.raises(OutputError, match=r"echo.jsonl: was .* while it was being written, after 4 lines"):
        run(load_task(task), ["echo"], bench, output, progress=progress)
    run(load_task(task), ["echo"], bench, output)
    assert [record.id for record in RunFolder(output).records("echo")] == [0, "i1", 2, "i3", 4]


def test_a_fault_of_the_settings_ends_the_run(bench, tmp_path, echo):
    def refuse(items):
        raise InputError("key", "is wrong.", "Set it.")

    echo.answer = refuse
    with pytest.raises(InputError, match="key: is wrong"):
        run(load_task(write_task(tmp_path, "overton", rows("overton", 2))), ["echo"], bench, tmp_path / "run")


def test_a_limit_takes_the_first_items(bench, tmp_path, echo):
    task = write_task(tmp_path, "overton", rows("overton", 5))
    assert len(run(load_task(task), ["echo"], bench, tmp_path / "run", limit=2).run.items) == 2
    assert [record.id for record in RunFolder(tmp_path / "run").records("echo")] == [0, "i1"]
    with pytest.raises(InputError, match="limit: is 0"):
        run(load_task(task), ["echo"], bench, tmp_path / "run", limit=0)


def test_other_settings_do_not_go_on(bench, tmp_path, echo, monkeypatch):
    monkeypatch.setitem(METHODS, "second", lambda bench: Echo("second"))
    task, output = write_task(tmp_path, "overton", rows("overton", 3)), tmp_path / "run"
    run(load_task(task), ["echo"], bench, output)

    def refused(message, bench=bench, methods=("echo",), **options):
        with pytest.raises(InputError, match=message):
            run(load_task(task), list(methods), bench, output, **options)

    refused("with other limit", limit=3)
    refused("with other max_new_tokens.", replace(bench, seed=4, max_new_tokens=7))
    refused("with other methods", methods=["second"])
    echo.settings = {"new": 1}
    refused("with other echo's settings")
    echo.settings = {}
    write_task(tmp_path, "overton", rows("overton", 4))
    refused("with other items")
    write_task(tmp_path, "overton", rows("overton", 3))
    monkeypatch.setattr(runner, "versions", lambda *_: {"python": "0"})
    refused("with other versions")
    monkeypatch.undo()


def test_methods_can_be_added(bench, tmp_path, echo, monkeypatch):
    monkeypatch.setitem(METHODS, "second", lambda bench: Echo("second"))
    task, output = write_task(tmp_path, "overton", rows("overton", 3)), tmp_path / "run"
    run(load_task(task), ["echo"], bench, output)
    assert run(load_task(task), ["second", "echo"], bench, output).answered == 3
    assert RunFolder(output).config()["methods"] == ["second", "echo"]


def test_overwrite_begins_anew(bench, tmp_path, echo):
    task, output = write_task(tmp_path, "overton", rows("overton", 3)), tmp_path / "run"
    run(load_task(task), ["echo"], bench, output)
    (output / "scores.json").write_text("{}")
    run(load_task(task), ["echo"], bench, output, limit=1, overwrite=True)
    assert len(RunFolder(output).records("echo")) == 1 and not (output / "scores.json").exists()


def test_folders_that_hold_something_else_are_refused(bench, tmp_path, echo):
    task, output = write_task(tmp_path, "overton", rows("overton", 2)), tmp_path / "run"

    def refused(message):
        with pytest.raises(InputError, match=message):
            run(load_task(task), ["echo"], bench, output)

    output.write_text("precious")
    refused("is a file")
    output.unlink()
    (output / "records").mkdir(parents=True)
    path = RunFolder(output).records_path("echo")
    path.write_text("precious\n")
    refused("holds records, which no run wrote. Choose another folder")
    path.unlink()
    run(load_task(task), ["echo"], bench, output)
    path.write_bytes(path.read_bytes() + b'{"id": 9}\n')
    refused("line 3: belongs to no item")
    path.write_bytes(b'{"id": "0"}\n')
    refused("is not the answer to item 0")
    with RunFolder(output).locked():
        refused("is being written by another process")
    (output / "config.json").write_text("{")
    refused("is not valid JSON")
    with pytest.raises(InputError, match="holds no run"):
        RunFolder(tmp_path).config()


def test_records_that_are_none_are_refused(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(InputError, match="Run the method first"):
        folder.records("a")
    (tmp_path / "records").mkdir()
    folder.records_path("a").write_text('{"id": 1, "text": "x", "distribution": [NaN]}\n{"id": 2')
    with pytest.raises(InputError, match=r"line 1 field distribution\[0\]: is nan"):
        folder.records("a")
    folder.records_path("a").write_text('{"id": 1, "text": "x", "distribution": [1.0]}\n{"id": 2')
    assert [record.id for record in folder.records("a")] == [1]


# ---------------------------------------------------------------- commands


@pytest.fixture
def command(bench, monkeypatch):
    """Calls a command on the bench's pipeline; InputError comes through."""
    app = typer.Typer()
    app.command("eval")(commands.evaluate)
    app.command("data")(data)
    monkeypatch.setattr(commands.Setup, "load", lambda self, taxonomy, progress=None, **_: bench.vispa)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return call


def test_eval_runs_scores_and_reports(command, tmp_path, monkeypatch):
    done: list[object] = []
    figure = Interval(estimate=0.25, low=0.125, high=0.5, confidence=0.95, resamples=2000, n=3)
    methods = {name: types.SimpleNamespace(figures={"likeness": figure}) for name in ("vanilla", "vispa")}
    scores = types.SimpleNamespace(methods=methods, budget=3, shuffles=2)

    def score(run, *, judge, shuffles):
        done.append((run.folder, judge, shuffles))
        return scores

    def check(run, found, **parts):
        done.append((found is scores, sorted(parts)))
        return []

    monkeypatch.setattr("vispa.evaluation.scoring.score", score)
    monkeypatch.setattr("vispa.evaluation.diagnostics.check", check)
    monkeypatch.setattr("vispa.models.encoder.load_encoder", lambda: None)
    monkeypatch.setattr("vispa.evaluation.report.write_report", lambda run, *found: done.append((run.folder, found)))
    task, output = write_task(tmp_path, "overton", rows("overton", 3)), tmp_path / "run"
    options = ("eval", "--task", str(task), "-o", str(output), "--methods", "vanilla, vispa", "--k", "2")
    options = (*options, "--max-new-tokens", "5")
    printed = json.loads(command(*options, "--judge", "nli:some/model", "--shuffles", "2", "--json"))
    assert printed["items"] == 3 and printed["answered"] == 6 and printed["failed"] == {"vanilla": 0, "vispa": 0}
    parts = ["encoder", "loaded", "taxonomy"]
    assert done == [(output, "nli:some/model", 2), (True, parts), (output, (scores, []))]
    assert printed["scores"]["vispa"] == {"likeness": figure.model_dump()} and printed["report"] == str(
        output / "report.html"
    )
    assert "3 items, 0 answers now" in command(*options, "--no-score") and len(done) == 3
    shown = command(*options).splitlines()
    assert shown[-1] == str(output / "report.html")
    assert [line.split()[0] for line in shown[-3:-1]] == ["vanilla", "vispa"]
    assert all("0.250" in line and "[0.125, 0.500]" in line for line in shown[-3:-1])
    config = RunFolder(output).config()
    assert config["methods"] == ["vanilla", "vispa"] and config["mode"] == "overton"
    assert config["folder"] == str(tmp_path.resolve()) and Path(config["task"]).is_absolute()
    environment = json.loads((output / "environment.json").read_text())
    assert {"versions", "platform", "cores", "device"} <= set(environment)


@pytest.mark.parametrize(("texts", "said"), [(3, ""), (2, "Items of one text are drawn together (3 items, 2 texts).")])
def test_eval_says_which_items_are_drawn_together(command, tmp_path, echo, texts, said):
    asked = rows("distributional", 3)
    asked = [{**row, "text": asked[number % texts]["text"]} for number, row in enumerate(asked)]
    task = write_task(tmp_path, "distributional", asked)
    shown = command("eval", "--task", str(task), "-o", str(tmp_path / "run"), "--methods", "echo").splitlines()
    assert [line for line in shown if "drawn together" in line] == ([said] if said else [])


def test_eval_ends_with_a_fault_until_every_item_is_answered(command, tmp_path, echo):
    task = write_task(tmp_path, "overton", rows("overton", 3))
    options = ("eval", "--task", str(task), "-o", str(tmp_path / "run"), "--methods", "echo", "--no-score")
    for trouble, failed in (((0, 2), "2 of echo"), ((0, 2), "2 of echo"), ((2,), "1 of echo")):
        echo.trouble = trouble
        with pytest.raises(VispaError, match=rf"items have no answer \({failed}\).* Repeat the command") as caught:
            command(*options)
        assert not isinstance(caught.value, InputError)
    echo.trouble = ()
    assert "3 items, 1 answers now" in command(*options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--judge", "gold"], "--judge"),
        (["--judge", "nli:"], "--judge"),
        (["--judge", "embedding:x"], "--judge"),
        (["--methods", "vanilla,best"], "names 'best'"),
        (["--methods", ","], "names none"),
        (["--data", "nowhere"], "is missing"),
        (["--community", ".", "--methods", "moe"], "holds no"),
    ],
)
def test_eval_refuses_bad_input(command, tmp_path, monkeypatch, options, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    task = write_task(tmp_path, "overton", rows("overton", 2))
    with pytest.raises(InputError, match=message):
        command("eval", "--task", str(task), "-o", str(tmp_path / "run"), *options)
    assert not (tmp_path / "run").exists()


def test_data_says_what_is_there_and_what_is_not(command, tmp_path):
    path = tmp_path / "vital_distributional_moralchoice.json"
    row = {"id": 1, "question": "Run?\nA. y\nB. n\nAnswer:", "options": ["y", "n"], "gold_distribution": [1, 0]}
    path.write_text(json.dumps([row]))
    found = {one["task"]: one for one in json.loads(command("data", str(tmp_path), "--json"))}
    assert found["vital/moralchoice"]["items"] == 1 and not found["vital/moralchoice"]["is_published"]
    assert found["vital/overton"]["problem"] and found["vital/overton"]["path"] is None
    text = command("data", str(tmp_path))
    assert "1 items, the published file has 181" in text and "Get it from https://" in text and "17 of 24 tasks" in text
    path.write_text("[{}]")
    assert "cannot be used" in command("data", str(tmp_path), "--task", "vital/moralchoice")
    with pytest.raises(InputError, match="is not a folder"):
        command("data", str(tmp_path / "none"))
