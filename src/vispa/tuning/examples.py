"""Which of a model's own comments show how a value should be spoken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vispa.models.encoding import Prompt
from vispa.study.expression import Expression, FloatGrid, Situation, relation

# A comment may count from these on: the judge puts nine in ten other values behind and hears it speak for the value,
# nothing is said twice, and the situation is kept as well as in half of what the plain model says of it.
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


def chosen_examples(
    found: Sequence[Expression], plain: Expression, situations: Sequence[Situation], most: int
) -> list[Example]:
    """For each value the comments that speak for it, fluently, and keep to their situation, the best first.

    Args:
        found: of the model on S situations, steered or asked in several ways.
        plain: of the plain model on the same.
        situations: the S; examples continue their plain prompts, whatever the comments continued.
        most: comments a value.
    """
    scores = np.stack([_scores(one, plain) for one in found])
    examples: list[Example] = []
    for value in range(scores.shape[2]):
        chosen: dict[Example, None] = {}
        for place in np.argsort(-scores[..., value], axis=None, kind="stable"):
            way, situation = np.unravel_index(place, scores.shape[:2])
            if len(chosen) == most or not np.isfinite(scores[way, situation, value]):
                break
            chosen[Example(value, situations[situation].plain, found[way].texts[situation][value])] = None
        examples += chosen
    return examples


def _scores(found: Expression, plain: Expression) -> FloatGrid:
    """[S, V] how good each comment is as an example; minus infinity where it is none."""
    kept = relation(found.topic, plain.topic)
    fluency = np.exp(-np.clip(np.nan_to_num(found.nll - plain.nll, nan=np.inf), 0.0, None))
    fit = (found.rank >= _LEAST_RANK) & (found.promotes > 0) & (found.repetition <= _MOST_REPEATED)
    return np.where(fit & (kept >= _LEAST_RELATION), found.hit + kept + 0.5 * fluency, -np.inf)
