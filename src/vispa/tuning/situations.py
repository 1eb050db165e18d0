"""Development situations: what recipes are chosen on. Figures are reported on others."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from vispa.files.tables import read_table

_FILE = Path(__file__).with_name("situations.csv")


@cache
def development_situations() -> tuple[str, ...]:
    """The situations that ship with the package, of a dozen walks of life and a third of them about health."""
    return tuple(row.fields["situation"] for row in read_table(_FILE, ("situation",)).rows)
