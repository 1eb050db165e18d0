"""Distributional mode: the values' option distributions, mixed (section 3.3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from vispa.errors import InputError
from vispa.generation.engine import Engine
from vispa.modes.base import Parts, with_values
from vispa.modes.case import NOTHING_SAID, Case
from vispa.modes.mixture import Mixture
from vispa.modes.prompts import Prompts
from vispa.modes.questions import option_prompt, with_options
from vispa.modes.readings import Reading, by_case, read_options, read_steered
from vispa.readers.base import ChatModel, Failure
from vispa.records import DistributionalResponse, Mixing
from vispa.request import LETTERS, OptionReadingName, Request, check_selects_nothing
from vispa.steering.recipe import Steer
from vispa.taxonomy import Taxonomy

#: What a case gets whose values with a weight have no distribution.
UNWEIGHED = Failure(
    "None of the values with a weight above 0 has a distribution: their comments are empty or refused, or the mixture "
    "has no weights for this group. Weigh other values too, steer less, or allow longer comments."
)


class DistributionalMode:
    """A `vispa.modes.base.Mode` that mixes a distribution a value, read with its comment or from the steered model."""

    name: ClassVar[str] = "distributional"

    def __init__(self, parts: Parts) -> None:
        self.reader, self.prompts = parts.reader, parts.prompts
        self.mixture, self.engine, self.option_reading = parts.mixture, parts.engine, parts.option_reading

    @staticmethod
    def check(request: Request, taxonomy: Taxonomy, weighted: Sequence[str] = ()) -> Request:
        """See `Mode.check`."""
        if weighted and not request.values:
            check_selects_nothing(request, "weights")
        found = with_values(with_options(request), taxonomy, weighted)
        if weighted and not {taxonomy[name].slug for name in weighted} & set(found.values):
            named = ", ".join(found.values)
            advice = "Weigh at least one of them, or leave out weights or values."
            raise InputError("weights", f"give none of the named values a weight above 0: {named}.", advice)
        return found

    def answer(self, cases: Sequence[Case]) -> list[DistributionalResponse | Failure]:
        """See `Mode.answer`."""
        reading = [i for i, case in enumerate(cases) if case.passages]
        direct = [i for i, case in enumerate(cases) if not case.passages]
        read = read_comments(self.reader, [cases[i] for i in reading], self.prompts)
        own = own_options(self.engine, [cases[i] for i in direct], self.prompts, self.option_reading) if direct else []
        found = dict(zip([*reading, *direct], [*read, *own], strict=True))
        return [
            by_value if isinstance(by_value := found[i], Failure) else mix(case, by_value, self.mixture)
            for i, case in enumerate(cases)
        ]

    def parts_of(self, case: Case) -> dict[str, Any]:
        """See `Mode.parts_of`; options of the steered model itself need no reader."""
        shares = self.mixture.groups.get(case.country or case.target, self.mixture.shares)
        mixing = Mixing(kind=self.mixture.kind, shares=shares or None, temperature=self.mixture.temperature)
        if case.comments:
            return {"reader": self.reader.name, "option_reading": self.reader.option_reading, "mixture": mixing}
        return {"option_reading": self.option_reading or self.engine.option_reading, "mixture": mixing}


def read_comments(reader: ChatModel, cases: Sequence[Case], prompts: Prompts) -> list[list[Reading | None] | Failure]:
    """For each case a reading with each of its comments as a passage, all in one batch; or the first failure.

    None for a comment that says nothing.
    """
    asked = [[option_prompt(case, prompts, comment.text) for comment in case.heard().comments] for case in cases]
    options = [case.options for case, row in zip(cases, asked, strict=True) for _ in row]
    found = read_options(reader, [prompt for row in asked for prompt in row], options, prompts, decided=False)
    results: list[list[Reading | None] | Failure] = []
    for case, mine in zip(cases, by_case(found, [len(row) for row in asked]), strict=True):
        if isinstance(mine, Failure):
            results.append(mine)
        elif not mine:
            results.append(NOTHING_SAID)
        else:
            heard = dict(zip(case.spoken, mine, strict=True))
            results.append([heard.get(place) for place in range(len(case.comments))])
    return results


def own_options(
    engine: Engine, cases: Sequence[Case], prompts: Prompts, reading: OptionReadingName | None = None
) -> list[list[Reading] | Failure]:
    """For each case a reading by the model steered toward each value, without passages; or the first failure."""
    steers = [(Steer(chosen.value),) for case in cases for chosen in case.values]
    options = [case.options for case in cases for _ in case.values]
    asked = [option_prompt(case, prompts, None) for case in cases for _ in case.values]
    found = read_steered(engine, reading, steers, asked, options, prompts)
    return by_case(found, [len(case.values) for case in cases])


def mix(case: Case, by_value: Sequence[Reading | None], mixture: Mixture) -> DistributionalResponse | Failure:
    """One case's record with the mixture of its N values, without provenance; or why there is none.

    Args:
        case: with values, options and group.
        by_value: [N] answers to the question, at least one; None for a value that has none and
            counts for nothing.
        mixture: gives the weights.
    """
    values = [chosen.value for chosen in case.values]
    known = {place: one for place, one in enumerate(by_value) if one is not None}
    weights = np.zeros(len(values))
    weights[list(known)] = mixture.weights(
        [values[i] for i in known], [case.values[i].score for i in known], case.country or case.target
    )
    if not weights.any():
        return UNWEIGHED
    sharpened = mixture.sharpened(np.stack([one.distribution for one in known.values()]))
    distribution = weights[list(known)] @ sharpened
    shares = dict(zip(known, (tuple(float(p) for p in row) for row in sharpened), strict=True))
    best = int(distribution.argmax())
    return DistributionalResponse(
        **case.recorded,
        options=case.options,
        by_value=tuple(shares.get(place, ()) for place in range(len(values))),
        unsteered=case.unsteered,
        weights=tuple(float(w) for w in weights),
        mixture=mixture.kind,
        distribution=tuple(float(p) for p in distribution),
        answer=LETTERS[best],
        response=case.options[best],
        prompts={values[place]: one.prompt for place, one in known.items()},
        written=tuple(values[place] for place, one in known.items() if one.written),
        disputed=tuple(values[place] for place, one in known.items() if one.disputed),
    )
