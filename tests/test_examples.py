"""The examples run as they are."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import matplotlib
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def test_there_are_examples_and_a_list_of_them() -> None:
    assert len(SCRIPTS) >= 5 and NOTEBOOKS
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in (*SCRIPTS, *NOTEBOOKS):
        assert f"]({path.name})" in listed, path.name


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_run(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cell by cell as Python; outputs are not kept in the file."""
    monkeypatch.chdir(EXAMPLES)
    matplotlib.use("agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, 1):
        assert cell["outputs"] == [] and cell["execution_count"] is None
        exec(compile("".join(cell["source"]), f"{path.name} cell {number}", "exec"), names)
