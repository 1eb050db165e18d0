"""`vispa drift`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.cli.console import cell, print_drawn, print_json, print_line
from vispa.cli.grouping import grouped, only
from vispa.cli.options import AsJson, Decoding

if TYPE_CHECKING:
    from vispa.study.value_use import Drift

# So many values are printed; --json gives all.
_SHOWN = 10


@grouped
def drift(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="Records that `vispa batch` wrote.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Later records, of the same kind of texts.")],
    level: Annotated[
        float, typer.Option(help="How often chance alone may raise an alarm, from 1/1001 to below 1.")
    ] = 0.01,
    *,
    decoding: Annotated[Decoding, only("seed")],
    as_json: AsJson = False,
) -> None:
    """Say how far the values that answers use have moved from a reference, and which moved most.

    Example: `vispa drift january.jsonl june.jsonl`
    """
    from vispa.study.value_use import drift as compared
    from vispa.study.value_use import read_uses

    found = compared(read_uses(reference), read_uses(new), level=level, seed=decoding.seed)
    if as_json:
        print_json({**asdict(found), "alarm": found.is_alarming})
    else:
        _print(found)


def _print(found: Drift) -> None:
    from rich import box
    from rich.table import Table

    print_line(f"{found.reference:,} answers before, {found.new:,} after")
    print_line(
        f"distance of value use {found.distance:.3f}; alarm level {found.alarm_level:.3f} ({found.level:g}); "
        f"p {found.p_value:.4f}: {'drift' if found.is_alarming else 'no more than chance'}"
    )
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("value", "before", "after", "z", "median relevance"):
        table.add_column(name, justify="left" if name == "value" else "right", no_wrap=True)
    for one in found.values[:_SHOWN]:
        medians = ("-" if part is None else f"{part[1]:.2f}" for part in (one.relevance_before, one.relevance_after))
        table.add_row(
            cell(one.value), f"{one.before:.1%}", f"{one.after:.1%}", f"{one.surprise:+.1f}", " to ".join(medians)
        )
    print_drawn(table)
    if len(found.values) > _SHOWN:
        print_line(f"and {len(found.values) - _SHOWN} values that moved less; --json has all")
