"""Write docs/results.md, what benchmarks found, from their reports: `python docs/results.py`.

A section is a table of docs/results.toml; its reports are docs/results/NAME-MODEL.json, which the benchmark's `--json`
writes. Its module has `section(report)`, the tables as Markdown, and `draw(report, path)`, a figure. A test says when
the page is stale.
"""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPORTS = HERE / "results"
HEAD = """# Results

What the benchmarks say about questions that the paper leaves open. Each table is remade by the command below it, whose
`--json` file lies in `docs/results`; `python docs/results.py` makes this page of them. In brackets: 95 % intervals, of
what is said at each table.
"""
# Of the versions that a report names, those that figures are most likely to hang on.
_SHOWN = ("vispa", "torch", "transformers", "python")


def sections() -> list[Mapping[str, str]]:
    """The sections in their order: `name`, `title`, `module`, and `meaning`, what users learn from it."""
    found: list[Mapping[str, str]] = tomllib.loads((HERE / "results.toml").read_text(encoding="utf-8"))["section"]
    return found


def reports(name: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The reports of a section with their files, by name."""
    for path in sorted(REPORTS.glob(f"{name}-*.json")):
        yield path, json.loads(path.read_text(encoding="utf-8"))


def page() -> str:
    """The whole page."""
    return "\n\n".join(part.strip() for part in [HEAD, *map(_section, sections())]) + "\n"


def _section(section: Mapping[str, str]) -> str:
    parts = [f"## {section['title']}", section["meaning"]]
    for path, report in reports(section["name"]):
        parts += [
            f"### {section['title']}: {report['model']}",
            _module(section).section(report),
            f"![The main figure of the tables above, drawn](results/{path.stem}.svg)",
            _made_with(report),
        ]
    return "\n\n".join(part.strip() for part in parts)


def _made_with(report: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {report['versions'][name]}" for name in _SHOWN)
    return f"`{report['command']}` · seed {report['seed']} · {versions}"


def _module(section: Mapping[str, str]) -> Any:
    if str(HERE.parent) not in sys.path:
        sys.path.insert(0, str(HERE.parent))
    return importlib.import_module(section["module"])


def main() -> None:
    """Write the page, and draw the figures."""
    for section in sections():
        for path, report in reports(section["name"]):
            _module(section).draw(report, path.with_suffix(".svg"))
    (HERE / "results.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
