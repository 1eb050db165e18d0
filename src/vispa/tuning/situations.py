"""Development situations: what recipes are chosen on. Figures are reported on others."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from vispa.files.tables import read_table

_FILE = Path(__file__).with_name("situations.csv")

# Of the situations after the first 45, which all rounds of tuning together look at; each of another walk of life.
_UNTUNED = slice(47, None, 5)


@cache
def development_situations() -> tuple[str, ...]:
    """The situations that ship with the package, of a dozen walks of life and a third of them about health."""
    return tuple(row.fields["situation"] for row in read_table(_FILE, ("situation",)).rows)


def untuned_situations() -> tuple[str, ...]:
    """Four development situations that `vispa tune` neither learns from nor chooses on."""
    return development_situations()[_UNTUNED]
