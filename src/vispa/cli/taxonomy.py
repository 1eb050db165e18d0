"""`vispa taxonomy`: a user's own values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vispa.cli.console import print_line
from vispa.taxonomy.example import write_example

app = typer.Typer(help="Begin a taxonomy of your own.", no_args_is_help=True)


@app.callback()
def taxonomy() -> None:
    """Begin a taxonomy of your own."""


@app.command("new")
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is empty or not there yet.")],
) -> None:
    """Write an example of three values to change: values.toml, and pairs of sentences for each value.

    Example: `vispa taxonomy new mine`, then `vispa select "Mending my bicycle" --taxonomy mine`
    """
    for path in write_example(folder):
        print_line(f"wrote {path}")
    print_line(f'Change them, then: vispa select "Mending my bicycle" --taxonomy {folder}')
