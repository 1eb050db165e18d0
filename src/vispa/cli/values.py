"""`vispa values`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vispa.cli.console import print_json
from vispa.taxonomy import Taxonomy, Value


def values(
    name: Annotated[str | None, typer.Argument(metavar="[SLUG]", help="Show one value (slug, label or alias).")] = None,
    taxonomy: Annotated[
        Path | None,
        typer.Option(help="Folder of your own taxonomy: values.toml and pairs/SLUG.csv, or published CSV files."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the values, or show one with its definition and pairs.

    Example: `vispa values ubuntu`
    """
    loaded = Taxonomy.load(taxonomy) if taxonomy else Taxonomy.built_in()
    if name is not None:
        _show(loaded, loaded[name], as_json)
    elif as_json:
        print_json([asdict(value) for value in loaded.values])
    else:
        _list(loaded)


def _list(taxonomy: Taxonomy) -> None:
    width = max(len(value.slug) for value in taxonomy.values)
    family = None
    for value in taxonomy.values:
        if value.family != family:
            family = value.family
            typer.echo(f"\n{family}" if value is not taxonomy.values[0] else family)
        mark = "  (avoided)" if value.polarity == "avoid" else ""
        typer.echo(f"  {value.slug:<{width}}  {value.definition}{mark}")


def _show(taxonomy: Taxonomy, value: Value, as_json: bool) -> None:
    pairs = taxonomy.pairs(value.slug)
    if as_json:
        print_json({**asdict(value), "pairs": [asdict(pair) for pair in pairs]})
        return
    rows = [
        ("family", value.family),
        ("definition", value.definition),
        ("theory", value.theory),
        ("source", value.source),
        ("polarity", value.polarity),
        ("aliases", ", ".join(value.aliases)),
        ("pairs", str(len(pairs))),
    ]
    typer.echo(f"{value.label} ({value.slug})")
    for field, text in rows:
        if text:
            typer.echo(f"  {field:<11} {text}")
    typer.echo("  example     + " + pairs[0].positive)
    typer.echo("              - " + pairs[0].negative)
