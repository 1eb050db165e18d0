"""`vispa values`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vispa.cli.console import print_json, print_line
from vispa.cli.grouping import grouped, only
from vispa.cli.options import AsJson, Selecting
from vispa.taxonomy import Taxonomy, Value


@grouped
def values(
    name: Annotated[str | None, typer.Argument(metavar="[SLUG]", help="Show one value (slug, label or alias).")] = None,
    *,
    selecting: Annotated[Selecting, only("taxonomy", "language")],
    as_json: AsJson = False,
) -> None:
    """List the values, or show one with its definition and pairs.

    Example: `vispa values ubuntu`

    In another language: `vispa values --language de`
    """
    loaded = selecting.loaded_taxonomy()
    if name is not None:
        _show(loaded, loaded.shown(name), as_json)
    elif as_json:
        print_json([asdict(loaded.shown(slug)) for slug in loaded])
    else:
        _list(loaded)


def _list(taxonomy: Taxonomy) -> None:
    width = max(len(value.slug) for value in taxonomy.values)
    family = None
    for value in taxonomy.values:
        if value.family != family:
            family = value.family
            if value is not taxonomy.values[0]:
                print_line()
            print_line(family)
        mark = "  (avoided)" if value.polarity == "avoid" else ""
        shown = taxonomy.shown(value.slug)
        label = "" if shown is value else f"{shown.label}: "
        print_line(f"  {value.slug:<{width}}  {label}{shown.definition}{mark}")


def _show(taxonomy: Taxonomy, value: Value, as_json: bool) -> None:
    pairs = taxonomy.pairs(value.slug)
    if as_json:
        print_json(taxonomy.record(value.slug))
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
    print_line(f"{value.label} ({value.slug})")
    for field, text in rows:
        if text:
            print_line(f"  {field:<11} {text}")
    print_line("  example     + " + pairs[0].positive)
    print_line("              - " + pairs[0].negative)
