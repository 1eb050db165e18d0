"""What commands refuse before anything loads, in words that say what was meant, and the notes that they give."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from typer.testing import CliRunner

from vispa import cli
from vispa.cli.console import resumable_bars
from vispa.cli.defaults import unknown_variables
from vispa.cli.main import app
from vispa.cli.selected import note_below
from vispa.cli.setup import Setup
from vispa.errors import InputError, ModelError
from vispa.evaluation.method_names import METHOD_NAMES
from vispa.evaluation.methods import METHODS
from vispa.files.reading import parse_json, read_json
from vispa.items.reading import read_items
from vispa.models.pretrained import Checkpoint
from vispa.models.sources.named import find_named, resembling
from vispa.models.threads import check_threads
from vispa.modes.overton.lead import lead
from vispa.request import texts

TEXT = "Lending my neighbour a saw"
CORES = os.cpu_count() or 1


class Loaded(Exception):
    """Ends a command where it would load a model."""


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with a file of texts and a survey, in which commands run; a model is never loaded."""

    def load(*_: object, **__: object) -> None:
        raise Loaded

    monkeypatch.setattr(Setup, "load", load)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text(f"{TEXT}\n")
    survey = [{"text": f"{TEXT} {n}", "options": ["A", "B"], "gold_distribution": [0.5, 0.5]} for n in range(6)]
    (tmp_path / "survey.json").write_text(json.dumps(survey))
    return tmp_path


def ended(*arguments: str) -> BaseException:
    """What a command ends with."""
    found = CliRunner().invoke(app, arguments).exception
    assert found is not None, arguments
    return found


def refused(*arguments: str) -> str:
    """The words with which a command refuses its input."""
    found = ended(*arguments)
    assert isinstance(found, InputError), repr(found)
    return str(found)


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    "command",
    [
        ("batch", "texts.txt"),
        ("mixture", "survey.json"),
        ("eval", "--task", "domains/law", "--methods", "echo"),
        ("inspect", "embedded"),
        ("tune", "embedded"),
    ],
)
@pytest.mark.parametrize("output", ["-", "./-"])
def test_no_output_is_called_as_a_stream(command: tuple[str, ...], output: str, place: Path) -> None:
    before = sorted(place.iterdir())
    assert "stands for standard output" in refused(*command, "-o", output)
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize("threads", [0, -1, CORES + 1, 10_000])
@pytest.mark.parametrize("command", [("respond", TEXT), ("batch", "texts.txt", "-o", "out.jsonl"), ("fit", "embedded")])
def test_threads_that_no_processor_has(command: tuple[str, ...], threads: int) -> None:
    assert refused(*command, "--threads", str(threads)).startswith(
        f"--threads: is {threads}. Give a whole number from 1"
    )


def test_workers_elsewhere_may_have_more_cores() -> None:
    many = ("--threads", str(CORES + 1))
    assert "--threads" in refused("batch", "texts.txt", "-o", "out.jsonl", *many)
    over_ray = str(ended("batch", "texts.txt", "-o", "out.jsonl", "--ray", "nowhere:1", *many))
    assert "--threads" not in over_ray
    check_threads(CORES)
    check_threads(None)


@pytest.mark.parametrize(
    "command",
    [
        ("respond", TEXT),
        ("respond", TEXT, "--temperature", "0"),
        ("batch", "texts.txt", "-o", "out.jsonl"),
        ("eval", "--task", "domains/law", "-o", "run"),
        ("respond", TEXT, "--server", "http://127.0.0.1:9"),
    ],
)
@pytest.mark.parametrize("option", ["--seed", "--top-p"])
def test_what_greedy_texts_do_not_heed_is_refused(command: tuple[str, ...], option: str) -> None:
    assert refused(*command, option, "1").startswith(f"{option}: has no effect at --temperature 0")


@pytest.mark.parametrize(
    "command",
    [
        ("respond", TEXT, "--temperature", "0.5", "--seed", "1"),
        ("batch", "texts.txt", "-o", "out.jsonl", "--temperature", "0.5", "--seed", "1"),
        ("mixture", "survey.json", "-o", "mixture.json", "--folds", "2", "--seed", "1"),
    ],
)
def test_a_seed_with_effect_is_taken(command: tuple[str, ...]) -> None:
    assert isinstance(ended(*command), Loaded)


