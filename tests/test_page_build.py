"""The page's committed build: it is what its sources give, small, and asks nobody else for anything."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

from vispa.serving.page_routes import FILES, FOLDER

SOURCES = Path(__file__).parents[1] / "page"
BUILD = json.loads((FOLDER / "build.json").read_text())


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_build_is_what_the_sources_give() -> None:
    """`npm run build` in page/ writes both lists; a change on one side alone shows here."""
    top = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")
    inner = [path for folder in ("src", "public") for path in (SOURCES / folder).rglob("*") if path.is_file()]
    sources = {name: digest(SOURCES / name) for name in top}
    sources |= {path.relative_to(SOURCES).as_posix(): digest(path) for path in inner}
    assert BUILD["sources"] == sources, "Run `npm ci && npm run build` in page/."
    built = {path.relative_to(FOLDER).as_posix(): digest(path) for path in FOLDER.rglob("*") if path.is_file()}
    del built["build.json"]
    assert BUILD["built"] == built, "Run `npm ci && npm run build` in page/."
    assert {name for name, _ in FILES.values()} | {"licenses.txt"} == set(built)


def test_it_is_small_and_whole() -> None:
    texts = {name: (FOLDER / name).read_text() for name, _ in FILES.values()}
    assert sum(len(gzip.compress(text.encode())) for text in texts.values()) <= 60_000
    # Only names of namespaces look like addresses of elsewhere.
    for name, text in texts.items():
        found = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\"'` )]*", text))
        assert {one for one in found if "www.w3.org" not in one} == set(), name
    page = texts["index.html"]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))
    assert not re.search(
        r"dangerouslySetInnerHTML\s*[:=]\s*\{|innerHTML\s*=\s*[^=]*(text|answer|value)", texts["assets/app.js"]
    )
    assert "localhost" not in texts["assets/app.js"] and "/work" + "/" not in texts["assets/app.js"]


def test_texts_never_become_markup() -> None:
    """The sources have no door from a text to markup, an address or code."""
    doors = re.compile(r"[iI]nnerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function")
    for path in (SOURCES / "src").rglob("*.ts*"):
        assert not doors.search(path.read_text()), path
        assert not re.search(r"\b(href|src|action)=\{", path.read_text()), path
