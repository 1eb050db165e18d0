"""Items that cannot be answered are refused by name, before a model is loaded or a server asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.cli.setup import Setup
from vispa.errors import InputError

# What an item says beside its text, by mode → what is refused.
FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("distributional", {"options": ["Yes", "No", "yes"]}, "options: hold 'yes' twice"),
    ("distributional", {"options": ["Yes", "y" * 1001]}, "options: has 1,001 characters"),
    ("distributional", {"options": ["Yes", "\u200b"]}, "options: hold an empty one"),
    ("distributional", {"options": ["Yes", "No"], "attribute": "x" * 1001}, "country: has 1,001 characters"),
    ("steerable", {"options": ["Yes", "No", "yes"], "vrd": "Care"}, "options: hold 'yes' twice"),
    ("steerable", {"vrd": "x" * 1001}, "toward: has 1,001 characters"),
]


class LoadedError(Exception):
    """A model would be loaded."""


@pytest.fixture(autouse=True)
def never_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise LoadedError

    monkeypatch.setattr(Setup, "load", load)


def write_items(folder: Path, fault: dict[str, Any], mode: str) -> Path:
    """Two sound items and one that is not, with a task of them beside."""
    sound: dict[str, Any] = {"options": ["Yes", "No"], "vrd": "Care"}
    given = [{**sound, "id": "a"}, {**sound, "id": 2}, {"options": ["Yes", "No"], **fault, "id": "bad"}]
    for row in given:
        count = len(row["options"])
        row |= {
            "text": "Is it right to keep a promise?",
            "gold_distribution": [1.0] + [0.0] * (count - 1),
            "label": "A",
        }
    path = folder / "items.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    metric = "agreement" if mode == "steerable" else "most-likely"
    (folder / "task.toml").write_text(
        f'name = "tests/early"\nfile = "items.jsonl"\nmode = "{mode}"\nmetric = "{metric}"\n'
        'source = "the tests"\nlicence = "none"\n'
    )
    return path


def ended(*arguments: str) -> BaseException | None:
    return CliRunner().invoke(app, arguments).exception


def evaluated(folder: Path, *more: str) -> BaseException | None:
    task, output = str(folder / "task.toml"), str(folder / "run")
    return ended("eval", "--task", task, "--model", "embedded", "-o", output, *more)


@pytest.mark.parametrize("methods", ["vispa", "vanilla,vispa", "echo,vispa:probe", "vispa+nli"])
@pytest.mark.parametrize(("mode", "fault", "message"), FAULTS)
def test_eval_refuses_an_item_before_it_loads(
    tmp_path: Path, mode: str, fault: dict[str, Any], message: str, methods: str
) -> None:
    write_items(tmp_path, fault, mode)
    error = evaluated(tmp_path, "--methods", methods)
    assert isinstance(error, InputError) and str(error).startswith(f"item 'bad': {message}"), repr(error)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("more", [("--methods", "vanilla,prompting"), ("--methods", "vispa", "--limit", "2")])
def test_eval_refuses_no_item_that_the_pipeline_is_not_asked(tmp_path: Path, more: tuple[str, ...]) -> None:
    write_items(tmp_path, FAULTS[0][1], "distributional")
    assert isinstance(evaluated(tmp_path, *more), LoadedError)


@pytest.mark.parametrize(("mode", "fault", "message"), FAULTS)
def test_a_batch_refuses_an_item_before_it_asks_a_server(
    tmp_path: Path, mode: str, fault: dict[str, Any], message: str
) -> None:
    path = write_items(tmp_path, fault, mode)
    command = ("batch", str(path), "-o", str(tmp_path / "out.jsonl"), "--mode", mode)
    for where in (("--server", "http://127.0.0.1:9"), ("--model", "embedded")):
        error = ended(*command, *where)
        assert isinstance(error, InputError) and str(error).startswith(f"item 'bad': {message}"), repr(error)


def test_a_server_may_know_other_values(tmp_path: Path) -> None:
    path = write_items(tmp_path, {}, "distributional")
    command = ("batch", str(path), "-o", str(tmp_path / "out.jsonl"), "--server", "http://127.0.0.1:9")
    for own in (("--values", "patience"), ("--k", "1000")):
        assert "cannot be reached" in str(ended(*command, "--mode", "distributional", *own))


def test_a_server_needs_a_target_too(tmp_path: Path) -> None:
    path = tmp_path / "items.txt"
    path.write_text("Lending a boat\n", encoding="utf-8")
    command = ("batch", str(path), "-o", str(tmp_path / "out.jsonl"), "--server", "http://127.0.0.1:9")
    assert str(ended(*command, "--mode", "steerable")).startswith("item 1: toward: is missing")


@pytest.mark.parametrize("command", ["batch", "eval"])
def test_a_weight_of_no_value_is_no_items_fault(tmp_path: Path, command: str) -> None:
    path = write_items(tmp_path, {}, "distributional")
    weights = ("--weights", '{"karmaa": 1}')
    output = str(tmp_path / "out.jsonl")
    error = (
        evaluated(tmp_path, "--methods", "vispa", *weights)
        if command == "eval"
        else ended("batch", str(path), "-o", output, "--model", "embedded", "--mode", "distributional", *weights)
    )
    assert str(error).startswith("value: 'karmaa' is not in the taxonomy")
