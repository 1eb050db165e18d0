"""Can a reader read options? Plain questions of known answer, in every cyclic order of their options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from vispa.files.tables import read_table
from vispa.modes.prompts import Prompts
from vispa.modes.questions import lettered
from vispa.modes.readings import Reading, read_options
from vispa.modes.templates import filled
from vispa.readers.base import ChatModel, Failure
from vispa.readers.option_readings.cyclic import cyclic_orders
from vispa.request import LETTERS

_FILE = Path(__file__).with_name("plain_questions.csv")


@dataclass(frozen=True)
class PlainQuestion:
    """A question with one right answer.

    Attributes:
        text: of the question; with a passage, of the situation whose stance is asked for.
        options: that may be answered.
        answer: the right one.
        passage: a comment that takes a stance; empty for a question by itself.
    """

    text: str
    options: tuple[str, ...]
    answer: str
    passage: str = ""

    def asked(self, options: Sequence[str], prompts: Prompts) -> str:
        """The text after which a letter is due."""
        listed = lettered(options)
        if self.passage:
            return filled(prompts.stance, passage=self.passage, text=self.text, options=listed)
        return filled(prompts.question, question=self.text, options=listed)


@dataclass(frozen=True)
class PlainReading:
    """What a reader makes of plain questions; each is asked in every cyclic order, all of which count.

    Attributes:
        right: share answered right; what could not be read is not.
        chance: share that guessing gets right.
        moves: share of questions with different answers in different orders.
        unread: share that could not be read, or to which all options were alike.
        letter: the letter that most answers named; empty where none was read.
        letter_share: of the answers with that letter; NaN where none was read.
        problem: why the first that could not be read was not; empty where all were.
    """

    right: float
    chance: float
    moves: float
    unread: float
    letter: str
    letter_share: float
    problem: str


@cache
def plain_questions(model: str = "") -> tuple[PlainQuestion, ...]:
    """The questions that ship with the package: those in a model's own words, where it knows no others.

    Args:
        model: name; the questions of all models by default.
    """
    rows = [row.fields for row in read_table(_FILE, ("model", "passage", "question", "options", "answer")).rows]
    name = model if any(row["model"] == model for row in rows) else ""
    return tuple(
        PlainQuestion(row["question"], tuple(row["options"].split("|")), row["answer"], row["passage"])
        for row in rows
        if row["model"] == name
    )


def read_plainly(reader: ChatModel, questions: Sequence[PlainQuestion], prompts: Prompts) -> PlainReading:
    """Ask a reader questions of known answer, in its own reading of options.

    Args:
        reader: that reads comments, unsteered.
        questions: at least one.
        prompts: wording.
    """
    put = [
        (number, tuple(question.options[place] for place in order))
        for number, question in enumerate(questions)
        for order in cyclic_orders(len(question.options))
    ]
    asked = [questions[number].asked(options, prompts) for number, options in put]
    found = read_options(reader, asked, [options for _, options in put], prompts)
    places = [int(one.distribution.argmax()) if isinstance(one, Reading) else None for one in found]
    answers: dict[int, set[str]] = {}
    right = []
    for (number, options), place in zip(put, places, strict=True):
        said = None if place is None else options[place]
        right.append(said == questions[number].answer)
        answers.setdefault(number, set()).update(() if said is None else (said,))
    used = np.bincount([place for place in places if place is not None], minlength=1)
    return PlainReading(
        right=float(np.mean(right)),
        chance=float(np.mean([1 / len(options) for _, options in put])),
        moves=float(np.mean([len(own) > 1 for own in answers.values()])),
        unread=float(np.mean([place is None for place in places])),
        letter=LETTERS[int(used.argmax())] if used.sum() else "",
        letter_share=float(used.max() / used.sum()) if used.sum() else float("nan"),
        problem=next((one.reason for one in found if isinstance(one, Failure)), ""),
    )
