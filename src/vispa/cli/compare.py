"""`vispa compare`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.cli.console import cell, print_drawn, print_json, print_line, shows_styles
from vispa.cli.grouping import grouped, only
from vispa.cli.options import AsJson, Decoding

if TYPE_CHECKING:
    from vispa.evaluation.comparison import RunComparison
    from vispa.evaluation.intervals import PairedDifference

# So many identifiers of flipped items are printed; --json gives all.
_SHOWN = 10
# The table's columns; the first two are names, which may be folded, and the rest numbers, which are never cut.
_COLUMNS = ("method", "figure", "second - first", "95 % interval", "p")
_NAMES = 2
# A terminal that leaves the two names less than this is too narrow to fold them.
_LEAST_WIDTH = 24
# What the drawn table has between two columns.
_BETWEEN = 3


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
    from vispa.evaluation.report.words import counted, drawn_together

    judged = f", judged by {found.judge}" if found.judge else ""
    length = f", same length: {counted(found.budget, 'sentence')}" if found.budget else ""
    print_line(f"{found.task}: {found.items:,} items{judged}{length}")
    _print_table([_row(method, *pair) for method, one in found.methods.items() for pair in one.differences.items()])
    every = (difference for one in found.methods.values() for difference in one.differences.values())
    if (first := next(every, None)) is not None and (together := drawn_together(first, first.drawn)):
        print_line(together)
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


def _row(method: str, figure: str, one: PairedDifference) -> tuple[str, ...]:
    """A line of the table, a text for each of `_COLUMNS`."""
    interval = f"{one.low:+.4f} to {one.high:+.4f}"
    return method, figure, f"{one.difference:+.4f}", interval, f"{one.p_value:.4f}"


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    """The table; names are folded to a terminal's width, and elsewhere lines are as long as they need to be."""
    cells = [[cell(text) for text in row] for row in (_COLUMNS, *rows)]
    widths = [max(one.cell_len for one in column) for column in zip(*cells, strict=True)]
    rest = shutil.get_terminal_size().columns - sum(width + _BETWEEN for width in widths[_NAMES:])
    if shows_styles() and rest >= _LEAST_WIDTH:
        _draw_table(rows)
        return
    for row in cells:
        padded = []
        for place, (one, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - one.cell_len)
            padded.append(f"{one}{blank}" if place < _NAMES else f"{blank}{one}")
        print_line("  ".join(padded))


def _draw_table(rows: Sequence[Sequence[str]]) -> None:
    """The table for a terminal, names folded to its width."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place, name in enumerate(_COLUMNS):
        if place < _NAMES:
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(cell, row))
    print_drawn(table)
