"""How much likelier a question makes the words of each option: no letters, no list, so no order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from vispa.readers.base import Failure
from vispa.readers.option_readings.base import (
    BLANK_BARE,
    LEVEL,
    LEVELLED,
    Likelihoods,
    OptionQuestion,
    Reading,
    Source,
    share_of_one,
)
from vispa.request import OptionReadingName


class Words:
    """The options' words after the question without its list, against the same words where nothing is asked.

    Log-probabilities are means over the words' tokens, so that long options are not less likely for their length;
    the difference to a question without content (pointwise mutual information; Holtzman et al. 2021, arXiv
    2104.08315) keeps frequent words from winning by being frequent. The softmax of the differences is the
    distribution. The answer is the same in whatever order the options stand.
    """

    name: ClassVar[OptionReadingName] = "words"

    def read(self, source: Source, questions: Sequence[OptionQuestion]) -> list[Reading | Failure]:
        """See `OptionReading.read`."""
        known = {number: one for number, question in enumerate(questions) if (one := share_of_one(question))}
        asked = [number for number in range(len(questions)) if number not in known]
        said = [tuple(f" {' '.join(option.split())}" for option in questions[number].options) for number in asked]
        found = source.likelihoods(asked, [questions[number].bare for number in asked], said)
        habits = source.likelihoods(asked, [BLANK_BARE] * len(asked), said)
        for number, own, habit in zip(asked, found, habits, strict=True):
            known[number] = _reading(questions[number], own, habit)
        return [known[number] for number in range(len(questions))]


def _reading(question: OptionQuestion, own: Likelihoods | Failure, habit: Likelihoods | Failure) -> Reading | Failure:
    if isinstance(own, Failure):
        return own
    if isinstance(habit, Failure):
        return habit
    gain = own - habit
    shares = np.exp(gain - gain.max())
    shares /= shares.sum()
    second, best = np.sort(shares)[-2:]
    # Of a model that finds no words likelier than others, nothing is read.
    return Reading(shares, question.bare, doubt=LEVELLED if best - second < LEVEL else None)
