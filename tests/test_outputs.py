"""Outputs never destroy what is read or what others wrote; where there is no room, what was there is kept."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from heads import random_unlabelled
from typer.testing import CliRunner

from vispa.cli import mixture as mixture_command
from vispa.cli.main import app
from vispa.errors import InputError, OutputError, VispaError
from vispa.evaluation.runs.folder import FORMAT, RunFolder
from vispa.files.destination import Destination
from vispa.files.drawing import drawing
from vispa.files.writing import check_output, replacing, write_json
from vispa.items.answering import BatchRun, check_batch_output
from vispa.modes.mixture import Mixture
from vispa.selection.adapted import save_adapted
from vispa.selection.head import LinearHead
from vispa.study.tables import check_folder

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")


def call(*arguments: object) -> None:
    """Run a command in this process; what it raises comes through."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- an output that is an input

ROW = {"id": 1, "question": "Feed ducks?", "options": ["yes", "no"], "gold_distribution": [0.5, 0.5]}
INPUTS = {
    "items.jsonl": json.dumps({"id": 1, "text": "Feeding ducks"}) + "\n",
    "survey.json": json.dumps([ROW]),
    "recipe.toml": 'estimator = "probe"\n',
    "prompts.toml": "",
    "weights.json": '{"karma": 1}',
}


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    folder.mkdir()
    for name, text in INPUTS.items():
        (folder / name).write_text(text)
    return folder


def itself(path: Path) -> Path:
    return path


def symbolic(path: Path) -> Path:
    link = path.with_name("symbolic")
    link.symlink_to(path.name)
    return link


def hard(path: Path) -> Path:
    link = path.with_name("hard")
    link.hardlink_to(path)
    return link


def roundabout(path: Path) -> Path:
    return path.parent / ".." / path.parent.name / path.name


WAYS = [itself, symbolic, hard, roundabout]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["items.jsonl", "recipe.toml", "prompts.toml", "weights.json"])
def test_batch_does_not_write_over_what_it_reads(inputs: Path, name: str, way: Callable[[Path], Path]) -> None:
    output = way(inputs / name)
    before = contents(inputs)
    given = ("--recipe", inputs / "recipe.toml", "--prompts", inputs / "prompts.toml")
    given = (*given, "--mode", "distributional", "--options", "a|b", "--weights", inputs / "weights.json")
    for more in ((), ("--overwrite",)):
        with pytest.raises(InputError, match=r"is read by this command .*Name another file"):
            call("batch", inputs / "items.jsonl", "-o", output, *given, *more)
    assert contents(inputs) == before


