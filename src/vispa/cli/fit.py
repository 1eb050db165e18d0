"""`vispa fit`."""

from __future__ import annotations

from typing import Annotated

import typer

from vispa.cli.console import print_json, print_line, progress_bars
from vispa.cli.grouping import grouped, only, without
from vispa.cli.options import AsJson, Loading, ModelArgument, Selecting
from vispa.request import DEFAULT_MODEL


@grouped
def fit(
    model: ModelArgument = DEFAULT_MODEL,
    force: Annotated[bool, typer.Option(help="Fit anew although there is a bank; imported vectors stay.")] = False,
    *,
    selecting: Annotated[Selecting, only("taxonomy")],
    loading: Annotated[Loading, without("model")],
    as_json: AsJson = False,
) -> None:
    """Fit the directions of all values on a model and cache them as its bank.

    Other commands do this by themselves on first use. Example: `vispa fit ./my-llama`
    """
    from vispa.models.loading import load_model
    from vispa.steering.bank_cache import bank_path, cached_bank

    values = selecting.loaded_taxonomy()
    with progress_bars() as progress:
        loaded = load_model(model, **loading.placement, progress=progress)
        bank = cached_bank(loaded, values, force=force, progress=progress)
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
            }
        )
        return
    print_line(path or "not kept: the cache cannot be used")
    print_line(f"{len(values)} values, {len(loaded.blocks)} blocks; mean held-out accuracy by block:")
    for name, row in quality.items():
        print_line(f"  {name:<24} " + " ".join(f"{q:.2f}" for q in row))
