"""Steerable mode: the comment that fits a target, and the answer with it as a passage (section 3.3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vispa.modes.answers import read_letter
from vispa.modes.case import Case
from vispa.modes.prompts import Prompts
from vispa.modes.questions import option_prompt
from vispa.readers.base import ChatModel, Distribution, Failure
from vispa.request import LETTERS


class Picker(Protocol):
    """Says how well each comment of a case fits its target."""

    def fit(self, cases: Sequence[Case]) -> list[Distribution | Failure]:
        """For each case a distribution over its comments."""
        ...


@dataclass(frozen=True)
class SteerableAnswer:
    """What steerable mode adds to the comments; see `vispa.records.SteerableResponse`."""

    chosen: int
    fit: tuple[float, ...]
    distribution: tuple[float, ...] | None
    answer: str | None
    response: str
    prompts: dict[str, str]


class ReaderPicker:
    """Lets the aggregating model pick: one letter a comment, its option probabilities as the fit."""

    def __init__(self, reader: ChatModel, prompts: Prompts) -> None:
        self.reader, self.prompts = reader, prompts

    def prompt(self, case: Case) -> str:
        """What the reader is asked."""
        listed = "\n".join(f"{letter}. {c.text}" for letter, c in zip(LETTERS, case.comments, strict=False))
        return self.prompts.pick.format(text=case.text, comments=listed, target=case.target)

    def fit(self, cases: Sequence[Case]) -> list[Distribution | Failure]:
        """See `Picker.fit`."""
        counts = [len(case.comments) for case in cases]
        return self.reader.option_probabilities([self.prompt(case) for case in cases], counts)


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
        """One answer for each case; a case whose comment cannot be picked is a failure."""
        fits = self._fits(cases)
        picked = [i for i, fit in enumerate(fits) if not isinstance(fit, Failure)]
        chosen = {i: int(np.argmax(fits[i])) for i in picked}  # type: ignore[arg-type]
        prompts = {i: option_prompt(cases[i], self.prompts, cases[i].comments[chosen[i]].text) for i in picked}
        counts = [len(cases[i].options) for i in picked]
        read = dict(zip(picked, self.reader.option_probabilities([prompts[i] for i in picked], counts), strict=True))
        # A reader without option probabilities is asked to write the letter.
        unread = [i for i, distribution in read.items() if isinstance(distribution, Failure)]
        questions = {i: self.prompts.written_answer.format(question=prompts[i]) for i in unread}
        written = dict(zip(unread, self.reader.write(list(questions.values()), max_new_tokens=16), strict=True))
        answers: list[SteerableAnswer | Failure] = []
        for i, (case, fit) in enumerate(zip(cases, fits, strict=True)):
            if isinstance(fit, Failure):
                answers.append(fit)
                continue
            shares = tuple(round(float(share), 6) for share in fit)
            asked = {**self._picking_prompt(case), "answer": questions.get(i, prompts[i])}
            text = written.get(i)
            if isinstance(text, Failure):
                answers.append(text)
            elif text is not None:
                number = read_letter(text, len(case.options), case.options)
                letter = None if number is None else LETTERS[number]
                response = text if number is None else case.options[number]
                answers.append(SteerableAnswer(chosen[i], shares, None, letter, response, asked))
            else:
                distribution = np.asarray(read[i])
                best = int(distribution.argmax())
                exact = tuple(float(p) for p in distribution)
                answers.append(SteerableAnswer(chosen[i], shares, exact, LETTERS[best], case.options[best], asked))
        return answers

    def _fits(self, cases: Sequence[Case]) -> list[Distribution | Failure]:
        """A lone comment needs no picking."""
        several = [i for i, case in enumerate(cases) if len(case.comments) > 1]
        found = dict(zip(several, self.picker.fit([cases[i] for i in several]), strict=True))
        return [found.get(i, np.ones(1)) for i in range(len(cases))]

    def _picking_prompt(self, case: Case) -> dict[str, str]:
        if len(case.comments) > 1 and isinstance(self.picker, ReaderPicker):
            return {"pick": self.picker.prompt(case)}
        return {}