@pytest.mark.parametrize("suffix", [".settings.json", ".lock", ".retried"])
def test_files_beside_an_output_are_no_inputs_either(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"out.jsonl{suffix}"
    source.write_text("Feeding ducks\n")
    with pytest.raises(InputError, match="is read by this command"):
        call("batch", source, "-o", tmp_path / "out.jsonl", "--overwrite")
    assert contents(tmp_path) == {source.name: b"Feeding ducks\n"}


@pytest.mark.parametrize("way", WAYS)
def test_mixture_does_not_write_over_its_survey(inputs: Path, way: Callable[[Path], Path]) -> None:
    output = way(inputs / "survey.json")
    before = contents(inputs)
    with pytest.raises(InputError, match="is read by this command"):
        call("mixture", inputs / "survey.json", "-o", output)
    assert contents(inputs) == before


PLAIN = ['{"accuracy": 0.93, "f1": 0.88}', '{"karma": 1}', '{"format": 1, "karma": 2}']


@pytest.mark.parametrize("text", ["precious\n", "[1, 2]", '{"title": "notes"}', "{", "\x00\x01", *PLAIN])
def test_mixture_replaces_mixtures_only(inputs: Path, text: str) -> None:
    output = inputs / "notes.json"
    output.write_text(text)
    with pytest.raises(InputError, match="is there already, and is no mixture"):
        call("mixture", inputs / "survey.json", "-o", output)
    assert output.read_text() == text
    Mixture("fitted", {"karma": 1.0}).save(output)
    mixture_command._check_output(output, (inputs / "survey.json",))


# ---------------------------------------------------------------- an output that is no ordinary file


@pytest.fixture
def special(tmp_path: Path) -> dict[str, Path]:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("pipe")
    return {name: tmp_path / name for name in ("pipe", "folder", "link")} | {"device": Path("/dev/null")}


@pytest.mark.parametrize("name", ["pipe", "folder", "link", "device"])
def test_what_is_no_ordinary_file_is_neither_written_nor_replaced(
    inputs: Path, special: dict[str, Path], name: str
) -> None:
    output = special[name]
    before = output.stat()
    for refused in (
        lambda: call("batch", inputs / "items.jsonl", "-o", output, "--overwrite"),
        lambda: call("mixture", inputs / "survey.json", "-o", output),
        lambda: write_json(output, {}),
        lambda: Destination(output, "output").locked().__enter__(),
    ):
        with pytest.raises(InputError, match=r"is (a folder|no ordinary file)\. Name a file"):
            refused()
    assert os.path.samestat(output.stat(), before) and output.stat().st_mode == before.st_mode


@pytest.mark.parametrize(
    "output", ["", ".", "..", "/", "//", "folder", "folder/", "folder/.", "none/..", "none/../folder"]
)
def test_folders_of_any_name_are_no_output(
    inputs: Path, output: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (inputs / "folder").mkdir()
    monkeypatch.chdir(inputs)
    before = contents(tmp_path)
    for refused in (
        lambda: call("batch", "items.jsonl", "-o", output),
        lambda: call("mixture", "survey.json", "-o", output),
        lambda: check_batch_output(Path(output), ()),
        lambda: BatchRun([], Path(output), {}),
        lambda: Destination(Path(output), "output").locked().__enter__(),
    ):
        with pytest.raises(InputError, match=r"is a folder\. Name a file"):
            refused()
    assert contents(tmp_path) == before


@needs_full
@pytest.mark.parametrize("output", ["/dev/full", "/dev/stdout"])
def test_devices_are_refused_at_once(inputs: Path, output: str) -> None:
    command = [sys.executable, "-m", "vispa", "batch", str(inputs / "items.jsonl"), "-o", output]
    with (inputs / "printed").open("wb") as printed:
        found = subprocess.run(command, stdout=printed, stderr=subprocess.PIPE, timeout=60, check=False)
    assert found.returncode == 2 and b"Name a" in found.stderr
    assert (inputs / "printed").read_bytes() == b"" and not Path(f"{output}.lock").exists()


def test_a_link_is_kept_and_what_it_leads_to_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link.json").symlink_to("far/real.json")
    for number in range(2):
        write_json(tmp_path / "link.json", number)
        assert (tmp_path / "link.json").is_symlink() and json.loads(
            (tmp_path / "far" / "real.json").read_text()
        ) == number
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["real.json"]


# ---------------------------------------------------------------- folders of others


FOREIGN = {
    "a model": {"config.json": '{"model_type": "llama"}', "model.safetensors": "weights"},
    "records of another kind": {"records/echo.jsonl": "precious\n", "notes.txt": "mine"},
    "settings of another program": {"config.json": "{}", "environment.json": "{}", "scores.json": "[]"},
    "no JSON": {"config.json": "name = 1"},
    "a report": {"report.html": "<p>"},
    "a run in a folder": {"first/config.json": json.dumps({"format": FORMAT})},
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_is_begun_in_no_folder_of_others(tmp_path: Path, name: str, overwrite: bool) -> None:
    for path, text in FOREIGN[name].items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    before = contents(tmp_path)
    config = {"methods": ["echo"], "method_settings": {"echo": {}}, "task": "t"}
    with pytest.raises(InputError, match=r"which no run wrote\. Choose another folder"):
        RunFolder(tmp_path).begin(config, {"versions": {}}, overwrite=overwrite)
    assert contents(tmp_path) == before


def test_overwriting_a_run_removes_what_the_run_wrote_alone(tmp_path: Path) -> None:
    config = {"methods": ["echo", "other"], "method_settings": {"echo": {}, "other": {}}, "task": "t"}
    folder = RunFolder(tmp_path / "run")
    folder.begin(config, {"versions": {}})
    for name in ("echo", "other"):
        folder.records_path(name).write_text('{"id": 1, "text": "x"}\n')
    mine = {
        "notes.txt": "mine",
        "records/README.jsonl": "not a record\n",
        "records/table.csv": "1",
        "data/scores.json": "[]",
    }
    for path, text in mine.items():
        (folder.path / path).parent.mkdir(exist_ok=True)
        (folder.path / path).write_text(text)
    for name in ("scores.json", "item-scores.jsonl", "report.html"):
        (folder.path / name).write_text("{}")
    folder.begin({**config, "methods": ["echo"]}, {"versions": {}}, overwrite=True)
    expected = {*mine, "config.json", "environment.json"}
    assert set(contents(folder.path)) == expected
    # Settings that cannot be read must not leave older records to new ones.
    folder.records_path("echo").write_text('{"id": 1, "text": "x"}\n')
    (folder.path / "config.json").write_text("{")
    folder.begin(config, {"versions": {}}, overwrite=True)
    assert set(contents(folder.path)) == expected


def test_a_methods_name_is_no_path(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    config = {"methods": ["../../precious"], "method_settings": {}, "task": "t"}
    folder.begin(config, {"versions": {}})
    (tmp_path / "precious.jsonl").write_text("precious\n")
    folder.begin(config, {"versions": {}}, overwrite=True)
    assert (tmp_path / "precious.jsonl").read_text() == "precious\n"
    with pytest.raises(InputError, match="methods"):
        folder.config()


@pytest.mark.parametrize(
    "files",
    [
        {"quality.csv": "precious"},
        {"notes.txt": "precious"},
        {"inspection.json": "[]", "dose.csv": "1"},
        {"inspection.json": '{"date": "today"}'},
    ],
)
def test_a_study_is_written_to_no_folder_of_others(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r"which no study wrote\. Choose another folder"):
        call("inspect", "--output", tmp_path, "--only", "quality", "--figures", "none")
    assert contents(tmp_path) == {name: text.encode() for name, text in files.items()}


def test_a_study_may_be_written_anew(tmp_path: Path) -> None:
    check_folder(tmp_path / "new")
    check_folder(tmp_path)
    (tmp_path / "inspection.json").write_text('{"model_fingerprint": "a", "taxonomy_fingerprint": "b"}')
    (tmp_path / "quality.csv").write_text("")
    check_folder(tmp_path)


# ---------------------------------------------------------------- no room


@contextmanager
def room(size: int) -> Iterator[None]:
    """Files of this process may not grow beyond so many bytes meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def draw(path: Path) -> None:
    pytest.importorskip("matplotlib")
    with drawing(path, 3, 3) as figure:
        figure.add_subplot().plot([1, 2], [3, 4])


def write_adapter(path: Path) -> None:
    head = LinearHead(("a",), np.ones((1, 4000), "f4"), np.ones(1, "f4"), random_unlabelled(1, 4000))
    save_adapted(path, {}, head, head, {})


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.json": lambda path: write_json(path, list(range(5000))),
    "mixture.json": lambda path: Mixture("given", {f"v{n}": 1.0 for n in range(500)}).save(path),
    "adapter.safetensors": write_adapter,
    "drawn.svg": draw,
    "drawn.png": draw,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("there", [True, False])
def test_where_there_is_no_room_the_earlier_file_is_kept(tmp_path: Path, name: str, there: bool) -> None:
    path = tmp_path / name
    if there:
        path.write_text("earlier")
    with (
        room(1024),
        pytest.raises(OutputError, match=r"cannot be written \(File too large\)\. What was there before is"),
    ):
        WRITERS[name](path)
    assert contents(tmp_path) == ({name: b"earlier"} if there else {})
    WRITERS[name](path)
    assert path.stat().st_size > 1024


def test_faults_that_are_none_of_the_disk_come_through(tmp_path: Path) -> None:
    for fault in (ZeroDivisionError("x"), VispaError("holds (os error 28) as text"), InputError("a", "b", "c")):
        with pytest.raises(type(fault)) as caught, replacing(tmp_path / "a"):
            raise fault
        assert caught.value is fault
    assert contents(tmp_path) == {}


def test_a_place_that_cannot_be_written_is_the_callers_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "below", Path("/proc/none/out.json"), tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match=r"cannot be written \(.*\)\. Choose a"):
            write_json(path, {})
    check_output(tmp_path / "new" / "file")
