"""Which bank is meant: a file, the beginning of a cached one's name, or the model it was fitted on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.errors import BankError, InputError
from vispa.files.folders import banks_folder

if TYPE_CHECKING:
    from vispa.steering.bank import VectorBank

BankName = Annotated[
    str, typer.Argument(metavar="BANK", help="A file, the beginning of a cached one's name, or a model.")
]


def cached_banks() -> list[Path]:
    """The files of the cached banks, by name; those that are being written are left out."""
    return sorted(path for path in banks_folder().glob("*.safetensors") if not path.name.startswith("."))


def find_bank(bank: str) -> Path:
    """The file that is meant by a path, the beginning of a cached file's name, or a recorded model name.

    Raises:
        BankError: there is none, or several may be meant.
    """
    if Path(bank).is_file():
        return Path(bank)
    found = [path for path in cached_banks() if bank and path.name.startswith(bank)]
    found = found or [path for path in cached_banks() if bank_row(path).get("model") == bank]
    if not found:
        raise BankError(bank, "is no file, no cached bank, and no model of one.", "See `vispa bank list`.")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise BankError(bank, f"may be any of {len(found)} banks ({names}).", "Write more of the name.")
    return found[0]


def load_bank(bank: str) -> tuple[Path, VectorBank]:
    """The file that is meant, and what is in it.

    Raises:
        InputError: as `find_bank`; the file is no bank that can be used.
    """
    from vispa.steering.bank import VectorBank

    path = find_bank(bank)
    return path, VectorBank.load(path)


def bank_row(path: Path) -> dict[str, Any]:
    """What `vispa bank list` says of a file; of one that cannot be loaded, its problem."""
    from vispa.steering.bank import VectorBank

    status = path.stat()
    date = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds")
    try:
        bank = VectorBank.load(path)
    except InputError as error:
        return {"path": str(path), "problem": str(error), "size": status.st_size, "date": date}
    blocks, width = bank_shape(bank)
    return {
        "path": str(path),
        "model": bank.info.model,
        "values": len(bank.info.values),
        "blocks": blocks,
        "width": width,
        "estimators": list(bank.entries),
        "size": status.st_size,
        "date": date,
    }


def bank_shape(bank: VectorBank) -> tuple[int, int]:
    """Number of blocks and width; width 0 for a bank without estimators."""
    return len(bank.residual_norm), bank.width or 0
