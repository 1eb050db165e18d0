"""`vispa fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli.console import print_json, print_line, progress_bars
from vispa.cli.grouping import grouped, only, without
from vispa.cli.options import AsJson, Loading, ModelArgument, Running, Selecting, Steering
from vispa.errors import InputError
from vispa.models.threads import check_threads
from vispa.request import DEFAULT_MODEL

if TYPE_CHECKING:
    from vispa.steering.updating import Update

# So many values are named in a line; --json names all.
_NAMED = 8


@grouped
def fit(
    model: ModelArgument = DEFAULT_MODEL,
    force: Annotated[
        bool, typer.Option(help="Read and fit everything anew although there is a bank; imported vectors stay.")
    ] = False,
    update: Annotated[
        bool,
        typer.Option("--update", help="Take over what a bank of an earlier version of the values has that stays."),
    ] = False,
    earlier: Annotated[
        str | None,
        typer.Option(metavar="BANK", help="Update this bank; else that of the model with most values in common."),
    ] = None,
    *,
    selecting: Annotated[Selecting, only("taxonomy")],
    loading: Annotated[Loading, without("model")],
    steering: Annotated[Steering, only("polarity")],
    running: Running,
    as_json: AsJson = False,
) -> None:
    """Fit the directions of all values on a model and cache them as its bank.

    Other commands do this by themselves on first use. Values that the model has read before are not read again.
    With --update the bank of another version of the values is gone on from; what has to be read is read by --engine.

    Example: `vispa fit ./my-llama`
    """
    if earlier is not None and not update:
        raise InputError("--earlier", "names a bank, but nothing is updated.", "Add --update.")
    if update and force:
        raise InputError("--force", "reads everything anew, --update only what changed.", "Give one of the two.")
    check_threads(loading.threads, "--threads")
    from vispa.cli.bank.finding import find_bank, print_by_block
    from vispa.generation.engines import activation_source, check_engine
    from vispa.models.loading import load_model
    from vispa.steering.bank_cache import bank_path, cached_bank
    from vispa.steering.updating import update_bank

    check_engine(running.engine, "--engine")
    values = steering.pointing(selecting.loaded_taxonomy())
    base = None if earlier is None else find_bank(earlier)
    updated = None
    with progress_bars() as progress:
        loaded = load_model(model, **loading.placement, progress=progress)
        source = activation_source(running.engine, loaded)
        if update:
            updated = update_bank(loaded, values, base, source=source, progress=progress)
            bank = updated.bank
        else:
            bank = cached_bank(loaded, values, force=force, source=source, progress=progress)
    kept = bank_path(loaded, values)
    path = str(kept) if kept.is_file() else None
    quality = {name: entry.directions.quality.mean(0).tolist() for name, entry in bank.entries.items()}
    if as_json:
        print_json(
            {
                "path": path,
                "model": model,
                "model_fingerprint": loaded.fingerprint,
                "taxonomy_fingerprint": values.fingerprint,
                "values": list(values),
                "blocks": len(loaded.blocks),
                "quality": {name: [round(q, 4) for q in row] for name, row in quality.items()},
                "recipe": vars(bank.recipe),
                **({} if updated is None else {"update": _update_as_json(updated)}),
            }
        )
        return
    print_line(path or "not kept: the cache cannot be used")
    if updated is not None:
        _print_update(updated)
    print_line(f"{len(values)} values, {len(loaded.blocks)} blocks; mean held-out accuracy by block:")
    for name, row in quality.items():
        print_by_block(name, row)


def _update_as_json(updated: Update) -> dict[str, Any]:
    return {
        "earlier": None if updated.earlier is None else str(updated.earlier),
        "same": dict(updated.same),
        "changed": list(updated.changed),
        "read": list(updated.read),
        "lost": {name: list(slugs) for name, slugs in updated.lost.items()},
    }


def _print_update(updated: Update) -> None:
    """What was read, and what the values that changed no longer have."""
    if updated.earlier is None:
        print_line("no earlier bank of this model has any of these values; all are fitted")
    else:
        print_line(f"from {updated.earlier}")
        print_line(f"{len(updated.same)} values as they were; changed: {_named(updated.changed)}")
    print_line(f"read: {_named(updated.read)}")
    if len(updated.read) > len(updated.changed):
        print_line("  what was read of unchanged values was not in the cache; the next update reads what changed")
    if updated.changed and updated.same:
        print_line(
            "directions of one value against the others have moved a little with the changed ones, as in a full fit"
        )
    for name, slugs in updated.lost.items():
        print_line(f"{name}: no longer of {_named(slugs)}")
        if name == "refined":
            print_line("  these are steered by the directions that refining begins from; `vispa tune` refines them")


def _named(slugs: tuple[str, ...]) -> str:
    if not slugs:
        return "none"
    return ", ".join(slugs[:_NAMED]) + (f" and {len(slugs) - _NAMED} more" if len(slugs) > _NAMED else "")
