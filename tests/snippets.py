"""Code blocks of the documentation, and how they are run.

A page's blocks run one after the other in one temporary folder. A block with a title (` ```toml title="x.toml" `) is
a file; `sh` blocks are commands of `vispa`, one a line; `python` blocks share their names. A line that ends in
`# exit code N` must end so. A `text` block right after commands is what they print. A block after
`<!-- not run: REASON -->` is left out.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.errors import InputError, VispaError

_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_EXIT = re.compile(r"# exit code (\d+)\b")
_NUMBER = re.compile(r"\d+\.\d+")
_SETTING = re.compile(r"^([A-Z_]+)=(\S+)$")


@dataclass(frozen=True)
class Snippet:
    """One code block of a page."""

    page: str
    line: int
    language: str
    title: str | None
    reason: str | None
    body: str

    def __str__(self) -> str:
        return f"{self.page} line {self.line}"


def snippets(page: Path) -> list[Snippet]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        indent = len(match["indent"])
        body = "".join(line[indent:] if line.strip() else line for line in match["body"].splitlines(keepends=True))
        number = text.count("\n", 0, match.start("language")) + 1
        found.append(Snippet(page.name, number, match["language"], match["title"], match["reason"], body))
    return found


def run_page(page: Path, folder: Path) -> int:
    """Run a page's blocks in a folder, which must be the working directory; how many ran."""
    names: dict[str, Any] = {"__name__": "__main__"}
    ran = 0
    # Of the commands right before a block.
    printed: str | None = None
    for snippet in snippets(page):
        said, printed = printed, None
        if snippet.reason is not None:
            continue
        if snippet.title is not None:
            (folder / snippet.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / snippet.title).write_text(snippet.body, encoding="utf-8")
        elif snippet.language == "sh":
            printed = "".join(_run_line(line, snippet) for line in snippet.body.splitlines())
            ran += 1
        elif snippet.language == "text" and said is not None:
            _check_printed(snippet, said)
        elif snippet.language == "python":
            exec(compile(snippet.body, str(snippet), "exec"), names)
            ran += 1
    return ran


def _check_printed(snippet: Snippet, printed: str) -> None:
    """The same words, and numbers that differ no more than they do between machines."""
    told, found = (
        [_NUMBER.sub("0", text).split(), *map(float, _NUMBER.findall(text))] for text in (snippet.body, printed)
    )
    assert found[0] == told[0] and found[1:] == pytest.approx(told[1:], abs=0.002), f"{snippet}: printed is\n{printed}"


def _run_line(line: str, snippet: Snippet) -> str:
    """Run a command; what it prints on standard output."""
    words = shlex.split(line, comments=True)
    environment = {}
    while words and (setting := _SETTING.match(words[0])):
        environment[setting[1]] = setting[2]
        words = words[1:]
    if not words:
        return ""
    assert words[0] == "vispa", f"{snippet}: {line}: only commands of vispa run here"
    expected = int(found[1]) if (found := _EXIT.search(line)) else 0
    before = dict(os.environ)
    result = CliRunner().invoke(app, words[1:], env=environment)
    os.environ.clear()
    os.environ.update(before)
    assert _code(result) == expected, f"{snippet}: {line}\n{result.output}\n{result.exception!r}"
    return result.stdout


def _code(result: Any) -> int:
    """The exit code that `vispa.cli.main.main` makes of what was raised."""
    if isinstance(result.exception, InputError):
        return 2
    return 1 if isinstance(result.exception, VispaError) else int(result.exit_code)
