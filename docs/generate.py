"""Write the pages that are made of the code: `python docs/generate.py`.

`commands.md` comes from the command line itself, `changelog.md` from the change log of the repository. A test
says when they are stale.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from vispa.cli.main import app

DOCS = Path(__file__).parent

_BEGINNING = """# Commands

Made from the commands themselves by `docs/generate.py`. `vispa COMMAND --help` says the same. Every option that has a
key in the [configuration file](formats.md#configuration) can be given there or in the environment.
"""


def command_page() -> str:
    """The page of all commands, in the order in which `vispa --help` lists them."""
    root = typer.main.get_command(app)
    parts = [_BEGINNING, *_described(root, "vispa")]
    for path, command in _commands(root, "vispa"):
        parts += [f"## {path}", *_described(command, path)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def changelog_page() -> str:
    """The change log of the repository."""
    return (DOCS.parent / "CHANGELOG.md").read_text(encoding="utf-8")


#: File in `docs/` → what makes it.
PAGES = {"commands.md": command_page, "changelog.md": changelog_page}


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _described(command: Any, path: str) -> list[str]:
    shown = [one for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    options = [one for one in shown if one.param_type_name == "option"]
    usage = " ".join([path, *(_metavar(one) for one in arguments), *(["[OPTIONS]"] if options else [])])
    found = [_prose(command.help or ""), "" if hasattr(command, "commands") else f"```text\n{usage}\n```"]
    if arguments:
        rows = [(f"`{_metavar(one)}`", _text(one)) for one in arguments]
        found.append(_table(("argument", "what it is"), rows))
    for heading in dict.fromkeys(getattr(one, "rich_help_panel", None) for one in options):
        rows = [(_flags(one), _text(one)) for one in options if getattr(one, "rich_help_panel", None) == heading]
        found.append(_table((heading or "option", "what it does"), rows))
    return [part for part in found if part]


def _metavar(argument: Any) -> str:
    name = (argument.metavar or argument.name).strip("{}[]").upper()
    return name if argument.required else f"[{name}]"


def _flags(option: Any) -> str:
    flags = ", ".join(f"`{flag}`" for flag in [*option.opts, *option.secondary_opts])
    return flags if option.is_flag else f"{flags} *{_kind(option)}*"


def _kind(option: Any) -> str:
    """What is given, in words."""
    return {"int": "number", "float": "number", "Path": "path"}.get(str(option.bare_type()), "text")


def _text(parameter: Any) -> str:
    text = _prose(getattr(parameter, "help", None) or "").replace("|", "\\|")
    if parameter.required:
        return text if parameter.param_type_name == "argument" else f"{text} **Required.**"
    default = parameter.default
    if default is None or getattr(parameter, "is_flag", False) or callable(default):
        return text
    return f"{text} Default: `{default}`."


def _prose(text: str) -> str:
    return inspect.cleandoc(text).replace("\f", "").replace("<", "&lt;")


def _table(heads: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [f"| {heads[0]} | {heads[1]} |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {left} | {' '.join(right.split())} |" for left, right in rows)])


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
