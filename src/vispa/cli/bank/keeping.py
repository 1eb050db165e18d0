"""`vispa bank list`, `show` and `remove`: the banks that are kept."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli.bank.finding import (
    OfBank,
    bank_row,
    bank_shape,
    is_shipped,
    shipped_banks,
)
from vispa.cli.console import confirm, print_json, print_line
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
    info = loaded.info
    print_line(f"{path}")
    print_line(f"  model       {info.model} ({info.model_fingerprint[:20]})")
    print_line(f"  taxonomy    {info.taxonomy_fingerprint[:20]}")
    print_line(f"  fingerprint {loaded.fingerprint[:20]}")
    print_line(f"  values      {', '.join(info.values)}")
    print_line(f"  versions    {', '.join(f'{name} {version}' for name, version in info.versions.items())}")
    print_line("  recipe      " + ", ".join(f"{name} {_plain(entry)}" for name, entry in vars(loaded.recipe).items()))
    for one in loaded.measured():
        fractions = one["fractions"].values()
        recipe = f"{one['recipe']['estimator']}, {one['recipe']['magnitude']} {one['recipe']['amount']:g}"
        print_line(f"  strengths   {recipe}: {min(fractions):g} to {max(fractions):g} ({len(fractions)} values)")
    tuned = loaded.tuning or {}
    by = f"no; the recipe came with {tuned['imported']}" if "imported" in tuned else "yes; how: --json"
    print_line(f"  tuned       {by if tuned else 'no'}")
    print_line("  mean held-out accuracy by block, from 0:")
    width_of_names = max((len(name) for name in quality), default=0)
    for name, row in quality.items():
        entry = loaded.entries[name]
        about = "(imported)" if entry.imported else f"({entry.reading}, {entry.contrast})"
        print_line(f"    {name:<{width_of_names}}  {about:<15} " + " ".join(f"{q:.2f}" for q in row))


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
    if path.parent.resolve() == banks_folder().resolve():
        _forget_values(path)
    if as_json:
        print_json({"removed": str(path), "size": size})
    else:
        print_line(f"removed {path}")


def _forget_values(path: Path) -> None:
    """Delete what is kept of a model's values when its last bank has gone."""
    model = path.name.split("-")[0]
    if len(model) == _MODEL_DIGITS and not any(other.name.startswith(f"{model}-") for other in cached_banks()):
        from vispa.steering.value_fits import forget

        forget(model)


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


def _plain(entry: Any) -> str:
    if isinstance(entry, dict):
        return ",".join(f"{name}={amount}" for name, amount in entry.items()) or "None"
    return ",".join(map(str, entry)) if isinstance(entry, tuple) else str(entry)
