"""The container's file says what the project says: versions, files, model, port, route, options, whom it runs as."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from served import embedded_pipeline, started
from typer.main import get_command

from vispa.cli.main import app
from vispa.request import DEFAULT_MODEL
from vispa.serving.guard import LIVENESS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def instructions() -> list[tuple[str, str]]:
    """Those of the file, in their order, each on one line."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines.splitlines() if line)]


FILE = instructions()


def of(name: str) -> list[str]:
    return [rest for found, rest in FILE if found == name]


def last_stage() -> list[tuple[str, str]]:
    place = max(i for i, (name, _) in enumerate(FILE) if name == "FROM")
    return FILE[place:]


def listed(text: str) -> list[str]:
    """The arguments of an instruction in its form as a list."""
    found: list[str] = tomllib.loads(f"a = {text[text.index('[') :]}")["a"]
    return found


def test_it_is_built_on_a_python_that_the_project_supports() -> None:
    python, index = (dict(rest.split("=") for rest in of("ARG"))[name] for name in ("PYTHON", "TORCH_INDEX"))
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    # What holds nothing for GPUs, where nobody names a mirror of it.
    assert index.startswith("https://") and index.endswith("/whl/cpu")
    assert all(re.fullmatch(r"docker\.io/library/python:\$\{PYTHON\}-slim( AS \w+)?", rest) for rest in of("FROM"))


def test_what_is_installed_has_the_versions_of_the_constraints_and_nothing_is_kept() -> None:
    installs = [part for run in of("RUN") for part in run.split("&&") if "pip install" in part]
    assert len(installs) == 2 and all("--constraint constraints.txt" in part for part in installs)
    assert any("--index-url ${TORCH_INDEX} torch" in part for part in installs) and any(
        "'.[serve]'" in part for part in installs
    )
    assert "serve" in PROJECT["optional-dependencies"]
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    needed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["serve"]]
    for requirement in needed:
        name = re.split(r"[<>=]", requirement)[0]
        assert re.search(rf"(?im)^{name.replace('-', '[-_]')}==", constraints), name
    assert "PIP_NO_CACHE_DIR=1" in of("ENV")[0]


def test_the_files_that_it_takes_are_there_and_not_ignored() -> None:
    ignore = (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in ignore if line.startswith("!")}
    taken = {name for rest in of("COPY") if "--from" not in rest for name in rest.split()[:-1]}
    assert "*" in ignore and kept == taken
    assert all((ROOT / name).exists() for name in taken)
    assert (ROOT / ".dockerignore").read_text(encoding="utf-8") == "\n".join(ignore) + "\n"
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert {"Containerfile", ".containerignore"} <= set(hatch["sdist"]["include"])


def test_it_runs_as_nobody_in_particular_with_the_default_model_inside() -> None:
    (user,) = (rest for name, rest in last_stage() if name == "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert f"vispa models get {DEFAULT_MODEL} " in " ".join(of("RUN"))
    caches = re.findall(r"VISPA_CACHE=(\S+)", " ".join(of("ENV")))
    assert len(caches) == 2 and len(set(caches)) == 1 and caches[0].startswith("/opt/vispa/")
    assert not any(name in ("RUN", "ADD", "VOLUME") for name, _ in last_stage())


def test_its_command_is_one_of_the_command_line() -> None:
    (entry,), (arguments,) = ([listed(rest) for rest in of(name)] for name in ("ENTRYPOINT", "CMD"))
    assert entry == ["vispa", "serve"]
    command: Any = get_command(app)
    serve = command.commands["serve"]
    known = {flag: option.default for option in serve.params for flag in option.opts}
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert given == {"--host": "0.0.0.0", "--port": str(known["--port"])}
    assert of("EXPOSE") == [given["--port"]]


def test_its_health_is_that_of_the_server() -> None:
    """The very command, with the test's own port."""
    (check,) = of("HEALTHCHECK")
    program, flag, code = listed(check.partition("CMD")[2])
    assert (program, flag) == ("python", "-c") and f":8000{LIVENESS}'" in code
    served = started(embedded_pipeline)
    try:
        exec(code.replace(":8000", f":{served.port}"), {})
        with pytest.raises(OSError, match="404"):
            exec(code.replace(f":8000{LIVENESS}", f":{served.port}/health/none"), {})
    finally:
        served.stop()
