"""What can be had from a bank's file that may be damaged or of an older release."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

import torch

from vispa.errors import BankError
from vispa.steering.bank import VectorBank
from vispa.steering.bank_header import FORMAT, BankHeader, parsed_header
from vispa.steering.bank_parts import Entry, entry_from
from vispa.steering.estimators.base import Directions
from vispa.steering.sealing import read_sealed, stored_header
from vispa.steering.soundness import entry_problems, number_problems


@dataclass(frozen=True)
class Salvage:
    """What a bank's file still gives.

    Attributes:
        bank: the whole bank; None where the file is damaged, unsound or of an older release.
        problem: what is wrong with the file; empty where nothing is.
        entries: those that can be trusted, by estimator name; of an older release, which had no
            checksums, those whose numbers can be right.
        lost: names of the entries that cannot be.
        unchecked: whether no checksum vouches for the entries.
    """

    bank: VectorBank | None = None
    problem: str = ""
    entries: dict[str, Entry] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    unchecked: bool = False


def salvaged(path: Path) -> Salvage:
    """Read all of a bank's file that can be trusted; never fails."""
    try:
        bank = VectorBank.load(path)
    except BankError as error:
        return _parts(path, error.problem.rstrip("."))
    if problems := number_problems(bank):
        lost = [name for name, entry in bank.entries.items() if entry_problems(name, entry)]
        kept = {name: entry for name, entry in bank.entries.items() if name not in lost}
        return Salvage(None, f"is not sound: {problems[0]}", kept, tuple(lost))
    return Salvage(bank, "", dict(bank.entries))


def _parts(path: Path, problem: str) -> Salvage:
    """The entries of a file that is no whole bank, each by itself."""
    try:
        sealed = read_sealed(path)
        header = parsed_header(sealed.header, str(path))
    except BankError:
        return Salvage(None, problem, {}, _names(path))
    older = header.format != FORMAT
    if not (sealed.whole or older):
        return Salvage(None, problem, {}, tuple(header.entries))
    kept = {}
    for name, about in header.entries.items():
        whole = older or sealed.broken.isdisjoint(f"{name}.{part.name}" for part in fields(Directions))
        entry = _sound_entry(name, header, sealed.tensors, str(path)) if whole else None
        if entry is not None:
            kept[name] = Entry(entry.directions, entry.reading, entry.contrast, about.imported)
    return Salvage(None, problem, kept, tuple(name for name in header.entries if name not in kept), older)


def _sound_entry(name: str, header: BankHeader, tensors: dict[str, torch.Tensor], place: str) -> Entry | None:
    try:
        entry = entry_from(name, header.entries[name], tensors, place)
    except BankError:
        return None
    return None if entry_problems(name, entry) else entry


def _names(path: Path) -> tuple[str, ...]:
    """What the entries of a file were called, as far as its header tells."""
    try:
        return tuple(parsed_header(stored_header(path), str(path)).entries)
    except BankError:
        return ()
