"""Defaults of the command line's options, from the environment and a configuration file.

An option on the command line goes before the environment variable `VISPA_` with the key in
capitals, that before the file, and the file before what is built in.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import typer

from vispa.cli.console import print_note
from vispa.cli.grouping import options_of
from vispa.cli.setup import Setup
from vispa.errors import InputError
from vispa.files.folders import CACHE_VARIABLE, cache_folder
from vispa.files.reading import read_toml

#: Environment variable that names another configuration file.
FILE_VARIABLE = "VISPA_CONFIG"

_CONFIGURABLE = {one.name: one for one in options_of(Setup) if one.configurable is not None}
#: Keys of the file; each but the cache is also the name of the parameter that it is a default of.
KEYS = ("cache", *_CONFIGURABLE)
# Keys that name a file or folder, and the words that they may hold instead; where the file gives a path, it is meant
# from the file's own folder.
_PATHS: dict[str, tuple[str, ...]] = {"cache": ()} | {
    name: words
    for name, one in _CONFIGURABLE.items()
    if (words := one.configurable.path_unless if one.configurable else ()) or Path in get_args(one.type)
}
# Keys that name a model, which may be a file or folder: one that begins like a path is meant from there too.
_MODELS = ("model", "selector_model", "aggregator")
_LIKE_PATHS = (".", "/", "~")
# Less alike is another word: Kubernetes itself sets VISPA_PORT beside a service of that name.
_LIKE = 0.75
# Variables that are no defaults of options; tests have some of their own.
_OTHER_VARIABLES = (FILE_VARIABLE, "VISPA_DEBUG", "VISPA_API_KEY", "VISPA_API_KEYS", "VISPA_VLLM", "VISPA_BANK")
_PREFIX, _OF_TESTS = "VISPA_", "VISPA_TEST_"
_NUMBERS = {name: one.type for name, one in _CONFIGURABLE.items() if one.type in (int, float)}


class Default(NamedTuple):
    """A default and where it comes from.

    Attributes:
        value: of the option.
        origin: `built-in`, `environment` or `file`.
        place: the environment variable or the file; None for what is built in.
    """

    value: Any
    origin: str
    place: str | None = None


def config_path() -> Path:
    """The configuration file, whether there is one or not."""
    named = os.environ.get(FILE_VARIABLE)
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_config_dir("vispa")) / "config.toml"


def variable(key: str) -> str:
    """The environment variable of a key."""
    return CACHE_VARIABLE if key == "cache" else f"VISPA_{key.upper()}"


def defaults() -> dict[str, Default]:
    """Every default with where it comes from.

    Raises:
        InputError: an unreadable file, an unknown key, or a value that cannot be; names file or
            variable, and key.
    """
    built_in = {name: one.default for name, one in _CONFIGURABLE.items()} | {"cache": str(cache_folder())}
    found = {key: Default(built_in[key], "built-in") for key in KEYS}
    path = config_path()
    if os.environ.get(FILE_VARIABLE) or path.is_file():
        found |= {key: Default(value, "file", str(path)) for key, value in _from_file(path).items()}
    return found | {key: Default(value, "environment", variable(key)) for key, value in _from_environment().items()}


def unknown_variables() -> dict[str, str]:
    """Variables in the environment that were meant for this program, it seems, but say nothing to it, with advice.

    Those that resemble nothing of ours may be another program's.
    """
    known = {*map(variable, KEYS), *_OTHER_VARIABLES}
    options = {variable(one.name): one.name.replace("_", "-") for one in options_of(Setup)}
    found = {}
    for name in sorted(os.environ):
        if not name.startswith(_PREFIX) or name.startswith(_OF_TESTS) or name in known or not os.environ[name]:
            continue
        # What all have in common says nothing of how alike they are.
        tails = {one.removeprefix(_PREFIX): one for one in known}
        near = difflib.get_close_matches(name.removeprefix(_PREFIX), tails, n=1, cutoff=_LIKE)
        if name in options:
            found[name] = f"Say it on the command line, as --{options[name]}."
        elif near:
            found[name] = f"Did you mean {tails[near[0]]}?"
    return found


def set_defaults(context: typer.Context) -> None:
    """Make the options of all commands, those of groups such as `bank` too, default to what file and environment say.

    Args:
        context: of the command `vispa`.
    """
    for name, advice in unknown_variables().items():
        print_note(f"vispa: {name} is no variable of this program, and has no effect here. {advice}")
    given = {key: found.value for key, found in defaults().items() if found.origin != "built-in"}
    if "cache" in given:
        os.environ[CACHE_VARIABLE] = given.pop("cache")
    if given:
        context.default_map = _of_commands(context.command, given)


def is_configured(context: typer.Context, name: str) -> bool:
    """Whether a parameter has its value from file or environment: meant for all calls, and not for this one."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "DEFAULT_MAP"


def configured_taxonomy() -> Path | None:
    """The taxonomy that file or environment name, for commands whose own option says something else."""
    found = defaults()["taxonomy"]
    return None if found.value is None else Path(found.value)


def _of_commands(command: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the defaults that a command has parameters for; of a group, by command."""
    if hasattr(command, "commands"):
        return {name: _of_commands(one, given) for name, one in command.commands.items()}
    return {one.name: given[one.name] for one in command.params if one.name in given and not one.required}


def _from_file(path: Path) -> dict[str, Any]:
    table = _checked(read_toml(path), str(path))
    for key, given in table.items():
        is_path = given not in _PATHS[key] if key in _PATHS else key in _MODELS and given.startswith(_LIKE_PATHS)
        if is_path:
            table[key] = _from_folder_of(path, key, given)
    return table


def _from_folder_of(file: Path, key: str, given: str) -> str:
    try:
        return str(file.absolute().parent / Path(given).expanduser())
    except RuntimeError as error:
        problem = f"{key} is {given!r}, and where that home is, is not known."
        raise InputError(str(file), problem, "Write the whole path.") from error


def _from_environment() -> dict[str, Any]:
    table: dict[str, Any] = {key: os.environ[variable(key)] for key in KEYS if os.environ.get(variable(key))}
    for key, kind in _NUMBERS.items():
        if key in table:
            try:
                table[key] = kind(table[key])
            except ValueError as error:
                advice = "Give a whole number." if kind is int else "Give a number."
                raise InputError(variable(key), f"is {table[key]!r}.", advice) from error
    # The cache folder is read where it is used, in Python too: it needs no check by a model.
    if table.keys() <= {"cache"}:
        return table
    return _checked(table, "environment", {key: variable(key) for key in KEYS})


def _checked(table: dict[str, Any], place: str, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    from vispa.cli.defaults_model import defaults_file
    from vispa.files.validation import validated

    model = defaults_file(_CONFIGURABLE.values(), "cache")
    found = validated(model, table, place, names=names).model_dump(exclude_unset=True)
    for key, value in found.items():
        if isinstance(value, dict):
            found[key] = json.dumps(value, ensure_ascii=False)
        elif key not in _NUMBERS:
            found[key] = str(value)
    return found
