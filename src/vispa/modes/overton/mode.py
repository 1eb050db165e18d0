"""Overton mode: one response that reflects all values (section 3.3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from vispa.modes.base import Parts, with_values
from vispa.modes.case import Case
from vispa.readers.base import Failure
from vispa.records import OvertonResponse
from vispa.request import Request
from vispa.taxonomy import Taxonomy


class OvertonMode:
    """Overton mode, a `vispa.modes.base.Mode`: the aggregator's response."""

    name: ClassVar[str] = "overton"

    def __init__(self, parts: Parts) -> None:
        self.aggregator = parts.aggregator

    @staticmethod
    def check(request: Request, taxonomy: Taxonomy, weighted: Sequence[str] = ()) -> Request:
        """See `Mode.check`; options in the text are part of it."""
        return with_values(replace(request, text=request.text.strip()), taxonomy)

    def answer(self, cases: Sequence[Case]) -> list[OvertonResponse | Failure]:
        """See `Mode.answer`."""
        return self.aggregator.aggregate(cases)

    def parts_of(self, case: Case) -> dict[str, Any]:
        """See `Mode.parts_of`."""
        return {"aggregator": self.aggregator.name}
