"""What a mode is, and what a pipeline lends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from vispa.generation.engine import Engine
from vispa.modes.case import Case
from vispa.modes.mixture import Mixture
from vispa.modes.overton.aggregator import Aggregator
from vispa.modes.picking import Picker
from vispa.modes.prompts import Prompts
from vispa.readers.base import ChatModel, Failure
from vispa.records import Response
from vispa.request import OptionReadingName, Request, resolved_count
from vispa.taxonomy import Taxonomy


@dataclass(frozen=True)
class Parts:
    """The parts of a pipeline that modes answer with; each mode takes those that it needs.

    Attributes:
        reader: reads comments as passages.
        prompts: wording.
        aggregator: writes Overton responses.
        picker: picks the comment that fits a target.
        mixture: weights of the values' distributions.
        engine: runs the steered model.
        option_reading: of the steered model's own options; what suits the model by default.
    """

    reader: ChatModel
    prompts: Prompts
    aggregator: Aggregator
    picker: Picker
    engine: Engine
    mixture: Mixture = field(default_factory=Mixture)
    option_reading: OptionReadingName | None = None


class Mode(Protocol):
    """Makes one answer of a text and its comments.

    Attributes:
        name: as requests and records say it.
    """

    name: ClassVar[str]

    def __init__(self, parts: Parts) -> None:
        """Take what is needed of a pipeline's parts."""

    @staticmethod
    def check(request: Request, taxonomy: Taxonomy, weighted: Sequence[str] = ()) -> Request:
        """A request of this mode with names resolved and defaults filled in; needs no model.

        Args:
            request: whose fields have been checked each on its own (`vispa.request.check_request`).
            taxonomy: that the names are looked up in.
            weighted: values that a given or fitted mixture weighs.

        Raises:
            InputError: what this mode cannot answer; the message names the field.
        """
        ...

    def answer(self, cases: Sequence[Case]) -> Sequence[Response | Failure]:
        """For each case a record without provenance, or why there is none; all cases are read in batches."""
        ...

    def parts_of(self, case: Case) -> dict[str, Any]:
        """The fields of `vispa.records.Provenance` that name the parts which made a case's answer."""
        ...


def with_values(request: Request, taxonomy: Taxonomy, named: Sequence[str] = ()) -> Request:
    """A request that holds either the slugs of its values or how many are to be selected.

    Args:
        request: whose own values go first.
        taxonomy: that the names are looked up in.
        named: names of the values that the mode needs otherwise; none where they are to be selected.

    Raises:
        InputError: an unknown value, or a number of values that cannot be.
    """
    count = resolved_count(request.k, len(taxonomy))
    values = tuple(dict.fromkeys(taxonomy[name].slug for name in request.values or named))
    return replace(request, values=values, k=None if values else count)