@pytest.mark.parametrize(
    ("option", "given", "words"),
    [
        ("--recipe", "publishd", ("tuned", "published", "portable", "TOML file")),
        ("--recipe", "nowhere/steer.toml", ("tuned", "published", "portable", "TOML file")),
        ("--weights", "meen", ("mean", "relevance", "JSON file")),
        ("--weights", "nowhere/mixture.json", ("mean", "relevance", "JSON file")),
    ],
)
def test_a_word_that_is_none_is_told_the_words(option: str, given: str, words: tuple[str, ...]) -> None:
    said = refused("respond", TEXT, "--mode", "distributional", option, given)
    assert said.startswith(f"{option}: is {given!r}, and there is no such file.")
    assert all(word in said for word in words)


@pytest.mark.parametrize("given", ["A", "Yes or no", "Yes,No"])
def test_an_option_alone_is_no_question(given: str) -> None:
    assert "Write | between them" in refused("respond", TEXT, "--mode", "distributional", "--options", given)
    with pytest.raises(InputError, match=r"Write \| between them"):
        texts(given, "|", "options")


@pytest.mark.parametrize("prompts", ['coment = "{text}"', 'comment = "no place"'])
def test_prompts_are_checked_with_the_options(prompts: str, place: Path) -> None:
    (place / "prompts.toml").write_text(prompts)
    assert "prompts.toml field com" in refused("respond", TEXT, "--prompts", "prompts.toml")


@pytest.mark.parametrize("task", ["vital/overton", "modplural/moralchoice"])
def test_the_folder_of_data_is_called_as_its_option(task: str) -> None:
    assert refused("eval", "--task", task, "-o", "run").startswith(f"--data: is needed for {task}.")


@pytest.mark.parametrize("command", ["select", "respond"])
@pytest.mark.parametrize("text", [TEXT, "Ich habe meinem Nachbarn gestern die Säge nicht zurückgegeben"])
def test_advice_on_languages_is_whole(command: str, text: str) -> None:
    said = refused(command, text, *(("--language", "de") if text == TEXT else ()))
    assert "--selector-model NAME" in said and "name the values where they can be" in said


# ---------------------------------------------------------------- before anything loads

