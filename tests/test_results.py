"""The page of results is that of its reports."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

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


def test_no_report_is_left_out() -> None:
    known = {path for section in RESULTS["sections"]() for path, _ in RESULTS["reports"](section["name"])}
    assert known == set((DOCS / "results").glob("*.json"))
