"""Writing whole files: replaced in one step, never half."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vispa.errors import InputError


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
