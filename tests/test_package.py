"""What users of the package see: its version, its types, its log, paths as models."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import vispa
from vispa import Vispa
from vispa.cli.main import app
from vispa.models.loading import EMBEDDED_PATH

ROOT = Path(__file__).parents[1]
USER = """
from typing import Literal
from vispa import Mixture, Request, Vispa, __version__

vispa = Vispa.from_pretrained("embedded", dtype="float32", mixture=Mixture("relevance"))
reveal_type(__version__)
reveal_type(vispa)
reveal_type(vispa.respond("Feeding ducks", k=2, values="karma,honor", seed=3))
reveal_type(vispa.respond("Feeding ducks", mode="overton", threshold=0.2, temperature=0.7))
reveal_type(vispa.respond("Feeding ducks", mode="steerable", toward="karma", options=("Yes", "No"), k="auto"))
reveal_type(vispa.respond("Feeding ducks", mode="distributional", country="Chile", passages=False, prompt="Well?"))
mode: Literal["overton", "distributional"] = "overton" if vispa.model.is_embedded else "distributional"
reveal_type(vispa.respond("Feeding ducks", mode=mode, question="Is it fine?"))
reveal_type(vispa.respond("Feeding ducks").claims[0].support)
reveal_type(vispa.respond("Feeding ducks", mode="distributional").provenance.model)
reveal_type(Request("Feeding ducks", options="Yes|No").country)
"""
# What an editor underlines.
MISTAKES = """
from vispa import Vispa

vispa = Vispa.embedded()
vispa.answer("Feeding ducks")
vispa.respond("Feeding ducks", modus="overton")
vispa.respond("Feeding ducks", mode="plural")
vispa.respond("Feeding ducks", k="all")
vispa.respond("Feeding ducks", toward="karma")
vispa.respond_many([], max_tokens=3)
Vispa.from_pretrained("embedded", reader="self")
Vispa.from_pretrained("embedded", weights="mean")
"""
# The libraries that the package stands on have types of their own, which take long to read.
SETTINGS = """
[mypy]
strict = true
[mypy-torch.*,transformers.*,tokenizers.*,safetensors.*,sklearn.*,scipy.*,numpy.*,matplotlib.*]
follow_imports = skip
"""


def test_users_checkers_see_the_types(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    environment = {**os.environ, "PYTHONPATH": str(Path(vispa.__file__).parents[1]), "MYPYPATH": ""}
    environment.pop("MYPY_CACHE_DIR", None)
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "user.py", "mistakes.py"]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    types = [line.split('"')[1] for line in found.stdout.splitlines() if "Revealed" in line]
    overton, steerable, distributional = (
        f"vispa.records.{name}" for name in ("OvertonResponse", "SteerableResponse", "DistributionalResponse")
    )
    any_answer = f"{overton} | {steerable} | {distributional}"
    answers = [overton, overton, steerable, distributional, any_answer]
    assert types == ["str", "vispa.pipeline.Vispa", *answers, "float", "str", "str | None"], found.stdout
    errors = [line for line in found.stdout.splitlines() if ": error:" in line]
    assert all(line.startswith("mistakes.py:") for line in errors), found.stdout
    underlined = sorted({int(line.split(":")[1]) for line in errors})
    assert underlined == [number for number, line in enumerate(MISTAKES.splitlines(), 1) if "(" in line][1:]


def test_the_marker_of_types_is_in_the_package() -> None:
    marker = Path(vispa.__file__).with_name("py.typed")
    assert marker.is_file()
    # The wheel takes the package as it is, without what git ignores.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["src/vispa"]}
    assert subprocess.run(["git", "check-ignore", "-q", str(marker)], cwd=ROOT).returncode != 0


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert vispa.__version__ == project["version"]
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"vispa {project['version']}\n")
    with pytest.raises(AttributeError, match="no attribute 'version'"):
        vispa.version  # noqa: B018


def test_the_version_loads_nothing_heavy() -> None:
    code = "import sys, vispa; vispa.__version__; print({'torch', 'transformers', 'numpy', 'pydantic', 'typer'} & \
set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_nothing_is_logged_unless_an_application_asks(caplog: pytest.LogCaptureFixture) -> None:
    code = "import logging, vispa; logging.getLogger('vispa.pipeline').error('seen')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stderr == ""
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("vispa").handlers)


def test_warnings_reach_whoever_uses_the_command_line() -> None:
    code = r"""
import logging, sys, vispa.cli.main as main
main.set_defaults = lambda context: logging.getLogger('vispa.steering').warning('the \x1b[31mbank\nis damaged')
sys.argv = ['vispa', 'values', '--json']
main.main()
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "vispa: the \\x1b[31mbank\\nis damaged\n")


def test_a_model_may_be_a_path(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "vispa"):
        loaded = Vispa.from_pretrained(Path(EMBEDDED_PATH))
        answer = loaded.respond("Feeding ducks", mode="distributional", options="Yes|No", k=1, max_new_tokens=4)
    assert loaded.model.name == str(EMBEDDED_PATH)
    assert answer.mode == "distributional" and answer.options == ("Yes", "No")
    messages = [record.getMessage() for record in caplog.records if record.name == "vispa.pipeline"]
    assert any(str(EMBEDDED_PATH) in message for message in messages) and "Feeding" not in caplog.text
