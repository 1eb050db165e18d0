"""The rules of the house: imports point one way, heavy libraries load late."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import vispa

PACKAGE = Path(vispa.__file__).parent

#: Lower layers never import higher ones; modules of one layer may import each other unless they are stages.
LAYERS = {
    **dict.fromkeys(("errors", "records", "checks", "files", "parsing", "plots", "versions"), 0),
    **dict.fromkeys(("chat", "cases", "taxonomy", "models", "inputs", "append_log"), 1),
    **dict.fromkeys(("selection", "steering", "generation", "modes", "aggregation"), 2),
    **dict.fromkeys(("requests", "pipeline", "batch", "study"), 3),
    **dict.fromkeys(("evaluation", "bridges", "serving", "cli", "__main__"), 4),
}
STAGES = {"selection", "steering", "generation", "modes", "aggregation"}
#: Decoding applies the shifts while it runs.
ALLOWED = {("generation", "steering")}


def imports(path: Path) -> set[str]:
    """Top-level parts of this package that a file imports, those for type checkers included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively"
            names = [node.module] if node.module != "vispa" else [f"vispa.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("vispa.")}
    return found


def test_imports_point_one_way() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        assert part in LAYERS, f"{part} has no place in the house"
        for other in imports(path) - {part}:
            same_stage = part in STAGES and other in STAGES and (part, other) not in ALLOWED
            if LAYERS[other] > LAYERS[part] or same_stage:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert wrong == []


def test_heavy_libraries_load_where_they_are_used() -> None:
    code = "import sys, vispa, vispa.cli.main; print(sorted({'torch','transformers','sklearn','scipy','numpy',\
'pydantic','matplotlib','openai'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_public_names_exist() -> None:
    for name in vispa.__all__:
        assert getattr(vispa, name).__name__ == name


def test_the_package_speaks_of_itself_alone() -> None:
    """No absolute path of a machine in any file."""
    for path in (PACKAGE.parents[1]).rglob("*.py"):
        if ".venv" not in path.parts:
            assert "/" + "work/" not in path.read_text(encoding="utf-8"), path
