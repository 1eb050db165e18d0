"""The page of results is that of its reports."""

from __future__ import annotations

import importlib
import json
import runpy
from contextlib import nullcontext
from pathlib import Path

import pytest
from matplotlib.figure import Figure as Canvas

from benchmarks.fine_tuning import section as fine_tuning
from benchmarks.reports import SHARE, command_line, percent, shown

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = runpy.run_path(str(DOCS / "results.py"))


def test_the_page_is_that_of_its_reports() -> None:
    assert (DOCS / "results.md").read_text(encoding="utf-8") == RESULTS["page"](), "stale: python docs/results.py"


@pytest.mark.parametrize("section", RESULTS["sections"](), ids=lambda section: section["name"])
def test_a_section_has_reports_with_figures_that_say_how_to_remake_them(section: dict[str, str]) -> None:
    found = dict(RESULTS["reports"](section["name"]))
    assert found and section["meaning"].strip()
    for path, report in found.items():
        assert path.with_suffix(".svg").read_text(encoding="utf-8").startswith("<?xml")
        assert report["command"].startswith(f"python -m {section['module'].rpartition('.')[0]}")
        assert report["seed"] is not None and report["versions"]["torch"]


@pytest.mark.parametrize("path", sorted((DOCS / "results").glob("*.json")), ids=lambda path: path.stem)
def test_figures_keep_their_axes_to_their_scale(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (section,) = (one for one in RESULTS["sections"]() if path.name.startswith(f"{one['name']}-"))
    module, canvas = importlib.import_module(section["module"]), Canvas()
    monkeypatch.setattr(module, "drawing", lambda *_: nullcontext(canvas))
    module.draw(json.loads(path.read_text(encoding="utf-8")), path)
    assert canvas.axes
    for axis in canvas.axes:
        assert SHARE in (axis.get_xlim(), axis.get_ylim())
        assert axis.get_xlabel() != "fluency" or axis.get_xlim() == axis.get_ylim() == SHARE


@pytest.mark.parametrize("path", sorted((DOCS / "results").glob("fine_tuning-*.json")), ids=lambda path: path.stem)
def test_every_figure_is_shown_by_number_of_pairs(path: Path) -> None:
    report = json.loads(path.read_text(encoding="utf-8"))
    lines = fine_tuning.section(report).splitlines()
    for size in report["sizes"]["pairs"]:
        for name, words in fine_tuning.FIGURES.items():
            (line,) = (one for one in lines if one.startswith(f"| {size} | {words} | "))
            own = report["rows"][f"vectors of {size}"]["figures"][name]
            assert shown(own) in line and (own is None or "[" in shown(own))


def test_no_report_is_left_out() -> None:
    known = {path for section in RESULTS["sections"]() for path, _ in RESULTS["reports"](section["name"])}
    assert known == set((DOCS / "results").glob("*.json"))


# ---------------------------------------------------------------- what reports share


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([], ""),
        (["--json", "a.json"], ""),
        (["--limit", "3", "--json", "a.json"], " --limit 3"),
        (["--json=a.json", "--limit=3"], " --limit=3"),
        (["--output", "runs", "--model", "none", "--resume", "kept"], " --model none"),
    ],
)
def test_a_command_is_told_without_where_its_figures_go(given: list[str], kept: str) -> None:
    assert command_line("benchmarks.some", given) == f"python -m benchmarks.some{kept}"


def test_how_figures_are_shown() -> None:
    one = {"estimate": 0.029, "low": 0.0061, "high": 0.0836}
    assert shown(one) == "0.03 [0.01, 0.08]" and shown(one, 3) == "0.029 [0.006, 0.084]"
    assert shown({"difference": -0.5, "low": -1.0, "high": 0.0}) == "-0.50 [-1.00, 0.00]" and shown(None) == "–"
    assert percent(one) == "2.9 % [0.6, 8.4]"
