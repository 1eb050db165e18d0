"""`vispa bank list`, `show` and `remove`: the banks that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli.bank.finding import (
    OfBank,
    bank_row,
    bank_shape,
    is_shipped,
    print_by_block,
    ranges,
    shipped_banks,
)
from vispa.cli.console import cell, confirm, print_drawn, print_json, print_line
from vispa.cli.grouping import grouped
from vispa.cli.options import AsJson
from vispa.errors import BankError
from vispa.files.folders import banks_folder, cached_banks

if TYPE_CHECKING:
    from vispa.steering.bank import VectorBank

# Of a model's fingerprint, in a cached bank's name.
_MODEL_DIGITS = 20


def list_banks(as_json: AsJson = False) -> None:
    """List the cached banks and those that ship with the package.

    Example: `vispa bank list`
    """
    rows = [bank_row(path) for path in (*cached_banks(), *shipped_banks())]
    if as_json:
        print_json(rows)
        return
    if all(row["shipped"] for row in rows):
        print_line(f"no banks in {banks_folder()}; `vispa fit` makes one")
    for row in rows:
        print_line(f"{row['path']}" + (" (ships with the package)" if row["shipped"] else ""))
        if "problem" in row:
            print_line(f"  {row['problem']}")
        else:
            about = f"{row['model']}: {row['values']} values, {row['blocks']} blocks, width {row['width']}"
            print_line(f"  {about}; {', '.join(row['estimators'])}")
        print_line(f"  {row['size'] / 1e6:.1f} MB, {row['date']}")


@grouped
def show(context: typer.Context, bank: OfBank, *, as_json: AsJson = False) -> None:
    """Show what a bank is bound to, how well its directions separate, and its recipe.

    Example: `vispa bank show embedded`
    """
    path, loaded = bank.load(context)
    quality = {name: entry.directions.quality.mean(0).tolist() for name, entry in loaded.entries.items()}
    if as_json:
        print_json(_as_json(path, loaded, quality))
        return
    print_line(f"{path}")
    _print_about(loaded)
    print_line("  mean held-out accuracy by block:")
    for name, row in quality.items():
        entry = loaded.entries[name]
        about = "imported" if entry.imported else f"{entry.reading}, {entry.contrast}"
        print_by_block(f"{name} ({about})", row)


def _print_about(bank: VectorBank) -> None:
    """What a bank is bound to, its recipe, and what came of its tuning."""
    from rich.table import Table

    info, tuned = bank.info, bank.tuning or {}
    by = f"no; the recipe came with {tuned['imported']}" if "imported" in tuned else "yes; how: --json"
    rows = [
        ("model", f"{info.model} ({info.model_fingerprint[:20]})"),
        ("taxonomy", info.taxonomy_fingerprint[:20]),
        ("fingerprint", bank.fingerprint[:20]),
        ("values", ", ".join(info.values)),
        ("versions", ", ".join(f"{name} {version}" for name, version in info.versions.items())),
        ("recipe", "; ".join(f"{name} {_plain(name, entry)}" for name, entry in vars(bank.recipe).items())),
    ]
    for one in bank.measured():
        fractions = one["fractions"].values()
        recipe = f"{one['recipe']['estimator']}, {one['recipe']['magnitude']} {one['recipe']['amount']:g}"
        rows.append(("strengths", f"{recipe}: {min(fractions):g} to {max(fractions):g} ({len(fractions)} values)"))
    rows.append(("tuned", by if tuned else "no"))
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, text in rows:
        table.add_row(f"  {name}", cell(text))
    print_drawn(table)


@grouped
def remove(
    context: typer.Context,
    bank: OfBank,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a bank's file.

    Example: `vispa bank remove my-llama --yes`
    """
    path = bank.path(context)
    if is_shipped(path):
        raise BankError(bank.bank, "ships with the package and is not removed.", "See `vispa bank list` for others.")
    if path.parent.resolve() != banks_folder().resolve():
        # A mistyped path must not cost anybody another file; the cache holds nothing but banks.
        from vispa.steering.bank import VectorBank

        VectorBank.load(path)
    if not yes:
        confirm(f"Delete {path}?")
    size = path.stat().st_size
    path.unlink()
    of_values = _forget_values(path) if path.parent.resolve() == banks_folder().resolve() else 0
    if as_json:
        print_json({"removed": str(path), "size": size, "size_of_values": of_values})
        return
    print_line(f"removed {path} ({size / 1e6:,.1f} MB)")
    if of_values:
        print_line(f"removed what was kept of its model's values for the next fit ({of_values / 1e6:,.1f} MB)")


def _forget_values(path: Path) -> int:
    """Delete what is kept of a model's values when its last bank has gone; the bytes that this took."""
    model = path.name.split("-")[0]
    if len(model) == _MODEL_DIGITS and not any(other.name.startswith(f"{model}-") for other in cached_banks()):
        from vispa.steering.value_fits import folder_of, forget

        size = sum(file.stat().st_size for file in folder_of(model).rglob("*") if file.is_file())
        forget(model)
        return size
    return 0


def _as_json(path: Path, bank: VectorBank, quality: dict[str, list[float]]) -> dict[str, Any]:
    entries = {
        name: {
            "reading": entry.reading,
            "contrast": entry.contrast,
            "imported": entry.imported,
            "quality": [round(q, 4) for q in quality[name]],
        }
        for name, entry in bank.entries.items()
    }
    blocks, width = bank_shape(bank)
    return {
        "path": str(path),
        "fingerprint": bank.fingerprint,
        **asdict(bank.info),
        "blocks": blocks,
        "width": width,
        "estimators": entries,
        "recipe": asdict(bank.recipe),
        "strengths": bank.measured(),
        "tuning": bank.tuning,
    }


def _plain(name: str, entry: Any) -> str:
    """A field of a recipe in words, which a line may end between."""
    if name == "blocks" and entry is not None:
        return ranges(entry)
    if isinstance(entry, Mapping):
        return ", ".join(f"{slug}={amount}" for slug, amount in entry.items()) or "None"
    return ", ".join(map(str, entry)) if isinstance(entry, tuple) else str(entry)
