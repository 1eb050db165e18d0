"""`vispa compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.cli.console import cell, print_drawn, print_json, print_line
from vispa.cli.grouping import grouped, only
from vispa.cli.options import AsJson, Decoding

if TYPE_CHECKING:
    from vispa.evaluation.comparison import RunComparison

# So many identifiers of flipped items are printed; --json gives all.
_SHOWN = 10


@grouped
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a scored run.")],
    second: Annotated[Path, typer.Argument(help="Folder of another run over the same items.")],
    method: Annotated[str | None, typer.Option(help="Compare this method only; else all that both runs have.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data sets, if it has moved since the runs.")] = None,
    *,
    decoding: Annotated[Decoding, only("seed")],
    as_json: AsJson = False,
) -> None:
    """Compare two runs: the second's figures minus the first's, with intervals, and the items that flipped.

    Example: `vispa compare runs/a runs/b`
    """
    from vispa.evaluation.comparison import compare_runs

    found = compare_runs(first, second, method=method, data=data, seed=decoding.seed)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found)


def _print(found: RunComparison) -> None:
    from rich import box
    from rich.table import Table

    from vispa.evaluation.report.words import counted

    judged = f", judged by {found.judge}" if found.judge else ""
    length = f", same length: {counted(found.budget, 'sentence')}" if found.budget else ""
    print_line(f"{found.task}: {found.items:,} items{judged}{length}")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("method", "figure", "second - first", "95 % interval", "p"):
        table.add_column(name, justify="left" if name in ("method", "figure") else "right", no_wrap=True)
    for method, one in found.methods.items():
        for figure, difference in one.differences.items():
            interval = f"{difference.low:+.4f} to {difference.high:+.4f}"
            table.add_row(
                cell(method), cell(figure), f"{difference.difference:+.4f}", interval, f"{difference.p_value:.4f}"
            )
    print_drawn(table)
    for method, one in found.methods.items():
        if one.flipped_by is not None:
            for word, ids in (("gained", one.gained), ("lost", one.lost)):
                shown = ", ".join(map(str, ids[:_SHOWN])) + (", …" if len(ids) > _SHOWN else "")
                print_line(f"{method}, {one.flipped_by} {word}: {len(ids)} items{f' ({shown})' if ids else ''}")
    for folder, lacking in found.outdated.items():
        print_line(f"{folder} was scored by an older release and lacks {lacking}: score it anew to compare these.")
    for place, methods in (("first", found.only_in_first), ("second", found.only_in_second)):
        if methods:
            print_line(f"only in the {place} run: {', '.join(methods)}")
