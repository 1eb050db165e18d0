"""Reading and writing whole files, and where cached files live."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vispa.errors import InputError

#: Environment variable that moves the cache folder.
CACHE_VARIABLE = "VISPA_CACHE"


def cache_folder() -> Path:
    """The user's folder for banks and other things that can be computed again."""
    override = os.environ.get(CACHE_VARIABLE)
    if override:
        return Path(override)
    import platformdirs

    return Path(platformdirs.user_cache_dir("vispa"))


def read_text(path: Path) -> str:
    """The text of a UTF-8 file; a byte-order mark is left out.

    Raises:
        InputError: unreadable or not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror}).", "Check path and permissions.") from error
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"is not UTF-8 (byte {error.start}).", "Save it with UTF-8 encoding.") from error


def banks_folder() -> Path:
    """Where the cached banks of vectors are."""
    return cache_folder() / "banks"


def write_json(path: Path, data: object) -> None:
    """Write a JSON file whole; the same data gives the same bytes.

    Raises:
        InputError: the folder cannot be written to.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends without an error.

    Raises:
        InputError: the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(
            str(path), f"cannot be written ({error.strerror}).", "Choose a folder that you may write to."
        ) from error
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner may read; these are ordinary ones.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
