"""What a request may hold: limits, options that repeat, and options without effect, each refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from vispa.cli import batch, evaluate, mixture, respond, select
from vispa.cli.setup import Setup
from vispa.errors import InputError
from vispa.files.limits import MAX_BYTES, MAX_DEPTH, in_words
from vispa.files.lines import MAX_LINE
from vispa.limits import LIMITS
from vispa.modes.checking import checked
from vispa.modes.mixture import Mixture
from vispa.pipeline import Vispa
from vispa.request import (
    LETTERS,
    MAX_CHARACTERS,
    MAX_NEW_TOKENS,
    MAX_OPTION_CHARACTERS,
    MAX_TARGET_CHARACTERS,
    MAX_WEIGHT_SUM,
    Request,
    check_max_new_tokens,
)
from vispa.taxonomy import Taxonomy

DOCUMENTED = Path(__file__).parents[1] / "docs" / "limits.md"
TEXT = "Lending my neighbour a saw"
SIZES: list[tuple[Callable[[int], Request], int]] = [
    (lambda n: Request("x" * n), MAX_CHARACTERS),
    (lambda n: Request(TEXT, prompt="x" * n), MAX_CHARACTERS),
    (lambda n: Request(TEXT, mode="distributional", question="x" * n), MAX_CHARACTERS),
    (lambda n: Request(TEXT, mode="steerable", toward="x" * n), MAX_TARGET_CHARACTERS),
    (lambda n: Request(TEXT, mode="distributional", country="x" * n), MAX_TARGET_CHARACTERS),
    (lambda n: Request(TEXT, mode="distributional", options=("y", "x" * n)), MAX_OPTION_CHARACTERS),
    (lambda n: Request(TEXT, mode="distributional", options=[f"x{i}" for i in range(n)]), len(LETTERS)),
]


@pytest.mark.parametrize(("make", "most"), SIZES)
def test_limits_are_taken_and_named_beyond(make: Callable[[int], Request], most: int) -> None:
    known = Taxonomy.built_in()
    checked(make(most), known)
    for size in (most + 1, most * 50):
        with pytest.raises(InputError, match=f"{most:,}"):
            checked(make(size), known)


@pytest.mark.parametrize("count", [0, -1, MAX_NEW_TOKENS + 1, 1.5, "9", True, None])
def test_lengths_of_comments(count: Any) -> None:
    check_max_new_tokens(MAX_NEW_TOKENS)
    with pytest.raises(InputError, match=str(MAX_NEW_TOKENS)):
        check_max_new_tokens(count)


@pytest.mark.parametrize(
    "table",
    [
        {"karma": 1e308, "honor": 1e308},
        {"karma": 2 * MAX_WEIGHT_SUM},
        {"karma": MAX_WEIGHT_SUM, "honor": MAX_WEIGHT_SUM},
        {"karma": 10**400},
        {"karma": -(10**400)},
        {"karma": float("inf")},
        {"karma": float("nan")},
    ],
)
def test_weights_that_are_too_large_together_are_refused(table: dict[str, float]) -> None:
    with pytest.raises(InputError, match="weights"):
        Mixture.given(table)
    if all(isinstance(share, float) for share in table.values()):
        with pytest.raises(InputError, match=r"groups\.Chile"):
            Mixture("fitted", {}, {"Chile": table})


def test_weights_up_to_the_limit_are_taken() -> None:
    found = Mixture.given({"karma": MAX_WEIGHT_SUM / 4, "honor": MAX_WEIGHT_SUM * 3 / 4})
    assert found.weights(["karma", "honor"], [1, 1]).tolist() == [0.25, 0.75]


def test_the_documented_limits_are_those_that_hold() -> None:
    lines = DOCUMENTED.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    found = {what.split(":")[0]: most for what, most in rows if what not in ("what", "---")}
    expected = {one.what: f"{one.most:,.0f} {one.unit}".strip() for one in LIMITS}
    expected |= {kind: in_words(size) for kind, size in {**MAX_BYTES, "line": MAX_LINE}.items()}
    assert found == {**expected, "lists, objects and tables in one another": f"{MAX_DEPTH} levels"}


# ---------------------------------------------------------------- options that repeat


@pytest.mark.parametrize(
    "listed",
    [("Yes", "Yes"), ("Yes", "yes"), ("Yes ", " YES"), ("Not  sure", "not sure", "Yes"), ("a", "b", "A"), ("ß", "SS")],
)
def test_options_that_repeat_each_other_are_refused(listed: tuple[str, ...]) -> None:
    for question in (None, "Is it fair?"):
        with pytest.raises(InputError, match=r"options: hold .* twice"):
            checked(Request(TEXT, mode="distributional", options=listed, question=question), Taxonomy.built_in())


def test_a_data_sets_own_wording_may_list_a_text_twice() -> None:
    wording = "Question: Who pays?\nOptions: A. We do B. We do C. They\nAnswer:"
    found = checked(Request(wording, mode="distributional", options=("We do", "We do", "They")), Taxonomy.built_in())
    assert found.options == ("We do", "We do", "They") and found.question == wording


# ---------------------------------------------------------------- one text for several


def test_options_and_values_may_be_one_text() -> None:
    assert Request(TEXT, options="Yes | No").options == Request(TEXT, options=["Yes", " No"]).options == ("Yes", "No")
    assert Request(TEXT, values="karma, Honour").values == Request(TEXT, values=["karma", "Honour"]).values
    assert hash(Request(TEXT, options="Yes|No")) == hash(Request(TEXT, options=("Yes", "No")))
    for wrong in ("Yes||No", "|", ("Yes", "")):
        with pytest.raises(InputError, match="empty"):
            checked(Request(TEXT, mode="distributional", options=wrong), Taxonomy.built_in())
    for wrong in (3, {"Yes"}, ("Yes", None), [["Yes"]]):
        with pytest.raises(InputError, match="options"):
            Request(TEXT, options=wrong)  # type: ignore[arg-type]


# ---------------------------------------------------------------- without effect, in Python


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"toward": "karma"}, "toward"),
        ({"question": "Why?"}, "question"),
        ({"options": "Yes|No"}, "options"),
        ({"country": "Chile"}, "country"),
        ({"passages": False}, "passages"),
        ({"mode": "steerable", "toward": "karma", "country": "Chile"}, "country"),
        ({"mode": "steerable", "toward": "karma", "passages": False}, "passages"),
        ({"mode": "distributional", "toward": "karma"}, "toward"),
        ({"mode": "distributional", "passages": False, "prompt": "Say it"}, "prompt"),
        ({"values": "karma", "k": 3}, "k"),
        ({"values": "karma", "k": "auto"}, "k"),
        ({"values": "karma", "threshold": 0.5}, "threshold"),
        ({"values": "karma", "diversity": 0.5}, "diversity"),
    ],
)
def test_fields_without_effect_are_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=f"^{field}: has no effect"):
        checked(Request(TEXT, **fields), Taxonomy.built_in())


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"text": 3}, "text"),
        ({"text": None}, "text"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"mode": "steerable", "toward": " "}, "toward"),
        ({"mode": "steerable", "toward": "a\ud800"}, "toward"),
        ({"mode": "distributional", "options": ("a\ud800", "b")}, "options"),
        ({"k": True}, "k"),
        ({"k": "6"}, "k"),
        ({"threshold": "0.5"}, "threshold"),
        ({"threshold": None}, "threshold"),
        ({"diversity": float("nan")}, "diversity"),
        ({"values": 5}, "values"),
        ({"mode": None}, "mode"),
    ],
)
def test_malformed_fields_are_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=f"^{field}: "):
        checked(Request(**{"text": TEXT, **fields}), Taxonomy.built_in())


@pytest.mark.parametrize("polarity", ["Own", "papre", "", None, True])
def test_a_mistyped_polarity_is_refused(polarity: Any) -> None:
    with pytest.raises(InputError, match="polarity"):
        Taxonomy.built_in().with_polarity(polarity)
    with pytest.raises(InputError, match="polarity"):
        Vispa.from_pretrained("embedded", polarity=polarity)


# ---------------------------------------------------------------- without effect, on the command line


class Loaded(Exception):
    """A model is loaded: nothing was refused."""


def call(command: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> BaseException | None:
    def load(*_: Any, **__: Any) -> None:
        raise Loaded

    monkeypatch.setattr(Setup, "load", load)
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments).exception


STEERABLE = ("--mode", "steerable", "--toward", "karma")
DISTRIBUTIONAL = ("--mode", "distributional")
OWN = (*DISTRIBUTIONAL, "--no-passages")
IDLE: list[tuple[tuple[str, ...], str]] = [
    (("--toward", "karma"), "--toward"),
    (("--options", "a|b"), "--options"),
    (("--weights", "relevance"), "--weights"),
    (("--weights", "mean"), "--weights"),
    (("--no-passages",), "--no-passages"),
    (("--api-url", "http://localhost:1"), "--api-url"),
    (("--api-key-variable", "KEY"), "--api-key-variable"),
    (("--aggregator", "self", "--api-url", "http://localhost:1"), "--api-url"),
    (("--values", "karma", "--k", "6"), "--k"),
    (("--values", "karma", "--threshold", "0"), "--threshold"),
    (("--values", "karma", "--diversity", "0.2"), "--diversity"),
    ((*STEERABLE, "--weights", "relevance"), "--weights"),
    ((*STEERABLE, "--no-passages"), "--no-passages"),
    ((*DISTRIBUTIONAL, "--toward", "karma"), "--toward"),
    ((*DISTRIBUTIONAL, "--weights", '{"karma": 1}', "--k", "3"), "--k"),
    ((*OWN, "--aggregator", "self"), "--aggregator"),
    ((*OWN, "--max-new-tokens", "9"), "--max-new-tokens"),
]


@pytest.mark.parametrize(("arguments", "option"), [*IDLE, (("--question", "Why?"), "--question")])
def test_respond_refuses_options_without_effect(
    arguments: tuple[str, ...], option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = call(respond.respond, monkeypatch, TEXT, *arguments)
    assert isinstance(found, InputError) and str(found).startswith(f"{option}: has no effect"), found


@pytest.mark.parametrize(("arguments", "option"), IDLE)
def test_batch_refuses_options_without_effect(
    arguments: tuple[str, ...], option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    files = (str(tmp_path / "a.txt"), "-o", str(tmp_path / "out.jsonl"))
    found = call(batch.batch, monkeypatch, *files, *arguments)
    assert isinstance(found, InputError) and str(found).startswith(f"{option}: has no effect"), found
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--aggregator", "api:some", "--api-url", "http://localhost:1", "--api-key-variable", ""),
        (*STEERABLE, "--options", "a|b", "--question", "Why?", "--aggregator", "self"),
        (*DISTRIBUTIONAL, "--options", "a|b", "--question", "Why?", "--weights", "relevance", "--k", "3"),
        (*OWN, "--k", "3", "--selector-model", "some"),
        ("--values", "karma", "--seed", "3", "--temperature", "0.5"),
    ],
)
def test_options_with_effect_are_taken(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(call(respond.respond, monkeypatch, TEXT, *arguments), Loaded)


@pytest.mark.parametrize(
    ("metric", "arguments", "option"),
    [
        ("coverage", ("--methods", "vanilla", "--k", "3"), "--k"),
        ("coverage", ("--methods", "vanilla,personas", "--recipe", "x.toml"), "--recipe"),
        ("coverage", ("--methods", "vanilla,prompting", "--max-new-tokens", "9"), "--max-new-tokens"),
        ("coverage", ("--personas", "3"), "--personas"),
        ("coverage", ("--community", "x"), "--community"),
        ("coverage", ("--weights", "relevance"), "--weights"),
        ("coverage", ("--no-score", "--judge", "none"), "--judge"),
        ("coverage", ("--api-url", "http://localhost:1"), "--api-url"),
        ("agreement", ("--judge", "nli"), "--judge"),
        ("agreement", ("--weights", "mean"), "--weights"),
    ],
)
def test_eval_refuses_options_without_effect(
    metric: str, arguments: tuple[str, ...], option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mode = "overton" if metric == "coverage" else "steerable"
    (tmp_path / "task.toml").write_text(
        f'name = "a"\nfile = "a.jsonl"\nmode = "{mode}"\nmetric = "{metric}"\nsource = "a"\nlicence = "a"\n'
    )
    files = ("--task", str(tmp_path / "task.toml"), "-o", str(tmp_path / "run"))
    found = call(evaluate.evaluate, monkeypatch, *files, *arguments)
    assert isinstance(found, InputError) and str(found).startswith(f"{option}: has no effect"), found


def test_mixture_and_select_refuse_options_without_effect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = {"question": "Is it fair?", "options": ["Yes", "No"], "gold_distribution": [0.5, 0.5]}
    (tmp_path / "a.json").write_text(json.dumps([{**row, "question": f"Is it fair{'?' * n}"} for n in range(5)]))
    files = (str(tmp_path / "a.json"), "-o", str(tmp_path / "out.json"))
    for arguments in (("--aggregator", "self"), ("--max-new-tokens", "9")):
        found = call(mixture.mixture, monkeypatch, *files, "--no-passages", *arguments)
        assert isinstance(found, InputError) and str(found).startswith(f"{arguments[0]}: has no effect"), found
    assert isinstance(call(mixture.mixture, monkeypatch, *files, "--max-new-tokens", "9"), Loaded)
    found = call(select.select, monkeypatch, TEXT, "--device", "cpu")
    assert isinstance(found, InputError) and str(found).startswith("--device: has no effect"), found
