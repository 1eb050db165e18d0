"""`vispa taxonomy`: a user's own values."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.cli.console import cell, print_drawn, print_json, print_line
from vispa.cli.options import AsJson
from vispa.taxonomy import Taxonomy
from vispa.taxonomy.example import write_example

if TYPE_CHECKING:
    from vispa.taxonomy.difference import TaxonomyDifference, ValueDifference

_BUILT_IN = "built-in"

app = typer.Typer(help="Begin a taxonomy of your own, or compare two versions.", no_args_is_help=True)


@app.callback()
def taxonomy() -> None:
    """Begin a taxonomy of your own, or compare two versions."""


@app.command("new")
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is empty or not there yet.")],
) -> None:
    """Write an example of three values to change: values.toml, and pairs of sentences for each value.

    Example: `vispa taxonomy new mine`, then `vispa select "Mending my bicycle" --taxonomy mine`
    """
    for path in write_example(folder):
        print_line(f"wrote {path}")
    print_line(f'Change them, then: vispa select "Mending my bicycle" --taxonomy {shlex.quote(str(folder))}')


@app.command("diff")
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="Folder of a taxonomy, or `built-in`.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Folder of a later version, or `built-in`.")],
    as_json: AsJson = False,
) -> None:
    """Say what became of each value, and which directions and selection scores stay valid.

    Example: `vispa taxonomy diff mine mine-2026`
    """
    from vispa.taxonomy.difference import difference

    found = difference(_loaded(before), _loaded(after))
    if as_json:
        print_json({**asdict(found), "valid": _valid(found)})
    else:
        _print_difference(found)


def _loaded(name: str) -> Taxonomy:
    return Taxonomy.built_in() if name == _BUILT_IN else Taxonomy.load(name)


def _valid(found: TaxonomyDifference) -> dict[str, list[str]]:
    """The values for which each kind of knowledge stays, by their slugs now."""
    now = [one for one in found.values if one.kind != "removed"]
    return {
        "directions_of_own_pairs": [one.value for one in now if one.directions_stay],
        "directions_against_others": [one.value for one in now if found.comparisons_stay],
        "selection_scores": [one.value for one in now if one.scores_stay],
        "selection_scores_nli": [one.value for one in now if one.labels_stay],
    }


def _print_difference(found: TaxonomyDifference) -> None:
    from rich import box
    from rich.table import Table

    print_line(f"{found.before[:20]} to {found.after[:20]}")
    shown = [one for one in found.values if one.kind != "same"]
    if shown:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for name in ("value", "what", "pairs", "directions", "scores"):
            table.add_column(name, overflow="fold")
        for one in shown:
            valid = [
                "" if one.kind == "removed" else "stay" if stays else "anew"
                for stays in (one.directions_stay, one.scores_stay)
            ]
            table.add_row(cell(one.value), cell(_what(one)), cell(_pairs(one)), *valid)
        print_drawn(table)
    same = len(found.of_kind("same"))
    print_line(f"{same} of {len(found.values) - len(found.of_kind('removed'))} values are the same")
    if found.reordered:
        print_line("values reordered: another fingerprint, but no other direction or score")
    print_line(
        "directions of one value against the others: "
        + ("stay" if found.comparisons_stay else "all anew, since they depend on every value's expressing sentences")
    )


def _what(one: ValueDifference) -> str:
    parts: list[str] = [one.kind] if one.kind != "changed" else []
    if one.was is not None:
        parts.append(f"renamed from {one.was} (told by {one.by})")
    if one.fields:
        parts.append(f"redefined: {', '.join(one.fields)}")
    if one.pairs_added or one.pairs_dropped:
        parts += ["pairs changed"] if one.kind == "changed" else []
    if one.reordered:
        parts.append("pairs reordered")
    return "; ".join(parts)


def _pairs(one: ValueDifference) -> str:
    changes = ((one.pairs_added, "+"), (one.pairs_dropped, "-"))
    return " ".join(f"{sign}{count}" for count, sign in changes if count)
