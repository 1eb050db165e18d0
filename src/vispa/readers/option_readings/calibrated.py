"""Letters in every cyclic order, divided by what they hold where nothing is asked.

Contextual calibration, Zhao et al. 2021 (arXiv 2102.09690).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from vispa.readers.base import Failure
from vispa.readers.option_readings.base import OptionQuestion, Order, Reading, Source
from vispa.readers.option_readings.cyclic import Cyclic, put_in
from vispa.request import OptionReadingName


class Calibrated(Cyclic):
    """As `Cyclic`, each order's shares divided by those of the same options after a question without content."""

    name: ClassVar[OptionReadingName] = "calibrated"

    def in_orders(
        self, source: Source, questions: Sequence[OptionQuestion], asked: Sequence[tuple[int, Order]]
    ) -> list[Reading | Failure]:
        """See `Cyclic.in_orders`; written letters stay as they are."""
        found = super().in_orders(source, questions, asked)
        weighed = [place for place, one in enumerate(found) if isinstance(one, Reading) and not one.written]
        # Questions of one kind share their options, and so what is read where nothing is asked.
        blanks: dict[OptionQuestion, int] = {}
        for number, order in (asked[place] for place in weighed):
            put = put_in(questions[number], order)
            blanks.setdefault(OptionQuestion(questions[number].blank(order), put.options), number)
        habits = dict(zip(blanks, source.letters(list(blanks.values()), list(blanks), 0.0), strict=True))
        for place in weighed:
            number, order = asked[place]
            put = put_in(questions[number], order)
            habit = habits[OptionQuestion(questions[number].blank(order), put.options)]
            found[place] = _divided(found[place], habit)
        return found


def _divided(reading: Reading | Failure, habit: Reading | Failure) -> Reading | Failure:
    if isinstance(reading, Failure) or isinstance(habit, Failure):
        return habit if isinstance(habit, Failure) else reading
    # A letter that is never said has no habit to be divided by.
    shares = reading.distribution / np.maximum(habit.distribution, 1e-9)
    return replace(reading, distribution=shares / shares.sum())