_IMPORTS = """
import sys
from vispa.cli import main
code = main._run()
print(sorted({'torch', 'transformers'} & set(sys.modules)), code)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("eval", "--task", "domains/law", "-o", "run", "--methods", "foo"),
        ("eval", "--task", "nope", "-o", "run"),
        ("eval", "--task", "vital/overton", "-o", "run"),
        ("serve", "--keys-file", "texts.txt"),
        ("serve", "--cors-origin", "nowhere"),
        ("respond", TEXT, "--prompts", "texts.txt"),
        ("respond", TEXT, "--threads", "0"),
        ("respond", TEXT, "--model", "SmolLM2"),
        ("batch", "texts.txt", "-o", "begun.jsonl", "--k", "3"),
    ],
)
def test_what_needs_no_model_is_refused_without_one(arguments: tuple[str, ...], place: Path) -> None:
    (place / "begun.jsonl").write_text('{"id": 1, "values": []}\n')
    (place / "begun.jsonl.settings.json").write_text('{"k": "2"}')
    found = subprocess.run([sys.executable, "-c", _IMPORTS, *arguments], capture_output=True, text=True, check=False)
    assert found.stdout == "[] 2\n", found.stderr


def test_every_method_is_known_by_its_name() -> None:
    assert tuple(METHODS) == METHOD_NAMES


# ---------------------------------------------------------------- models


@pytest.mark.parametrize(
    ("given", "meant"),
    [("SmolLM2", "smollm2"), ("smol_lm-2", "smollm2"), ("Embedded", "embedded"), ("GEMMA3 270M", "gemma3-270m")],
)
def test_a_name_in_other_letters_is_not_looked_for_elsewhere(given: str, meant: str) -> None:
    with pytest.raises(ModelError, match=f"Did you mean {meant}"):
        find_named(given)
    assert f"Did you mean {meant}?" in refused("respond", TEXT, "--model", given)


@pytest.mark.parametrize("name", ["gpt2", "lab/SmolLM2", "./SmolLM2", "x" * 5000, "MPNet"])
def test_other_names_may_be_on_the_hub(name: str) -> None:
    assert find_named(name) is None


def test_a_folder_may_be_called_nearly_as_a_model(place: Path) -> None:
    (place / "SmolLM2").mkdir()
    assert find_named("SmolLM2") is None


@pytest.mark.parametrize(
    ("given", "advice"), [("smolm2", "Did you mean smollm2? "), ("gpt2", ""), ("lab/smollm2", ""), ("mpnett", "")]
)
def test_names_that_resemble_one_are_told(given: str, advice: str) -> None:
    assert resembling(given) == advice


@pytest.mark.parametrize("error", [OSError("no way there"), TimeoutError("too late"), RuntimeError("of a library")])
@pytest.mark.parametrize("kept", [None, "/kept/config.json"])
def test_a_hub_that_cannot_be_reached_is_asked_once(
    error: Exception, kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(url: str) -> None:
        asked.append(url)
        raise error

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", ask)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: kept)
    checkpoint = Checkpoint("lab/model", "lab/model", advice="Name another.")
    if kept is not None:
        assert checkpoint._on_hub() == {"local_files_only": True}
    else:
        with pytest.raises(
            ModelError, match=rf"lab/model is no folder here, and the hub cannot be reached \({error}\)"
        ):
            checkpoint.read(None, lambda config: None)
    assert len(asked) == 1


def test_a_folder_is_looked_for_on_no_hub(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url: pytest.fail(url))
    assert Checkpoint("a", str(place))._on_hub() == {}
    assert Checkpoint("lab/model", "lab/model", {"local_files_only": True})._on_hub() == {}


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("text", ["", "\n", " \t\r\n"])
def test_an_empty_file_is_called_empty(text: str, place: Path) -> None:
    for name, read in (("items.json", read_items), ("object.json", lambda path: read_json(path, "settings"))):
        (place / name).write_text(text)
        with pytest.raises(InputError, match=f"{name}: is empty"):
            read(place / name)
    with pytest.raises(InputError, match="--api-parameters: is empty"):
        parse_json(text, "--api-parameters")


@pytest.mark.parametrize("text", ["[]", "These are no vectors.", "ä" * 9, '{"a": 1}\n'])
@pytest.mark.parametrize("command", [("show",), ("export",), ("import",), ("remove", "--yes")])
def test_text_is_no_damaged_bank(command: tuple[str, ...], text: str, place: Path) -> None:
    (place / "texts.json").write_text(text)
    more = ("vectors.safetensors",) if command == ("export",) else ()
    said = refused("bank", command[0], "texts.json", *more, *command[1:])
    assert "is no vector bank, but text" in said and "--force" not in said


@pytest.mark.parametrize("command", [("data",), ("data", "--json"), ("data", "--task", "domains/law")])
def test_what_ships_is_listed_without_a_folder(command: tuple[str, ...]) -> None:
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0 and "domains/law" in found.stdout
    if "--json" in command:
        rows = {row["task"]: row for row in json.loads(found.stdout)}
        assert rows["domains/law"]["problem"] is None and "needs a folder" in rows["vital/overton"]["problem"]


@pytest.mark.parametrize("folder", [(), (".",)])
def test_a_task_without_its_file_is_missing_once(folder: tuple[str, ...]) -> None:
    said = CliRunner().invoke(app, ["data", *folder, "--task", "vital/overton"]).stdout
    assert said.count("missing") == len(folder) and "Get it from https://" in said


# ---------------------------------------------------------------- notes and sentences


def test_notes_say_whose_they_are() -> None:
    folder = Path(cli.__path__[0])
    for path in folder.rglob("*.py"):
        for call in re.finditer(r"(?<!def )\bprint_note\(\s*(.{12})", path.read_text(encoding="utf-8")):
            assert re.match('f?"vispa: ', call[1]), f"{path}: {call[0]}"


@pytest.mark.parametrize(
    ("threshold", "scores", "note"),
    [
        (0.0, [[0.4]], ""),
        (0.4, [[0.4, 0.41]], ""),
        (0.5, [[0.4]], "no value reaches --threshold 0.5; the most relevant one, at 0.400, stays all the same"),
        (0.5, [[0.4], [0.6], [0.1]], "for 2 of 3 texts no value reaches --threshold 0.5; the most relevant one stays"),
        (0.5, [], ""),
        (0.5, [[]], ""),
    ],
)
def test_a_threshold_that_no_value_reaches_is_said(
    threshold: float, scores: list[list[float]], note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    note_below(threshold, [[SimpleNamespace(score=score) for score in row] for row in scores])
    said = capsys.readouterr().err
    assert (f"vispa: {note}" in said) if note else not said


def test_selecting_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    found = CliRunner().invoke(app, ["select", TEXT, "--threshold", "1"])
    assert found.exit_code == 0 and "no value reaches --threshold 1" in found.stderr
    assert "always stays" in " ".join(
        CliRunner(env={"COLUMNS": "200"}).invoke(app, ["select", "--help"]).output.split()
    )


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("VISPA_RECIPES", "Did you mean VISPA_RECIPE?"),
        ("VISPA_MODELL", "Did you mean VISPA_MODEL?"),
        ("VISPA_APIKEY", "Did you mean VISPA_API_KEY?"),
        ("VISPA_CASHE", "Did you mean VISPA_CACHE?"),
        ("VISPA_SEED", "Say it on the command line, as --seed."),
        ("VISPA_TOP_P", "Say it on the command line, as --top-p."),
        *((name, None) for name in ("VISPA_CACHE", "VISPA_CONFIG", "VISPA_DEBUG", "VISPA_K", "VISPA_API_KEY")),
        *((name, None) for name in ("VISPA_API_KEYS", "VISPA_VLLM", "VISPA_BANK", "VISPA_TEST_VLLM", "VISPA_HOUSE_OF")),
        *((name, None) for name in ("VISPA_PORT", "VISPA_SERVICE_HOST", "VISPA_PORT_8000_TCP", "VISPA_URL")),
    ],
)
def test_variables_that_say_nothing_are_told(name: str, advice: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in [other for other in os.environ if other.startswith("VISPA_")]:
        monkeypatch.delenv(other)
    monkeypatch.setenv(name, "1")
    assert unknown_variables() == ({} if advice is None else {name: advice})
    monkeypatch.setenv("VISPA_CONFIG", "")
    monkeypatch.setenv(name, "")
    assert unknown_variables() == {}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("VISPA_K", "many", "auto or a whole number from 1"),
        ("VISPA_K", "1.5", "auto or a whole number from 1"),
        ("VISPA_K", "0", "auto or a whole number from 1"),
        ("VISPA_LANGUAGE", "Deutsch", "a code such as en"),
    ],
)
def test_variables_are_refused_in_whole_words(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    said = refused("values")
    assert name in said and repr(value) in said and words in said and "pattern" not in said


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("calm", "candor"), "The values agree: calm and candor both see two sides."),
        (("calm", "candor", "thrift"), "The values agree: calm, candor and thrift all see two sides."),
        (("calm",), "Calm sees two sides."),
    ],
)
def test_two_values_are_both(names: tuple[str, ...], sentence: str) -> None:
    assert lead(names, ["either"] * len(names)) == sentence


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((), ""),
        ((0,), ""),
        ((32,), "vispa: 32 of 600 items are done; repeat the command to go on."),
        ((64, 600), "vispa: 600 of 600 items"),
    ],
)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_command_says_how_far_it_came(
    counts: tuple[int, ...], said: str, error: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    def work(progress: Callable[[str, int, int], Any]) -> None:
        progress("loading", 100, 100)
        for count in counts:
            progress("answering", count, 600)
        raise error

    with pytest.raises(error), resumable_bars(("answering",), 600, overwrite=False) as progress:
        work(progress)
    noted = capsys.readouterr().err
    assert noted.startswith(said) if said and error is KeyboardInterrupt else not noted
