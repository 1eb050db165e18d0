"""Which bank is meant: a file, the beginning of a cached one's name, or the model it was fitted on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli.console import print_line
from vispa.cli.defaults import is_configured
from vispa.errors import BankError, InputError
from vispa.files.folders import cached_banks

if TYPE_CHECKING:
    from vispa.steering.bank import VectorBank
    from vispa.steering.bank_header import BankHeader

# So many blocks' figures stand in a line, which no terminal is too narrow for.
_IN_A_LINE = 10

OfTaxonomy = Annotated[
    Path | None,
    typer.Option(
        "--taxonomy", help="Folder of the values that it was fitted on; the built-in ones where several banks fit."
    ),
]


@dataclass(frozen=True)
class OfBank:
    """Which bank a command is about."""

    bank: Annotated[
        str, typer.Argument(metavar="BANK", help="A file, the beginning of a cached one's name, or a model.")
    ]
    taxonomy: OfTaxonomy = None

    def path(self, context: typer.Context) -> Path:
        """Its file, see `find_bank`."""
        return find_bank(self.bank, self.taxonomy, demanded=not is_configured(context, "taxonomy"))

    def load(self, context: typer.Context) -> tuple[Path, VectorBank]:
        """Its file, and what is in it.

        Raises:
            InputError: as `find_bank`; the file is no bank that can be used.
        """
        from vispa.steering.bank import VectorBank

        path = self.path(context)
        return path, VectorBank.load(path)


def shipped_banks() -> list[Path]:
    """The files of the banks that ship with the package, by the name of their model."""
    from vispa.steering.shipped_banks import shipped_headers

    return list(shipped_headers())


def is_shipped(path: Path) -> bool:
    """Whether a file is one of the package's own, which no command changes."""
    return path.resolve() in {one.resolve() for one in shipped_banks()}


def find_bank(bank: str, taxonomy: Path | None = None, *, demanded: bool = True) -> Path:
    """The file that is meant by a path, the beginning of a cached file's name, or a recorded model name.

    Args:
        bank: any of them.
        taxonomy: folder of the values that the bank was fitted on; by default any, and the built-in
            values where there are several.
        demanded: refuse a bank that was fitted on other values; else they only decide between several.

    Raises:
        BankError: there is none, or several may be meant.
        InputError: the folder is no taxonomy.
    """
    found = matching_banks(bank)
    if taxonomy is not None and (demanded or len(found) > 1):
        fitted = fitted_on(found, taxonomy)
        if not fitted and demanded:
            raise BankError(bank, f"was not fitted on the values of {taxonomy}.", "Fit it with `vispa fit --taxonomy`.")
        found = fitted or found
    return the_one(bank, found)


def matching_banks(bank: str) -> list[Path]:
    """The file itself, all cached banks whose name begins so or whose model is called so, or else the one that ships.

    Raises:
        BankError: there is none.
    """
    if Path(bank).is_file():
        return [Path(bank)]
    found = [path for path in cached_banks() if bank and path.name.startswith(bank)]
    if not found:
        headers = {path: _header(path) for path in cached_banks()}
        named = {path: one for path, one in headers.items() if one is not None and one.info.model == bank}
        found = [path for path, one in named.items() if _usable(one)] or list(named)
    if not found:
        found = [path for path in shipped_banks() if path.stem == bank]
    if not found:
        raise BankError(bank, "is no file, no cached bank, and no model of one.", "See `vispa bank list`.")
    return found


def fitted_on(banks: list[Path], taxonomy: Path | None) -> list[Path]:
    """Those of the banks that were fitted on a taxonomy, the built-in one by default."""
    from vispa.taxonomy import Taxonomy

    fingerprint = (Taxonomy.built_in() if taxonomy is None else Taxonomy.load(taxonomy)).fingerprint
    headers = {path: _header(path) for path in banks}
    return [path for path, one in headers.items() if one is not None and one.info.taxonomy_fingerprint == fingerprint]


def the_one(bank: str, found: list[Path]) -> Path:
    """The one bank that is meant; of several, that of the built-in values.

    Raises:
        BankError: several may be meant.
    """
    if len(found) > 1:
        found = fitted_on(found, None) or found
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise BankError(bank, f"may be any of {len(found)} banks ({names}).", "Write more of the name, or --taxonomy.")
    return found[0]


def _header(path: Path) -> BankHeader | None:
    """What a bank's file says of itself; None where it says nothing that can be used."""
    from vispa.steering.bank_header import parsed_header
    from vispa.steering.sealing import stored_header

    try:
        return parsed_header(stored_header(path), str(path))
    except BankError:
        return None


def _usable(header: BankHeader) -> bool:
    """Whether this release can use a bank with such a header; an older or a newer one may have written it."""
    from vispa.steering.bank_header import FORMAT
    from vispa.steering.recipe import Recipe

    try:
        for recipe in (header.recipe, *(one.recipe for one in header.strengths)):
            Recipe.from_mapping(recipe)
    except InputError:
        return False
    return header.format == FORMAT


def bank_row(path: Path) -> dict[str, Any]:
    """What `vispa bank list` says of a file; of one that cannot be loaded, its problem."""
    from vispa.steering.bank import VectorBank

    status = path.stat()
    date = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds")
    try:
        bank = VectorBank.load(path)
    except InputError as error:
        return {
            "path": str(path),
            "shipped": is_shipped(path),
            "problem": str(error),
            "size": status.st_size,
            "date": date,
        }
    blocks, width = bank_shape(bank)
    return {
        "path": str(path),
        "shipped": is_shipped(path),
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


def print_by_block(name: str, figures: Sequence[float]) -> None:
    """A name, and below it a figure for each block, ten a line with the numbers of their blocks."""
    print_line(f"  {name}")
    for start in range(0, len(figures), _IN_A_LINE):
        part = figures[start : start + _IN_A_LINE]
        print_line(f"{ranges(range(start, start + len(part))):>9}  " + " ".join(f"{one:4.2f}" for one in part))


def print_blocks(layers: Mapping[str, Collection[int]], more: str = "") -> None:
    """At which blocks each value has vectors, said once of all values that have them at the same.

    Args:
        layers: value → numbers of its blocks.
        more: goes on after the numbers.
    """
    by_blocks: dict[tuple[int, ...], list[str]] = {}
    for slug, blocks in layers.items():
        by_blocks.setdefault(tuple(blocks), []).append(slug)
    most = max(by_blocks.values(), key=len, default=[])
    for blocks, slugs in by_blocks.items():
        if slugs is most and len(slugs) > 1:
            other = "other " if len(by_blocks) > 1 else ""
            print_line(f"{len(slugs)} {other}values: blocks {ranges(blocks)}{more}")
            continue
        for slug in slugs:
            print_line(f"{slug}: blocks {ranges(blocks)}{more}")


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as `--blocks` takes them: those that follow one another as a range, such as `3, 10-25`."""
    runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), lambda one: one[1] - one[0])]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
