"""Which of a model's own comments show how a value should be spoken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vispa.models.encoding import Prompt
from vispa.study.expression import Expression, Situation

# A comment may count from these on: the judge puts nine in ten other values behind, nothing is said twice, and the
# situation is kept as well as in half of what the plain model says of it.
_LEAST_RANK, _MOST_REPEATED, _LEAST_RELATION = 0.9, 0.1, 0.5


@dataclass(frozen=True)
class Example:
    """A comment to be made likelier.

    Attributes:
        value: place of the value that it speaks for.
        prompt: that it continues.
        text: of the comment.
    """

    value: int
    prompt: Prompt
    text: str


def chosen_examples(found: Expression, plain: Expression, situations: Sequence[Situation], most: int) -> list[Example]:
    """For each value the steered comments that speak for it and keep to their situation, the best first.

    Args:
        found: of the steered model on S situations.
        plain: of the plain model on the same.
        situations: the S.
        most: comments a value.
    """
    relation = np.clip(found.topic / np.maximum(plain.topic, 1e-6), 0.0, 1.0)
    fit = (found.rank >= _LEAST_RANK) & (found.repetition <= _MOST_REPEATED) & (relation >= _LEAST_RELATION)
    score = np.where(fit, found.hit + relation + 0.5 * found.promotes, -np.inf)
    examples = []
    for value in range(len(found.values)):
        order = np.argsort(-score[:, value], kind="stable")[:most]
        for place in order[np.isfinite(score[order, value])]:
            examples.append(Example(value, situations[place].plain, found.texts[place][value]))
    return examples
