"""Letters in every cyclic order of the options, so that each option stands once under each letter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from vispa.readers.base import Failure
from vispa.readers.option_readings.base import (
    DISPUTED,
    LEAST_LEAD,
    LEVEL,
    LEVELLED,
    OptionQuestion,
    Order,
    Reading,
    Source,
    share_of_one,
)
from vispa.request import OptionReadingName


class Cyclic:
    """The mean over the cyclic orders of what the letters hold, renormalised in each.

    What the letters hold together counts for nothing: a habit of the model that weighs on all orders alike.
    """

    name: ClassVar[OptionReadingName] = "cyclic"

    def read(self, source: Source, questions: Sequence[OptionQuestion]) -> list[Reading | Failure]:
        """See `OptionReading.read`."""
        known = {number: share_of_one(question) for number, question in enumerate(questions)}
        asked = [
            (number, order)
            for number, question in enumerate(questions)
            if known[number] is None
            for order in cyclic_orders(len(question.options))
        ]
        found = self.in_orders(source, questions, asked) if asked else []
        by_number: dict[int, list[tuple[Order, Reading | Failure]]] = {}
        for (number, order), reading in zip(asked, found, strict=True):
            by_number.setdefault(number, []).append((order, reading))
        return [
            known[number] or over_orders(question, by_number[number])
            for number, question in enumerate(questions)
        ]  # fmt: skip

    def in_orders(
        self, source: Source, questions: Sequence[OptionQuestion], asked: Sequence[tuple[int, Order]]
    ) -> list[Reading | Failure]:
        """Readings of questions with their options in given orders, each over the options as they were put.

        Args:
            source: the model.
            questions: in their own order.
            asked: number of a question, and in which order it is put.
        """
        put = [put_in(questions[number], order) for number, order in asked]
        return source.letters([number for number, _ in asked], put, 0.0)


def cyclic_orders(count: int) -> list[Order]:
    """Every order of so many options that begins elsewhere and goes on from there, the given one first."""
    return [tuple((start + place) % count for place in range(count)) for start in range(count)]


def put_in(question: OptionQuestion, order: Order) -> OptionQuestion:
    """The question with its options in another order."""
    return OptionQuestion(question.in_order(order), tuple(question.options[place] for place in order))


def over_orders(question: OptionQuestion, found: Sequence[tuple[Order, Reading | Failure]]) -> Reading | Failure:
    """One reading from those in several orders: the mean of their distributions.

    It is in doubt where the likeliest option is not the same in all orders and leads the mean by less than
    `LEAST_LEAD`, and where two are level.

    Args:
        question: in its own order.
        found: order, and the reading over the options in that order; the first failure stands for all.
    """
    shares = np.zeros((len(found), len(question.options)))
    written = False
    for row, (order, reading) in enumerate(found):
        if isinstance(reading, Failure):
            return reading
        shares[row, list(order)] = reading.distribution
        written = written or reading.written
    mean = shares.mean(0)
    second, best = np.sort(mean)[-2:]
    # Where options are level, which of them counts as the likeliest is an accident.
    differ = len(set(shares.argmax(1).tolist())) > 1 or best - second < LEVEL
    if not differ or best - second >= LEAST_LEAD:
        return Reading(mean, question.text, written)
    leads = np.diff(np.sort(shares)[:, -2:])
    return Reading(mean, question.text, written, LEVELLED if leads.max() < LEVEL else DISPUTED)
