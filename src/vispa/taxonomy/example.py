"""An example of a user's own taxonomy, to be changed."""

from __future__ import annotations

from pathlib import Path

from vispa.errors import InputError
from vispa.files.door import read_bytes
from vispa.files.writing import replacing, unwritten

_EXAMPLE = Path(__file__).parent / "examples"
# The folder is a taxonomy once values.toml is there, so that comes last.
_FILES = ("pairs/curiosity.csv", "pairs/patience.csv", "pairs/wastefulness.csv", "values.toml")


def write_example(folder: Path) -> list[Path]:
    """Write a taxonomy of three values with six pairs each.

    Args:
        folder: empty, or not there yet.

    Returns:
        The files.

    Raises:
        InputError: the folder holds something, is a file, or cannot be written to.
        VispaError: there is no room.
    """
    advice = "Name a folder that is empty or not there yet."
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(str(folder), "is a file.", advice)
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(str(folder), "is not empty.", advice)
    except OSError as error:
        raise unwritten(folder, error, "folder", "Nothing was written.") from error
    written = [folder / name for name in _FILES]
    for name, path in zip(_FILES, written, strict=True):
        with replacing(path) as temporary:
            temporary.write_bytes(read_bytes(_EXAMPLE / name, "table"))
    return written
