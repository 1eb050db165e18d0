"""The documentation: its snippets run, its generated pages are fresh, what it names exists, it builds offline."""

from __future__ import annotations

import importlib
import logging
import re
import runpy
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

import vispa
from tests.snippets import run_page, snippets
from vispa import DistributionalResponse, OvertonResponse, Recipe, SteerableResponse, Taxonomy
from vispa.cli.defaults import KEYS
from vispa.evaluation.tasks import Task

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
WITH_CODE = [page for page in PAGES if any(one.language in ("sh", "python") for one in snippets(page))]
#: Why a block is not run; the words before the first comma.
REASONS = {"needs a hub", "needs a server", "needs another package", "takes minutes", "sets up this test"}


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISPA_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").touch()
    run_page(page, tmp_path)


def test_few_snippets_are_left_out_and_each_says_why() -> None:
    found = [one for page in PAGES for one in snippets(page) if one.language in ("sh", "python")]
    left_out = [one for one in found if one.reason is not None]
    for one in left_out:
        assert one.reason is not None and one.reason.split(",")[0] in REASONS, one
    assert len(left_out) <= 9 and len(found) >= 4 * len(left_out)
    for page in PAGES:
        count = page.read_text(encoding="utf-8").count("<!-- not run:")
        assert count == sum(one.reason is not None for one in snippets(page)), f"{page}: a remark without its block"


def test_generated_pages_are_fresh() -> None:
    for name, page in runpy.run_path(str(DOCS / "generate.py"))["PAGES"].items():
        assert (DOCS / name).read_text(encoding="utf-8") == page(), f"{name} is stale: python docs/generate.py"


def test_the_paper_index_names_what_exists() -> None:
    rows = re.findall(r"^\|.*\| `([\w/.]+)` \| (.*) \|$", (DOCS / "paper.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) >= 20
    for file, symbols in rows:
        path = ROOT / "src" / "vispa" / file
        assert path.is_file(), file
        if path.suffix == ".py":
            module = importlib.import_module("vispa." + file.removesuffix(".py").replace("/", "."))
            for symbol in re.findall(r"`([\w.]+)`", symbols):
                found: object = module
                for name in symbol.split("."):
                    assert hasattr(found, name) or name in getattr(found, "__annotations__", {}), f"{file}: {symbol}"
                    found = getattr(found, name, None)


def test_the_built_in_values_can_be_copied_as_the_page_on_drift_says(tmp_path: Path) -> None:
    shutil.copytree(Path(vispa.__path__[0], "taxonomy"), tmp_path / "values-2026")
    copied, built_in = Taxonomy.load(tmp_path / "values-2026"), Taxonomy.built_in()
    assert copied.fingerprint == built_in.fingerprint
    assert '/taxonomy" values-2026' in (DOCS / "drift.md").read_text(encoding="utf-8")


def test_the_reference_holds_every_public_name() -> None:
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    assert [name for name in vispa.__all__ if f"::: vispa.{name}\n" not in page] == []


def test_the_page_of_formats_holds_every_key_and_field() -> None:
    page = (DOCS / "formats.md").read_text(encoding="utf-8")
    names = {*KEYS, *(field.name for field in fields(Recipe)), *Task.model_fields}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
    for answer in (OvertonResponse, SteerableResponse, DistributionalResponse):
        assert [name for name in answer.model_fields if f"`{name}`" not in page] == []


def test_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:src|tests|docs|benchmarks|training|examples)/[\w/.]+)`", text)
    assert named
    for name in named:
        assert (ROOT / name).exists(), name


def test_the_site_builds_offline_without_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    commands = pytest.importorskip("mkdocs.commands.build")
    config = importlib.import_module("mkdocs.config")
    monkeypatch.chdir(ROOT)
    warned: list[str] = []

    class Warned(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warned.append(record.getMessage())

    handler = Warned(logging.WARNING)
    logging.getLogger("mkdocs").addHandler(handler)
    try:
        commands.build(config.load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site")))
    finally:
        logging.getLogger("mkdocs").removeHandler(handler)
    assert warned == []
    for page in (tmp_path / "site").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=[\"']?(?:https?:)?//[^>]*>", text), page
