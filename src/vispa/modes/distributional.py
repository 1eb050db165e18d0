"""Distributional mode: the values' option distributions, mixed (section 3.3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vispa.modes.case import Case
from vispa.modes.mixture import Mixture
from vispa.modes.prompts import Prompts
from vispa.modes.questions import option_prompt
from vispa.readers.base import ChatModel, Distribution, Failure
from vispa.request import LETTERS


@dataclass(frozen=True)
class DistributionalAnswer:
    """What distributional mode adds to the comments; see `vispa.records.DistributionalResponse`."""

    by_value: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    mixture: str
    distribution: tuple[float, ...]
    answer: str
    response: str
    prompts: dict[str, str]


def read_comments(
    reader: ChatModel, cases: Sequence[Case], prompts: Prompts
) -> list[tuple[list[Distribution] | Failure, list[str]]]:
    """For each case the option distribution with each of its comments as a passage, all in one batch.

    Returns:
        Per case its distributions, or the first failure; and the prompts.
    """
    asked = [[option_prompt(case, prompts, comment.text) for comment in case.comments] for case in cases]
    flat = [prompt for row in asked for prompt in row]
    counts = [len(case.options) for case, row in zip(cases, asked, strict=True) for _ in row]
    found = iter(reader.option_probabilities(flat, counts))
    results: list[tuple[list[Distribution] | Failure, list[str]]] = []
    for row in asked:
        mine = [next(found) for _ in row]
        failure = next((one for one in mine if isinstance(one, Failure)), None)
        results.append((failure or [one for one in mine if not isinstance(one, Failure)], row))
    return results


def mix(
    case: Case,
    values: Sequence[str],
    relevance: Sequence[float],
    by_value: Sequence[Distribution],
    mixture: Mixture,
    asked: Sequence[str],
) -> DistributionalAnswer:
    """The mixture of one case.

    Args:
        case: with options and group.
        values: slugs of the N values.
        relevance: of each, in [0, 1].
        by_value: [N] distributions over the options.
        mixture: gives the weights.
        asked: the prompt of each value.
    """
    weights = mixture.weights(values, relevance, case.country or case.target)
    sharpened = mixture.sharpened(np.stack(by_value))
    distribution = weights @ sharpened
    best = int(distribution.argmax())
    return DistributionalAnswer(
        by_value=tuple(tuple(float(p) for p in row) for row in sharpened),
        weights=tuple(float(w) for w in weights),
        mixture=mixture.kind,
        distribution=tuple(float(p) for p in distribution),
        answer=LETTERS[best],
        response=case.options[best],
        prompts=dict(zip(values, asked, strict=True)),
    )
