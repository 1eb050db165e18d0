"""The rules of the house: imports point one way, heavy libraries load late."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import vispa

PACKAGE = Path(vispa.__file__).parent

#: The floors of the house, from the ground up: a file imports from its own folder and from lower floors only.
FLOORS = (
    ("errors", "versions", "once"),
    ("files",),
    ("request",),
    ("limits",),
    ("records",),
    ("taxonomy", "models"),
    ("steering",),
    ("generation",),
    ("readers", "selection"),
    ("modes",),
    ("live",),
    ("pipeline",),
    ("items", "study"),
    ("tuning",),
    ("evaluation",),
    ("bridges", "serving"),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {part: number for number, parts in enumerate(FLOORS) for part in parts}


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


def test_imports_point_down() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        assert part in FLOOR_OF, f"{part} has no place in the house"
        for other in imports(path) - {part}:
            if FLOOR_OF[other] >= FLOOR_OF[part]:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert not wrong, "\n".join(sorted(wrong))


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_modules(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules that a file imports, those for type checkers included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & set(known) or {node.module}
    return found & set(known)


def test_no_files_import_each_other_in_a_circle() -> None:
    known = modules()
    below = {name: imported_modules(path, known) - {name} for name, path in known.items()}
    # What imports nothing that is left goes first; what can never go is in a circle.
    while free := [name for name, others in below.items() if not others & set(below)]:
        for name in free:
            del below[name]
    assert not below, sorted(below)


def test_files_and_functions_stay_small() -> None:
    """No file over 350 lines, no function's body over 50; its signature and docstring, which are asked for, apart."""
    large = []
    for name, path in modules().items():
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > 350:
            large.append(f"{name}: {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                if body and (lines := (body[-1].end_lineno or 0) - body[0].lineno + 1) > 50:
                    large.append(f"{name}.{node.name}: {lines} lines")
    assert not large, large


def test_heavy_libraries_load_where_they_are_used() -> None:
    code = "import sys, vispa, vispa.cli.main; print(sorted({'torch','transformers','sklearn','scipy','numpy',\
'pydantic','matplotlib','openai','ray'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_commands_print_through_one_door() -> None:
    """Only `cli/console.py` writes to a stream: it keeps data from being read as markup or escape sequences."""
    ways = re.compile(r"typer\.(echo|secho|confirm|prompt)\(|\bprint\(|rich\.(console|markup)|sys\.std(out|err)\.write")
    for path in (PACKAGE / "cli").rglob("*.py"):
        if path.name != "console.py":
            assert not ways.search(path.read_text(encoding="utf-8")), path


def test_files_are_read_through_one_door() -> None:
    """Only `files/` opens files to read them: regular ones up to a limit, as text that is checked."""
    ways = re.compile(r"\.read_(text|bytes)\(|json\.load\(|\btomllib\b|csv\.(Dict)?[rR]eader|stdin\.(buffer|read)")
    # Tensors, of any size, which their own checksums guard.
    tensors = {"steering/sealing.py", "models/encoder.py"}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        # A script in a process of its own, fed by this package alone.
        if not name.startswith("files/") and name not in tensors | {"models/template_probe.py"}:
            assert not ways.search(path.read_text(encoding="utf-8")), path


def test_what_is_made_on_first_use_is_made_once() -> None:
    """Only `once.py` has the standard library's `cached_property`, which takes no lock from Python 3.12 on."""
    for path in PACKAGE.rglob("*.py"):
        if path.name != "once.py":
            assert not re.search(r"\bcached_property\b", path.read_text(encoding="utf-8")), path


def test_public_names_exist() -> None:
    for name in vispa.__all__:
        assert getattr(vispa, name).__name__ == name


def test_the_package_speaks_of_itself_alone() -> None:
    """No absolute path of a machine in any file."""
    for path in (PACKAGE.parents[1]).rglob("*.py"):
        if ".venv" not in path.parts:
            assert "/" + "work/" not in path.read_text(encoding="utf-8"), path
