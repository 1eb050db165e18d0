"""One process or thread at a time changes a file: reading, changing and writing it is one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vispa.errors import InputError

#: Seconds to wait for others that change the file.
PATIENCE_S = 120.0


@contextmanager
def changing(path: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Keep others from changing a file while the context lasts; readers need no lock, for files are replaced whole.

    Args:
        path: the file; its folder is made where it is missing.
        patience_s: seconds to wait for others.

    Raises:
        InputError: the folder cannot be written to, or others take too long.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=patience_s)
    except Timeout as error:
        advice = "Wait until it is done, and try again."
        raise InputError(str(path), "is being changed by another process.", advice) from error
    except (OSError, NotImplementedError) as error:
        # The second where a file system knows no locks.
        advice = "Choose a folder that you may write to."
        raise InputError(
            str(path), f"cannot be written ({getattr(error, 'strerror', None) or error}).", advice
        ) from error
    try:
        yield
    finally:
        lock.release()
