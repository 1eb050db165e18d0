"""`vispa fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vispa.cli.console import print_json, print_line, progress_bars


def fit(
    model: Annotated[
        str, typer.Argument(help="A name (`vispa models list`), a GGUF file, a folder, or a hub id.")
    ] = "embedded",
    taxonomy: Annotated[Path | None, typer.Option(help="Folder of your own taxonomy.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")] = "auto",
    device: Annotated[str | None, typer.Option(help="Torch device; a GPU where there is one.")] = None,
    trust_remote_code: Annotated[bool, typer.Option(help="Run code that comes with the model.")] = False,
    force: Annotated[bool, typer.Option(help="Fit anew although there is a bank; imported vectors stay.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit the directions of all values on a model and cache them as its bank.

    Other commands do this by themselves on first use. Example: `vispa fit ./my-llama`
    """
    from vispa.models.loading import load_model
    from vispa.steering.bank_cache import bank_path, cached_bank
    from vispa.taxonomy import Taxonomy

    values = Taxonomy.load(taxonomy) if taxonomy else Taxonomy.built_in()
    with progress_bars() as progress:
        loaded = load_model(model, dtype=dtype, device=device, trust_remote_code=trust_remote_code, progress=progress)
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
