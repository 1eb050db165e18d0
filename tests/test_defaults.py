"""Defaults of options: option before environment before file before what is built in; `vispa config` shows them."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vispa.cli.defaults import KEYS, defaults
from vispa.cli.main import app
from vispa.cli.options import Decoding, Loading, Reading, Selecting, Steering
from vispa.cli.setup import Setup
from vispa.errors import InputError


class Loaded(Exception):
    """Ends a command where it would load a model; holds its setup."""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No default of the machine's own; the path that VISPA_CONFIG names, where no file is yet."""
    for name in [name for name in os.environ if name.startswith("VISPA_")]:
        monkeypatch.delenv(name)
    # Whatever a command sets is undone.
    monkeypatch.setenv("VISPA_CACHE", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return tmp_path / "vispa.toml"


@pytest.fixture
def write(environment: Path, monkeypatch: pytest.MonkeyPatch):
    def write(text: str) -> Path:
        environment.write_text(text, encoding="utf-8")
        monkeypatch.setenv("VISPA_CONFIG", str(environment))
        return environment

    return write


def setup_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Setup:
    def load(self: Setup, *_: Any, **__: Any) -> None:
        raise Loaded(self)

    monkeypatch.setattr(Setup, "load", load)
    result = CliRunner().invoke(app, arguments)
    if not isinstance(result.exception, Loaded):
        raise result.exception or AssertionError(result.output)
    return result.exception.args[0]


def shown(setup: Setup) -> tuple[str, str | None, int]:
    return setup.loading.model, setup.selecting.k, setup.decoding.max_new_tokens


def test_option_before_environment_before_file_before_built_in(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("respond", "Feeding ducks")
    assert setup_of(monkeypatch, *command) == Setup()
    write('model = "of/file"\nk = 3\nmax_new_tokens = 50\n')
    found = setup_of(monkeypatch, *command)
    assert shown(found) == ("of/file", "3", 50) and found.loading.dtype == "auto"
    monkeypatch.setenv("VISPA_MODEL", "of/environment")
    monkeypatch.setenv("VISPA_MAX_NEW_TOKENS", "60")
    found = setup_of(monkeypatch, *command)
    assert shown(found) == ("of/environment", "3", 60)
    found = setup_of(monkeypatch, *command, "--model", "of/option", "--k", "2")
    assert shown(found) == ("of/option", "2", 60)


def test_every_key_reaches_the_command(write: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "steer.toml").write_text("amount = 0.8\n")
    path = write(
        'model = "a/b"\ncache = "kept"\npolarity = "paper"\nrecipe = "steer.toml"\nselector = "nli"\n'
        'selector_model = "c/d"\nk = "auto"\nmax_new_tokens = 5\naggregator = "api:e"\n'
        'api_url = "http://localhost:9"\napi_key_variable = ""\ndtype = "float16"\ndevice = "cpu"\n'
        "api_timeout = 7\napi_parameters = {top_k = 3}\n"
    )
    found = setup_of(monkeypatch, "respond", "Feeding ducks")
    assert found == Setup(
        Selecting(k="auto", selector="nli", selector_model="c/d"),
        Loading("a/b", dtype="float16", device="cpu"),
        Steering("paper", str(path.parent / "steer.toml")),
        Reading(
            "api:e", api_url="http://localhost:9", api_key_variable="", api_timeout=7, api_parameters='{"top_k": 3}'
        ),
        Decoding(max_new_tokens=5),
    )
    assert os.environ["VISPA_CACHE"] == str(path.parent / "kept")
    assert defaults().keys() == set(KEYS)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("./mine", "{file}/mine"),
        ("../mine/model.gguf", "{file}/../mine/model.gguf"),
        (".hidden/model", "{file}/.hidden/model"),
        ("/models/mine", "/models/mine"),
        ("~/mine", "{home}/mine"),
        ("of/hub", "of/hub"),
        ("smollm2", "smollm2"),
        ("api:./mine", "api:./mine"),
    ],
)
@pytest.mark.parametrize("key", ["model", "selector_model", "aggregator"])
def test_paths_of_models_are_meant_from_the_files_folder(
    key: str, given: str, meant: str, write: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = write(f"{key} = {json.dumps(given)}\n")
    assert defaults()[key].value == meant.format(file=path.parent, home=tmp_path / "home")
    # In the environment a path is meant from where the command runs.
    monkeypatch.setenv(f"VISPA_{key.upper()}", "./other")
    assert defaults()[key].value == "./other"


@pytest.mark.parametrize("key", ["model", "selector_model", "aggregator", "taxonomy", "recipe", "cache"])
def test_a_home_that_nobody_knows_is_refused(key: str, write: Any) -> None:
    path = write(f'{key} = "~nobody-of-that-name/mine"\n')
    with pytest.raises(InputError, match=f"{path}: {key} is '~nobody-of-that-name/mine'.* Write the whole path"):
        defaults()


def test_the_users_own_file_is_read_without_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_config_dir", lambda name: str(tmp_path / name))
    assert setup_of(monkeypatch, "respond", "Feeding ducks").loading.model == "smollm2"
    (tmp_path / "vispa").mkdir()
    (tmp_path / "vispa" / "config.toml").write_text('model = "my/own"')
    assert setup_of(monkeypatch, "respond", "Feeding ducks").loading.model == "my/own"


def test_defaults_may_idle_in_a_call(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write('aggregator = "extractive"\napi_url = "http://localhost:9"\nk = 3\n')
    found = setup_of(monkeypatch, "respond", "Feeding ducks", "--values", "karma")
    assert found.reading.api_url == "http://localhost:9"
    with pytest.raises(InputError, match="--api-url: has no effect"):
        setup_of(monkeypatch, "respond", "Feeding ducks", "--api-url", "http://localhost:9")


def test_other_commands_take_what_is_theirs(write: Any) -> None:
    write('taxonomy = "nowhere"\n')
    result = CliRunner().invoke(app, ["values"])
    assert isinstance(result.exception, InputError) and "nowhere" in str(result.exception)
    # `bank` names banks and models itself.
    assert CliRunner().invoke(app, ["bank", "list"]).exit_code == 0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('modle = "x"', ("modle", "unknown", "model")),
        ("model = 3", ("model", "a text")),
        ('model = ""', ("model",)),
        ('max_new_tokens = "9"', ("max_new_tokens", "a whole number")),
        ("max_new_tokens = 0", ("max_new_tokens",)),
        ("k = 0", ("field k",)),
        ('k = "many"', ("field k",)),
        ("k = true", ("field k",)),
        ('polarity = "both"', ("polarity", "paper")),
        ('[api]\nurl = "x"', ("api", "unknown")),
        ("api_timeout = 0", ("api_timeout",)),
        ('api_timeout = "3"', ("api_timeout",)),
        ("api_parameters = 3", ("api_parameters",)),
        ("model = ", ("is not valid TOML",)),
    ],
)
def test_files_that_cannot_be_are_refused(write: Any, text: str, parts: tuple[str, ...]) -> None:
    path = write(text)
    for command in (["config"], ["values"], ["config", "--json"]):
        found = CliRunner().invoke(app, command).exception
        assert isinstance(found, InputError)
        assert all(part in str(found) for part in (str(path), *parts)), found


