"""Defaults of the command line's options, from the environment and a configuration file.

An option on the command line goes before the environment variable `VISPA_` with the key in
capitals, that before the file, and the file before what is built in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import typer

from vispa.cli.options import Setup
from vispa.errors import InputError
from vispa.files.folders import CACHE_VARIABLE, cache_folder
from vispa.files.reading import read_toml

#: Environment variable that names another configuration file.
FILE_VARIABLE = "VISPA_CONFIG"

#: Keys of the file; each is also the name of the parameter that it is a default of.
KEYS = (
    "model", "cache", "taxonomy", "polarity", "recipe", "selector", "selector_model", "k", "max_new_tokens",
    "aggregator", "api_url", "api_key_variable", "dtype", "device",
)  # fmt: skip
# Keys that name a file or folder; where the file gives one, it is meant from the file's own folder.
_PATHS = ("cache", "taxonomy", "recipe")
_NUMBERS = ("max_new_tokens",)


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
    built_in = {field.name: field.default for field in fields(Setup)} | {"cache": str(cache_folder())}
    found = {key: Default(built_in[key], "built-in") for key in KEYS}
    path = config_path()
    if os.environ.get(FILE_VARIABLE) or path.is_file():
        found |= {key: Default(value, "file", str(path)) for key, value in _from_file(path).items()}
    return found | {key: Default(value, "environment", variable(key)) for key, value in _from_environment().items()}


def set_defaults(context: typer.Context) -> None:
    """Make the options of all commands default to what file and environment say.

    Commands of a group, such as `bank`, say themselves which model and values they mean.

    Args:
        context: of the command `vispa`.
    """
    given = {key: found.value for key, found in defaults().items() if found.origin != "built-in"}
    if "cache" in given:
        os.environ[CACHE_VARIABLE] = given.pop("cache")
    if not given:
        return
    commands: Mapping[str, Any] = getattr(context.command, "commands", {})
    context.default_map = {
        name: {
            parameter.name: given[parameter.name]
            for parameter in command.params
            if parameter.name in given and not parameter.required
        }
        for name, command in commands.items()
        if not hasattr(command, "commands")
    }


def _from_file(path: Path) -> dict[str, Any]:
    table = _checked(read_toml(path), str(path))
    for key in _PATHS:
        if key in table:
            table[key] = str(path.absolute().parent / Path(table[key]).expanduser())
    return table


def _from_environment() -> dict[str, Any]:
    table: dict[str, Any] = {key: os.environ[variable(key)] for key in KEYS if os.environ.get(variable(key))}
    for key in _NUMBERS:
        if key in table:
            try:
                table[key] = int(table[key])
            except ValueError as error:
                raise InputError(variable(key), f"is {table[key]!r}.", "Give a whole number.") from error
    # The cache folder is read where it is used, in Python too: it needs no check by a model.
    if table.keys() <= {"cache"}:
        return table
    return _checked(table, "environment", {key: variable(key) for key in KEYS})


def _checked(table: dict[str, Any], place: str, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    from vispa.cli.defaults_model import DefaultsFile
    from vispa.files.validation import validated

    found = validated(DefaultsFile, table, place, names=names).model_dump(exclude_unset=True)
    return found | ({"k": str(found["k"])} if "k" in found else {})
