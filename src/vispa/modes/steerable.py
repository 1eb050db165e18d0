"""Steerable mode: the comment that fits a target, and the answer with it as a passage (section 3.3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from vispa.errors import InputError
from vispa.modes.base import Parts, with_values
from vispa.modes.case import NOTHING_SAID, Case
from vispa.modes.questions import option_prompt, with_options
from vispa.modes.readings import Reading, read_options
from vispa.readers.base import Failure
from vispa.records import SteerableResponse
from vispa.request import LETTERS, Request
from vispa.taxonomy import Taxonomy


class SteerableMode:
    """A `vispa.modes.base.Mode` that picks a comment, then answers with it; both in batches over the cases.

    A case whose comment cannot be picked, or whose answer be read, is a failure. Comments that say nothing, or
    what one before them says, are not picked, and fit with 0: two that say the same would share what fits.
    """

    name: ClassVar[str] = "steerable"

    def __init__(self, parts: Parts) -> None:
        self.reader, self.picker, self.prompts = parts.reader, parts.picker, parts.prompts

    @staticmethod
    def check(request: Request, taxonomy: Taxonomy, weighted: Sequence[str] = ()) -> Request:
        """See `Mode.check`."""
        if request.toward is None:
            raise InputError("toward", "is missing.", "Steerable mode needs a value, right, duty or group.")
        # A target that is itself a value needs no selecting and no picking.
        found = with_options(request)
        if request.toward not in taxonomy:
            return with_values(found, taxonomy)
        label = taxonomy[request.toward].label
        return with_values(replace(found, toward=label), taxonomy, (label,))

    def answer(self, cases: Sequence[Case]) -> list[SteerableResponse | Failure]:
        """See `Mode.answer`."""
        fits = self._fits(cases)
        chosen = {i: int(fit.distribution.argmax()) for i, fit in enumerate(fits) if not isinstance(fit, Failure)}
        prompts = [option_prompt(cases[i], self.prompts, cases[i].comments[best].text) for i, best in chosen.items()]
        read = read_options(self.reader, prompts, [cases[i].options for i in chosen], self.prompts)
        readings = dict(zip(chosen, read, strict=True))
        answers: list[SteerableResponse | Failure] = []
        for i, (case, fit) in enumerate(zip(cases, fits, strict=True)):
            if isinstance(fit, Failure):
                answers.append(fit)
            elif isinstance(reading := readings[i], Failure):
                answers.append(reading)
            else:
                answers.append(_record(case, fit, reading))
        return answers

    def parts_of(self, case: Case) -> dict[str, Any]:
        """See `Mode.parts_of`; a lone comment needs no picker."""
        picker = {"picker": self.picker.name} if len(case.distinct) > 1 else {}
        return {"reader": self.reader.name, "option_reading": self.reader.option_reading, **picker}

    def _fits(self, cases: Sequence[Case]) -> list[Reading | Failure]:
        """Over all comments of each case; a lone one that says something of its own needs no picking."""
        several = [i for i, case in enumerate(cases) if len(case.distinct) > 1]
        found = dict(zip(several, self.picker.fit([cases[i].among(cases[i].distinct) for i in several]), strict=True))
        return [_over_all(case, found.get(i, Reading(np.ones(1)))) for i, case in enumerate(cases)]


def _over_all(case: Case, fit: Reading | Failure) -> Reading | Failure:
    """The fit of the comments that say something of their own, with 0 for those that do not."""
    if isinstance(fit, Failure):
        return fit
    if not case.spoken:
        return NOTHING_SAID
    shares = np.zeros(len(case.comments))
    shares[list(case.distinct)] = fit.distribution
    return replace(fit, distribution=shares)


def _record(case: Case, fit: Reading, reading: Reading) -> SteerableResponse:
    """The likeliest option; without a distribution where the reader only wrote a letter."""
    best = int(reading.distribution.argmax())
    return SteerableResponse(
        **case.recorded,
        target=case.target,
        chosen=int(fit.distribution.argmax()),
        fit=tuple(round(float(share), 6) for share in fit.distribution),
        options=case.options,
        distribution=None if reading.written else tuple(float(share) for share in reading.distribution),
        answer=LETTERS[best],
        response=case.options[best],
        prompts={**({"pick": fit.prompt} if fit.prompt else {}), "answer": reading.prompt},
    )
