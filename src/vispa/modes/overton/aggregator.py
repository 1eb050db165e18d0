"""What writes Overton responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vispa.modes.case import Case
from vispa.readers.base import Failure
from vispa.records import OvertonResponse


class Aggregator(Protocol):
    """Reads the comments of each case and writes one response.

    Attributes:
        name: goes into the record of an answer.
    """

    name: str

    def aggregate(self, cases: Sequence[Case]) -> list[OvertonResponse | Failure]:
        """For each case one response in a record without provenance, or why there is none."""
        ...
