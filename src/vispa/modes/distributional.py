"""Distributional mode: the values' option distributions, mixed (section 3.3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vispa.modes.case import NOTHING_SAID, Case
from vispa.modes.mixture import Mixture
from vispa.modes.prompts import Prompts
from vispa.modes.questions import option_prompt
from vispa.modes.readings import Reading, read_options
from vispa.readers.base import ChatModel, Failure
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
    written: tuple[str, ...] = ()


def read_comments(reader: ChatModel, cases: Sequence[Case], prompts: Prompts) -> list[list[Reading | None] | Failure]:
    """For each case a reading with each of its comments as a passage, all in one batch; or the first failure.

    None for a comment that says nothing.
    """
    asked = [[option_prompt(case, prompts, comment.text) for comment in case.heard().comments] for case in cases]
    options = [case.options for case, row in zip(cases, asked, strict=True) for _ in row]
    found = read_options(reader, [prompt for row in asked for prompt in row], options, prompts)
    results: list[list[Reading | None] | Failure] = []
    for case, mine in zip(cases, by_case(found, [len(row) for row in asked]), strict=True):
        if isinstance(mine, Failure):
            results.append(mine)
        elif not mine:
            results.append(NOTHING_SAID)
        else:
            heard = dict(zip(case.spoken, mine, strict=True))
            results.append([heard.get(place) for place in range(len(case.comments))])
    return results


def by_case(found: Sequence[Reading | Failure], counts: Sequence[int]) -> list[list[Reading] | Failure]:
    """Readings of all cases in a row, cut into the cases' own; or the first failure of each."""
    rest = iter(found)
    results: list[list[Reading] | Failure] = []
    for count in counts:
        mine = [next(rest) for _ in range(count)]
        failure = next((one for one in mine if isinstance(one, Failure)), None)
        results.append(failure or [one for one in mine if not isinstance(one, Failure)])
    return results


def mix(
    case: Case,
    values: Sequence[str],
    relevance: Sequence[float],
    by_value: Sequence[Reading | None],
    mixture: Mixture,
) -> DistributionalAnswer:
    """The mixture of one case.

    Args:
        case: with options and group.
        values: slugs of the N values.
        relevance: of each, in [0, 1].
        by_value: [N] answers to the question, at least one; None for a value that has none and
            counts for nothing.
        mixture: gives the weights.
    """
    known = {place: one for place, one in enumerate(by_value) if one is not None}
    weights = np.zeros(len(values))
    weights[list(known)] = mixture.weights(
        [values[i] for i in known], [relevance[i] for i in known], case.country or case.target
    )
    sharpened = mixture.sharpened(np.stack([one.distribution for one in known.values()]))
    distribution = weights[list(known)] @ sharpened
    shares = dict(zip(known, (tuple(float(p) for p in row) for row in sharpened), strict=True))
    best = int(distribution.argmax())
    return DistributionalAnswer(
        by_value=tuple(shares.get(place, ()) for place in range(len(values))),
        weights=tuple(float(w) for w in weights),
        mixture=mixture.kind,
        distribution=tuple(float(p) for p in distribution),
        answer=LETTERS[best],
        response=case.options[best],
        prompts={values[place]: one.prompt for place, one in known.items()},
        written=tuple(values[place] for place, one in known.items() if one.written),
    )
