"""`vispa models`: models with a name of their own, fetched into the user's cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli import options as o
from vispa.cli.console import print_json, print_line, print_note, print_text, progress_bars

if TYPE_CHECKING:
    from vispa.models.sources.named import NamedModel

app = typer.Typer(
    help="Models with a name of their own: what there is, fetching and removing them.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="Name of a model, as `vispa models list` gives it.")]


@app.command("list")
def list_models(as_json: o.AsJson = False) -> None:
    """List the models that can be asked for by name.

    Example: `vispa models list`
    """
    from vispa.models.sources.named import named_models

    if as_json:
        print_json([_row(model) for model in named_models().values()])
        return
    for model in named_models().values():
        state = f"here, {model.size / 1e6:,.0f} MB" if model.is_here else f"{model.megabytes} MB to fetch"
        print_text(f"{model.name:<14} {model.label} ({state})\n{'':<14} {model.licence}. {model.note}")
    print_line(f"{'embedded':<14} ships with the package; for tests, it knows nothing of the world")


@app.command("get")
def get_model(name: Name, as_json: o.AsJson = False) -> None:
    """Fetch a model, converted where it needs be; other commands do this by themselves on first use.

    Example: `vispa models get smollm2`
    """
    from vispa.models.sources.named import named_model

    model = named_model(name)
    # Of other terms a warning tells before anything is fetched.
    was_told = not (model.is_here or model.is_open)
    with progress_bars() as progress:
        folder = model.get(progress)
    if not was_told:
        print_note(f"vispa: {model.label}: {model.licence}")
    if as_json:
        print_json(_row(model))
    else:
        print_line(str(folder))


@app.command("remove")
def remove_model(name: Name, as_json: o.AsJson = False) -> None:
    """Delete a fetched model from the cache.

    Example: `vispa models remove smollm2`
    """
    from vispa.models.sources.named import named_model

    model = named_model(name)
    folder, size = model.folder, model.size
    was_here = model.remove()
    if as_json:
        print_json({"name": name, "removed": was_here, "folder": str(folder), "bytes": size})
    elif was_here:
        print_line(f"removed {name} ({model.label}, {size / 1e6:,.0f} MB) from {folder}")
    else:
        print_line(f"{name} was not there")


def _row(model: NamedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "label": model.label,
        "kind": model.kind,
        "licence": model.licence,
        "hub": model.hub,
        "note": model.note,
        "here": model.is_here,
        "folder": str(model.folder),
        "bytes": model.size,
        "megabytes_to_fetch": model.megabytes,
    }
