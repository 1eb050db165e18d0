"""Files of a run that are read again: settings, records, scores and checks; damaged ones are named by field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vispa.errors import InputError
from vispa.evaluation.comparison import compare_runs
from vispa.evaluation.report import report_folder
from vispa.evaluation.runs.folder import RunFolder
from vispa.evaluation.runs.run import read_run
from vispa.evaluation.score_files import load_scores
from vispa.evaluation.scoring import score_folder

TASK = """
name = "own/goats"
file = "goats.jsonl"
mode = "distributional"
metric = "distribution"
source = "us"
licence = "CC0-1.0"
options = ["Yes", "No"]
"""
_REMEDY = "Score the run anew|Give a finite number"
CONFIG = {"format": "vispa-run-1", "methods": ["letters"], "limit": None, "seed": 0}


@pytest.fixture()
def run(tmp_path: Path) -> Path:
    """The folder of a scored run of two items."""
    (tmp_path / "task.toml").write_text(TASK)
    items = [{"id": n, "text": f"May goats climb {n}?", "gold_distribution": [0.5, 0.5]} for n in (1, 2)]
    (tmp_path / "goats.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    folder = tmp_path / "run"
    (folder / "records").mkdir(parents=True)
    config = {**CONFIG, "task": str(tmp_path / "task.toml"), "folder": str(tmp_path)}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "environment.json").write_text(json.dumps({"versions": {}}))
    records = [{"id": n, "text": "a\u0000b", "answer": "A", "distribution": [0.75, 0.25]} for n in (1, 2)]
    (folder / "records" / "letters.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    score_folder(folder)
    return folder


@pytest.mark.parametrize("place", ["moved", "moved/deeper"])
def test_a_run_is_read_where_its_task_has_moved(run: Path, tmp_path: Path, place: str) -> None:
    earlier, there = read_run(run), tmp_path / place
    there.mkdir(parents=True)
    for name in ("task.toml", "goats.jsonl"):
        (tmp_path / name).rename(there / name)
    remedy = r"Give the folder that holds task\.toml now \(--data\)"
    for data in (None, tmp_path):
        with pytest.raises(InputError, match=rf"run: is of a task whose definition is no longer there .*{remedy}"):
            read_run(run, data)
    found = read_run(run, there)
    assert (found.items, found.records, found.items_digest) == (earlier.items, earlier.records, earlier.items_digest)
    assert compare_runs(run, run, data=there).items == 2


def changed(path: Path, change: Callable[[Any], object]) -> None:
    """Change what a JSON file, or the first line of a JSON Lines file, holds."""
    first, *rest = path.read_text().splitlines(True) if path.suffix == ".jsonl" else [path.read_text()]
    data = json.loads(first)
    change(data)
    path.write_text("".join([json.dumps(data) + "\n", *rest]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": 5}, "field task: is 5"),
        ({"task": ""}, "field task: is empty"),
        ({"methods": "letters"}, "field methods: is 'letters'"),
        ({"methods": []}, "field methods: is empty"),
        ({"methods": ["letters", "../../config"]}, r"field methods\[1\]: is '../../config'"),
        ({"methods": [3]}, r"field methods\[0\]: is 3"),
        ({"limit": "two"}, "field limit: is 'two'"),
        ({"limit": 0}, "field limit: is 0"),
        ({"limit": -1}, "field limit: is -1"),
        ({"folder": ["a"]}, r"field folder: is \['a'\]"),
        ({"method_settings": {"letters": 1}}, r"field method_settings\.letters: is 1"),
        ({"seed": float("inf")}, "field seed: is no finite number"),
    ],
)
def test_damaged_settings_of_a_run_are_named(run: Path, change: dict[str, object], message: str) -> None:
    changed(run / "config.json", lambda data: data.update(change))
    with pytest.raises(InputError, match=rf"config\.json {message}"):
        read_run(run)
    with pytest.raises(InputError, match=rf"config\.json {message}"):
        RunFolder(run).begin({"methods": ["letters"], "method_settings": {}}, {"versions": {}})


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"a": ' * 100_000, '{"format": "\\ud800"}', "\0"])
def test_settings_that_are_no_object_are_refused(run: Path, content: str) -> None:
    (run / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json"):
        read_run(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distribution": [float("nan"), 1]}, r"field distribution\[0\]: is nan"),
        ({"distribution": [0.5, "0.5"]}, r"field distribution\[1\]: is '0.5'"),
        ({"tokens": "many"}, "field tokens: is 'many'"),
        ({"tokens": True}, "field tokens: is True"),
        ({"id": None}, "field id: is None"),
        ({"comments": [{"value": None}]}, r"field comments\[0\]\.text: is missing"),
        ({"stance": "for"}, "field stance: is unknown"),
    ],
)
def test_damaged_records_are_named(run: Path, change: dict[str, object], message: str) -> None:
    changed(run / "records" / "letters.jsonl", lambda data: data.update(change))
    with pytest.raises(InputError, match=rf"letters\.jsonl line 1 {message}.*Run it anew"):
        read_run(run)


def test_a_record_keeps_whatever_a_model_wrote(run: Path) -> None:
    assert read_run(run).records["letters"][1].text == "a\0b"


def figure(data: Any) -> Any:
    return data["methods"]["letters"]["figures"]["jensen_shannon"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: figure(data).update(estimate=float("nan")), "jensen_shannon.estimate: is no finite number"),
        (lambda data: figure(data).update(low="0"), "jensen_shannon.low: is '0'"),
        (lambda data: figure(data).pop("n"), "jensen_shannon.n: is missing"),
        (lambda data: data.update(items=1.5), "field items: is 1.5"),
        (lambda data: data.update(metrics={}), "field metrics: is unknown"),
    ],
)
def test_damaged_scores_are_named_wherever_they_are_read(
    run: Path, change: Callable[[Any], object], message: str
) -> None:
    changed(run / "scores.json", change)
    for read in (lambda: load_scores(read_run(run)), lambda: compare_runs(run, run), lambda: report_folder(run)):
        with pytest.raises(InputError, match=rf"scores\.json.*{message}.*({_REMEDY})"):
            read()


@pytest.mark.parametrize("content", ["{}", "[1]", '[{"method": "letters"}]', "[", "[NaN]"])
def test_damaged_checks_are_named(run: Path, content: str) -> None:
    pytest.importorskip("matplotlib")
    (run / "signatures.json").write_text(content)
    with pytest.raises(InputError, match=r"signatures\.json"):
        report_folder(run)
