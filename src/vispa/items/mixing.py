"""What a mixture is fitted on: the option distributions of every value, beside what people answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vispa.errors import VispaError
from vispa.files.append_log import Identifier
from vispa.items.item import Item
from vispa.modes.mixture_fitting import Example
from vispa.readers.base import Failure
from vispa.request import Request, Sampling

if TYPE_CHECKING:
    from vispa.pipeline import Progress, Vispa

_CHUNK = 32


def mixture_examples(
    vispa: Vispa,
    items: Sequence[Item],
    requests: Mapping[Identifier, Request],
    values: Sequence[str],
    sampling: Sampling,
    progress: Progress,
) -> list[Example]:
    """One example an item, of the distributions that the pipeline gives for each value.

    Args:
        vispa: the pipeline.
        items: with gold distributions.
        requests: what is asked in distributional mode, by the item's identifier.
        values: slugs, in the order of the mixture's weights.
        sampling: its longest comment counts; comments are greedy.
        progress: called with stage, number of items just done and number of all.

    Raises:
        VispaError: an item that cannot be answered, or to which the model says nothing for some value; a refusal
            is no reason, and counts for nothing.
    """
    examples = []
    for start in range(0, len(items), _CHUNK):
        chunk = items[start : start + _CHUNK]
        asked = [requests[item.id] for item in chunk]
        answers = vispa.respond_many(asked, max_new_tokens=sampling.max_new_tokens)
        for item, request, answer in zip(chunk, asked, answers, strict=True):
            if isinstance(answer, Failure):
                raise VispaError(f"item {item.id!r}: {answer.reason}")
            assert answer.mode == "distributional"
            refused = {one.value for one in answer.comments if one.refused}
            if empty := [value for value in answer.silent if value not in refused]:
                raise VispaError(f"item {item.id!r}: the model gave nothing for {', '.join(empty)}.")
            shares = dict(zip((one.value for one in answer.values), answer.by_value, strict=True))
            # A refusal has no view of its own, and the others share its weight, as where texts are answered.
            nothing = (0.0,) * len(answer.options)
            by_value = np.array([shares[value] or nothing for value in values])
            examples.append(Example(by_value, np.array(item.gold_distribution), request.country, item.text))
        progress("reading options", len(chunk), len(items))
    return examples
