"""Writing whole files: replaced in one step, never half, and never one that is being read."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vispa.errors import InputError, OutputError, VispaError

# What happens to a place that may well be written to: no other name would help.
_EXHAUSTED = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE))
_NAME_FOLDER = "Name a folder."
# Libraries written in Rust give an operating system's error in words, with its number.
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")


def write_json(path: Path, data: object) -> None:
    """Write a JSON file whole; the same data gives the same bytes.

    Raises:
        InputError, OutputError: as `replacing`.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends without an error.

    Where `path` is a symbolic link, the file that it leads to is replaced.

    Raises:
        InputError: the folder cannot be written to, or `path` is there and no ordinary file.
        OutputError: there is no room for the file; what was there before is kept.
    """
    check_output(path)
    place = Path(os.path.realpath(path))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    except OSError as error:
        raise unwritten(path, error, "folder", "Nothing is written there.") from error
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner may read.
        _make_ordinary(temporary)
        temporary.replace(place)
    except Exception as error:
        cause = _system_error(error)
        if cause is None:
            raise
        raise unwritten(path, cause, "folder", "What was there before is kept; make room and repeat.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that takes its place, and that of what lies there, when the block ends without an error.

    Args:
        folder: in a folder that is there.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        place = Path(temporary) / "whole"
        place.mkdir()
        yield place
        # So do some libraries, such as safetensors.
        _make_ordinary(place, *place.rglob("*"))
        if folder.exists():
            shutil.rmtree(folder)
        place.replace(folder)


def check_output(path: Path, inputs: Iterable[Path | None] = ()) -> None:
    """Refuse to write what is no ordinary file, or what the command reads or prints to.

    Links, symbolic and hard ones, are seen through.

    Args:
        path: to be written; it need not be there.
        inputs: the files that are read, None for one that was not given.

    Raises:
        InputError: a folder, a device or pipe, one of the inputs, standard output (`-` too), or in a
            folder that cannot be written to.
        OutputError: there is no room.
    """
    place = str(path)
    _check_no_dash(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        # A link to nothing is written where it leads to, which may be a folder by a way that is not there.
        end = Path(os.path.realpath(path))
        if end.is_dir():
            raise InputError(place, "is a folder.", "Name a file.") from None
        check_writable(end.parent, place)
        return
    except OSError as error:
        raise unwritten(path, error, "file", "Nothing is written there.") from error
    if path.is_dir():
        raise InputError(place, "is a folder.", "Name a file.")
    if not path.is_file():
        raise InputError(place, "is no ordinary file.", "Name a file; a device or pipe cannot be gone on with.")
    for source in inputs:
        if source is not None and _is_file(source, status):
            raise InputError(place, f"is read by this command ({source}).", "Name another file for the output.")
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(OSError, ValueError, AttributeError):
            if os.path.samestat(os.fstat(stream.fileno()), status):  # type: ignore[union-attr]
                raise InputError(place, "is where this command prints.", "Name another file for the output.")


def check_writable(folder: Path, place: str | None = None) -> None:
    """Refuse a folder that no file can be made in, before anything is computed for one.

    Args:
        folder: it need not be there yet; then the nearest one above it counts.
        place: what it is called in messages; its own name by default.

    Raises:
        InputError: it is a file or `-`, or cannot be written to.
        OutputError: there is no room.
    """
    _check_no_dash(folder)
    place = str(folder) if place is None else place
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise InputError(
                place, "is a file." if there == folder else f"cannot be ({there} is a file).", _NAME_FOLDER
            )
        # Permissions alone do not tell: an administrator has them all.
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise unwritten(Path(place), error, "folder", "Nothing is written there.") from error


def unwritten(path: Path, error: OSError, kind: str, kept: str) -> VispaError:
    """What to raise where something could not be written.

    Args:
        path: of the file or folder.
        error: of the operating system.
        kind: what else to choose where the place itself is at fault, `file` or `folder`.
        kept: what is kept where there was no room, and what to do.

    Returns:
        OutputError where there was no room, InputError where the place cannot be written to.
    """
    problem = f"cannot be written ({error.strerror or error})."
    if is_exhausted(error):
        return OutputError(str(path), problem, kept)
    return InputError(str(path), problem, f"Choose a {kind} that you may write{' to' if kind == 'folder' else ''}.")


def is_exhausted(error: OSError) -> bool:
    """Whether it is room, or the like, that was lacking: another name would not help."""
    return error.errno in _EXHAUSTED


def _check_no_dash(path: Path) -> None:
    """Refuse the name that stands for a standard stream; files of that name are awkward to delete."""
    if path == Path("-"):
        raise InputError(str(path), "stands for standard output, where no output goes.", "Name a file or folder.")


def _is_file(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), status)
    except (OSError, ValueError):
        return False


def _system_error(error: Exception) -> OSError | None:
    """The operating system's error that an error stands for."""
    if isinstance(error, OSError):
        return error
    found = None if isinstance(error, VispaError) else _RUST_ERROR.search(str(error))
    return None if found is None else OSError(int(found[1]), os.strerror(int(found[1])))


def _make_ordinary(*paths: Path) -> None:
    """Let others do with files and folders what the user lets them do."""
    mask = os.umask(0)
    os.umask(mask)
    for path in paths:
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
