"""Training the adapters of all values in the same forward passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.fine_tuning.adapters import Adapters, adapted
from vispa.models.batching import pad_left
from vispa.models.encoding import common, continued
from vispa.models.loading import LoadedModel
from vispa.study.fluency import continuation
from vispa.tuning.examples import Example

#: Step of AdamW, constant.
RATE = 1e-3
#: Examples of each value in a step.
EACH = 2


@dataclass(frozen=True)
class _Encoded:
    """Tokens of prompt, text and end, of which the last `count` are learnt."""

    ids: tuple[int, ...]
    count: int


def trained(
    loaded: LoadedModel, examples: Sequence[Sequence[Example]], rank: int, steps: Sequence[int], *, seed: int = 0
) -> dict[int, Adapters]:
    """Adapters that make each value's examples likely, as they are after some numbers of steps.

    A step sees `EACH` examples of every value. Rows of other values do not touch an adapter, and AdamW moves each
    number by itself: every adapter becomes what it would if it were trained alone.

    Args:
        loaded: the model; its weights stay.
        examples: of V values; seen in a random order, over and over. An adapter without any stays as it began, and
            changes nothing.
        rank: of the adapters.
        steps: after which numbers of steps they are kept.
        seed: of beginning and order.
    """
    encoded = [[_encoded(loaded, one) for one in own] for own in examples]
    orders = [_order(len(own), np.random.default_rng((seed, place))) for place, own in enumerate(encoded)]
    adapters = Adapters.new(loaded, len(examples), rank, seed)
    numbers = [one.requires_grad_() for one in adapters.parameters]
    optimizer = torch.optim.AdamW(numbers, lr=RATE, weight_decay=0.0)
    kept: dict[int, Adapters] = {}
    for step in range(1, max(steps) + 1):
        values = [place for place, own in enumerate(encoded) if own for _ in range(EACH)]
        batch = [encoded[place][next(orders[place])] for place in values]
        with loaded.turns, torch.enable_grad(), adapted(loaded, adapters, values, [1.0] * len(values)):
            gradients = torch.autograd.grad(_loss(loaded, batch), numbers)
        for one, gradient in zip(numbers, gradients, strict=True):
            one.grad = gradient
        optimizer.step()
        if step in steps:
            kept[step] = adapters.copy()
    return kept


def _encoded(loaded: LoadedModel, example: Example) -> _Encoded:
    ids = continued(loaded, example.prompt, continuation(example.prompt.text, example.text))
    end = loaded.tokenizer.eos_token_id
    ends = () if end is None else (int(end),)
    return _Encoded((*ids, *ends), max(1, len(ids) - common(example.prompt.ids, ids)) + len(ends))


def _order(count: int, chance: np.random.Generator) -> Iterator[int]:
    """Places of examples, all of them before any comes again."""
    while True:
        yield from chance.permutation(count).tolist()


def _loss(loaded: LoadedModel, batch: Sequence[_Encoded]) -> torch.Tensor:
    """Sum over rows of the mean negative log-likelihood of what is learnt."""
    ids, mask, positions = pad_left(loaded, [one.ids for one in batch])
    most = max(one.count for one in batch)
    logits = loaded.model(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=most + 1
    ).logits
    counts = torch.tensor([one.count for one in batch], device=logits.device)
    wanted = torch.arange(most, 0, -1, device=logits.device) <= counts[:, None]
    losses = torch.nn.functional.cross_entropy(logits[:, :-1].float().transpose(1, 2), ids[:, -most:], reduction="none")
    return ((losses * wanted).sum(1) / counts).sum()