@pytest.mark.parametrize(
    ("name", "value"),
    [("VISPA_MAX_NEW_TOKENS", "some"), ("VISPA_K", "0"), ("VISPA_POLARITY", "x"), ("VISPA_API_TIMEOUT", "soon")],
)
def test_variables_that_cannot_be_are_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=name):
        defaults()


def test_a_named_file_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VISPA_CONFIG", str(tmp_path / "none.toml"))
    found = CliRunner().invoke(app, ["config"]).exception
    assert isinstance(found, InputError) and "none.toml" in str(found)


def test_config_shows_where_each_value_comes_from(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write('aggregator = "self"\n')
    monkeypatch.setenv("VISPA_DEVICE", "cpu")
    found = json.loads(CliRunner().invoke(app, ["config", "--json"]).output)
    assert (found["file"], found["exists"]) == (str(path), True)
    assert found["defaults"]["aggregator"] == {"value": "self", "origin": "file", "place": str(path)}
    assert found["defaults"]["device"] == {"value": "cpu", "origin": "environment", "place": "VISPA_DEVICE"}
    assert found["defaults"]["model"] == {"value": "smollm2", "origin": "built-in", "place": None}
    lines = {line.split()[0]: line for line in CliRunner().invoke(app, ["config"]).output.splitlines()}
    assert lines["aggregator"].split() == ["aggregator", "self", "file", str(path)]
    assert lines["device"].split() == ["device", "cpu", "environment", "VISPA_DEVICE"]
    assert lines["model"].split() == ["model", "smollm2", "built-in"]


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize(("flags", "shown"), [((), ()), (("--verbose",), ("INFO",)), (("--debug",), ("INFO", "DEBUG"))])
def test_messages_go_to_standard_error_where_asked_for(
    flags: tuple[str, ...], shown: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("vispa")
    before, level = list(logger.handlers), logger.level
    monkeypatch.setenv("VISPA_DEBUG", "")

    def say() -> None:
        for name in ("info", "debug"):
            getattr(logging.getLogger("vispa.some.module"), name)("read %s", "a\x1b[31m\nb")

    monkeypatch.setattr("vispa.cli.config.defaults", lambda: say() or {"model": defaults()["model"]})
    try:
        result = CliRunner().invoke(app, [*flags, "config"])
    finally:
        logger.handlers, logger.level = before, level
    assert result.exit_code == 0
    expected = [f"vispa: {name} vispa.some.module: read a\\x1b[31m\\nb" for name in shown]
    assert result.stderr.splitlines() == expected and "read" not in result.stdout
