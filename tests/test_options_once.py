"""Options that commands share: declared once, in a group; a field more is an option more in all its commands."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
import typer
from typer.testing import CliRunner

from vispa.cli import options
from vispa.cli.defaults import KEYS
from vispa.cli.grouping import Configurable, grouped, only, options_of, without
from vispa.cli.main import app
from vispa.cli.setup import Setup
from vispa.taxonomy import Taxonomy

GROUPS = tuple(
    one for one in vars(options).values() if isinstance(one, type) and isinstance(getattr(one, "heading", None), str)
)
#: Options that only share their flag with one of a group, and mean something of their command's own.
HOMONYMS = {
    ("inspect", "--values"),
    ("inspect", "--prompts"),
    ("inspect", "--max-new-tokens"),
    ("bank show", "--taxonomy"),
    ("bank remove", "--taxonomy"),
    ("bank export", "--taxonomy"),
    ("bank export", "--values"),
    ("bank import", "--taxonomy"),
    ("bank verify", "--model"),
    ("bank verify", "--taxonomy"),
}


def commands() -> dict[str, Any]:
    """Every command by its path."""

    def walk(group: Any, path: str) -> dict[str, Any]:
        found = {}
        for name, one in group.commands.items():
            found |= walk(one, f"{path}{name} ") if hasattr(one, "commands") else {path + name: one}
        return found

    return walk(typer.main.get_command(app), "")


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def test_no_option_of_a_group_is_declared_anywhere_else() -> None:
    assert len(GROUPS) >= 6
    names = [one.name for group in GROUPS for one in options_of(group)]
    assert len(names) == len(set(names)) >= 25
    heading = {flag(one.name): group.heading for group in GROUPS for one in options_of(group)}
    others = {
        (path, parameter.opts[0])
        for path, command in commands().items()
        for parameter in command.params
        if parameter.opts[0] in heading and parameter.rich_help_panel != heading[parameter.opts[0]]
    }
    assert others == HOMONYMS


def test_a_field_more_in_one_file_is_an_option_more_in_all_its_commands() -> None:
    """The source of the groups is changed before anything imports it; nothing else is."""
    code = """
import importlib.util, sys
import vispa.cli
spec = importlib.util.find_spec("vispa.cli.options")
source = open(spec.origin, encoding="utf-8").read()
beginning = '    heading: ClassVar[str] = "Sampling"\\n'
assert source.count(beginning) == 1
field = '    top_k: Annotated[int, typer.Option(help="Most tokens sampled from."), Configurable(least=1)] = 50\\n'
module = importlib.util.module_from_spec(spec)
sys.modules["vispa.cli.options"] = module
exec(compile(source.replace(beginning, beginning + field), spec.origin, "exec"), module.__dict__)
import typer
from typer.testing import CliRunner
from vispa.cli.main import app
from vispa.cli.setup import Setup
Setup.load = lambda self, *_: print("top_k", self.decoding.top_k) or sys.exit()
print(*[name for name, one in typer.main.get_command(app).commands.items()
        if "top_k" in [parameter.name for parameter in getattr(one, "params", ())]])
for more in ({}, {"VISPA_TOP_K": "7"}):
    print(CliRunner().invoke(app, ["respond", "Feeding ducks"], env=more).output, end="")
print(CliRunner().invoke(app, ["respond", "Feeding ducks", "--top-k", "3"], env=more).output, end="")
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == ["respond batch mixture eval", "top_k 50", "top_k 7", "top_k 3"]


@dataclass(frozen=True)
class Inner:
    heading: ClassVar[str] = "Inner"
    depth: Annotated[int, typer.Option(help="How deep."), Configurable()] = 1
    width: Annotated[Path | None, typer.Option("--wide", help="How wide.")] = None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    label: Annotated[str, typer.Option(help="What it is called.")] = "none"


def called(command: Any, *arguments: str) -> Any:
    single = typer.Typer()
    single.command()(command)
    return CliRunner().invoke(single, arguments, catch_exceptions=False)


def test_a_command_gets_instances_of_its_groups() -> None:
    got: list[Any] = []

    @grouped
    def whole(place: str, *, outer: Outer, loud: bool = False) -> None:
        got.append((place, outer, loud))

    @grouped
    def parts(a: Annotated[Inner, only("depth")], b: Annotated[Outer, without("inner")]) -> None:
        got.append((a, b.label))

    assert called(whole, "x", "--wide", "w", "--label", "l", "--loud").exit_code == 0
    assert got.pop() == ("x", Outer(Inner(1, Path("w")), "l"), True)
    assert "Inner" in called(whole, "--help").output


def test_parts_of_groups() -> None:
    got: list[Any] = []

    @grouped
    def parts(
        inner: Annotated[Inner, only("depth")], outer: Annotated[Outer, without("depth", "width")], more: int = 3
    ) -> None:
        got.append((inner, outer.label, more))

    # The group in the group is built of its defaults; the depth is the other parameter's.
    assert called(parts, "--depth", "5").exit_code == 0
    assert got == [(Inner(5), "none", 3)]
    assert called(parts, "--wide", "w").exit_code == 2


def test_parts_that_are_not_there_and_options_that_come_twice_are_refused() -> None:
    def misspelt(inner: Annotated[Inner, only("deep")]) -> None: ...

    def twice(inner: Inner, depth: int = 1) -> None: ...

    with pytest.raises(TypeError, match="Inner has no deep"):
        grouped(misspelt)
    with pytest.raises(TypeError, match="depth"):
        grouped(twice)


def test_what_may_be_configured_is_said_at_the_option() -> None:
    marked = {one.name for group in GROUPS for one in options_of(group) if one.configurable}
    assert set(KEYS) == marked | {"cache"} and {"api_timeout", "api_parameters", "model"} <= marked


@pytest.mark.parametrize(
    "command", ["respond", "batch", "eval", "serve", "fit", "tune", "doctor", "mixture", "inspect", "select"]
)
def test_what_a_bank_is_fitted_for_is_said_by_the_same_option_everywhere(command: str) -> None:
    """A configured polarity held for some of these commands and was ignored by others."""
    flags = {option for parameter in commands()[command].params for option in parameter.opts}
    assert ("--polarity" in flags) is (command != "select")


class Loaded(Exception):
    """What a command was about to load."""


@pytest.mark.parametrize("polarity", ["own", "paper"])
@pytest.mark.parametrize("command", ["mixture", "inspect"])
def test_a_configured_polarity_is_heeded(
    command: str, polarity: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(setup: Setup, *_: Any, **__: Any) -> Any:
        raise Loaded(setup.steering.polarity)

    def study(_: object, taxonomy: Taxonomy, *__: Any, **___: Any) -> Any:
        raise Loaded("paper" if taxonomy["toxicity"].polarity == "promote" else "own")

    monkeypatch.setenv("VISPA_POLARITY", polarity)
    monkeypatch.setattr(Setup, "load", load)
    monkeypatch.setattr("vispa.cli.inspect._study", study)
    items = [
        {"text": f"Is {what} right?", "options": ["Yes", "No"], "gold_distribution": [0.5, 0.5]} for what in "abcdef"
    ]
    (tmp_path / "survey.json").write_text(json.dumps(items))
    given = {
        "mixture": [str(tmp_path / "survey.json"), "-o", str(tmp_path / "mixture.json")],
        "inspect": ["-o", str(tmp_path / "study"), "--figures", "none"],
    }
    found = CliRunner().invoke(app, [command, *given[command]])
    assert isinstance(found.exception, Loaded) and found.exception.args == (polarity,), found.output
