"""`vispa bank`: the fitted banks of vectors, and their exchange with other programs."""

from __future__ import annotations

import typer

from vispa.cli.bank.exporting import export
from vispa.cli.bank.importing import import_bank
from vispa.cli.bank.keeping import list_banks, remove, show
from vispa.cli.bank.verifying import verify

app = typer.Typer(help="Look at fitted vector banks, check them, exchange vectors.", no_args_is_help=True)

app.command("list")(list_banks)
app.command("show")(show)
app.command("remove")(remove)
app.command("verify")(verify)
app.command("export")(export)
app.command("import")(import_bank)
