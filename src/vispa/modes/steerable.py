"""Steerable mode: the comment that fits a target, and the answer with it as a passage (section 3.3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from vispa.modes.case import NOTHING_SAID, Case
from vispa.modes.prompts import Prompts
from vispa.modes.questions import option_prompt
from vispa.modes.readings import Reading, read_options
from vispa.modes.templates import filled
from vispa.readers.base import ChatModel, Failure
from vispa.request import LETTERS


class Picker(Protocol):
    """Says how well each comment of a case fits its target.

    Attributes:
        name: goes into the record of an answer.
    """

    name: str

    def fit(self, cases: Sequence[Case]) -> list[Reading | Failure]:
        """For each case a distribution over its comments."""
        ...


@dataclass(frozen=True)
class SteerableAnswer:
    """What steerable mode adds to the comments; see `vispa.records.SteerableResponse`."""

    chosen: int
    fit: tuple[float, ...]
    distribution: tuple[float, ...] | None
    answer: str
    response: str
    prompts: dict[str, str]


class ReaderPicker:
    """Lets the aggregating model pick: one letter a comment, its option probabilities as the fit."""

    def __init__(self, reader: ChatModel, prompts: Prompts) -> None:
        self.reader, self.prompts = reader, prompts
        self.name = f"reader:{reader.name}"

    def prompt(self, case: Case) -> str:
        """What the reader is asked."""
        listed = "\n".join(f"{letter}. {c.text}" for letter, c in zip(LETTERS, case.comments, strict=False))
        return filled(self.prompts.pick, text=case.text, comments=listed, target=case.target)

    def fit(self, cases: Sequence[Case]) -> list[Reading | Failure]:
        """See `Picker.fit`."""
        comments = [[comment.text for comment in case.comments] for case in cases]
        return read_options(self.reader, [self.prompt(case) for case in cases], comments, self.prompts)


class SteerableMode:
    """Picks, then answers; both in batches over the cases.

    Args:
        reader: answers the question.
        picker: picks the comment.
        prompts: wording.
    """

    def __init__(self, reader: ChatModel, picker: Picker, prompts: Prompts) -> None:
        self.reader, self.picker, self.prompts = reader, picker, prompts

    def answer(self, cases: Sequence[Case]) -> list[SteerableAnswer | Failure]:
        """One answer for each case.

        A case whose comment cannot be picked, or whose answer be read, is a failure. Comments that
        say nothing are not picked, and fit with 0.
        """
        fits = self._fits(cases)
        chosen = {i: int(fit.distribution.argmax()) for i, fit in enumerate(fits) if not isinstance(fit, Failure)}
        prompts = [option_prompt(cases[i], self.prompts, cases[i].comments[best].text) for i, best in chosen.items()]
        read = read_options(self.reader, prompts, [cases[i].options for i in chosen], self.prompts)
        readings = dict(zip(chosen, read, strict=True))
        answers: list[SteerableAnswer | Failure] = []
        for i, (case, fit) in enumerate(zip(cases, fits, strict=True)):
            if isinstance(fit, Failure):
                answers.append(fit)
            elif isinstance(reading := readings[i], Failure):
                answers.append(reading)
            else:
                answers.append(_answer(case, fit, reading))
        return answers

    def _fits(self, cases: Sequence[Case]) -> list[Reading | Failure]:
        """Over all comments of each case; a lone one that says something needs no picking."""
        several = [i for i, case in enumerate(cases) if len(case.spoken) > 1]
        found = dict(zip(several, self.picker.fit([cases[i].heard() for i in several]), strict=True))
        return [_over_all(case, found.get(i, Reading(np.ones(1)))) for i, case in enumerate(cases)]


def _over_all(case: Case, fit: Reading | Failure) -> Reading | Failure:
    """The fit of the comments that say something, with 0 for those that do not."""
    if isinstance(fit, Failure):
        return fit
    if not case.spoken:
        return NOTHING_SAID
    shares = np.zeros(len(case.comments))
    shares[list(case.spoken)] = fit.distribution
    return replace(fit, distribution=shares)


def _answer(case: Case, fit: Reading, reading: Reading) -> SteerableAnswer:
    """The likeliest option; without a distribution where the reader only wrote a letter."""
    best = int(reading.distribution.argmax())
    return SteerableAnswer(
        chosen=int(fit.distribution.argmax()),
        fit=tuple(round(float(share), 6) for share in fit.distribution),
        distribution=None if reading.written else tuple(float(share) for share in reading.distribution),
        answer=LETTERS[best],
        response=case.options[best],
        prompts={**({"pick": fit.prompt} if fit.prompt else {}), "answer": reading.prompt},
    )
