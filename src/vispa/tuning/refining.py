"""Refined directions: steering vectors trained until the model's best steered comments become its usual ones.

Where a direction of means is strong enough to change what is said, it also blurs the situation and the grammar. Of
its comments some are good all the same. The vectors, and nothing else, are moved by gradient descent so that these
comments become likely, and kept no longer than they were: a step of expert iteration on a few thousand numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from vispa.models.batching import Budget, token_batches
from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import REFINED, Entry
from vispa.steering.estimators.base import Directions
from vispa.steering.recipe import Recipe
from vispa.tuning.examples import Example
from vispa.tuning.steered_likelihood import EncodedComment, comment_logits, frozen

#: Tokens in a batch, padding included: few, so that an epoch is many steps.
_BATCH = Budget(tokens=2560)
#: Step of Adam, as a share of a coordinate of typical length.
_STEP = 0.1


def refined_vectors(
    loaded: LoadedModel,
    start: torch.Tensor,
    blocks: Sequence[int],
    examples: Sequence[Example],
    *,
    epochs: int,
    subject_share: float = 1.0,
    remains: float = 1.0,
    seed: int = 0,
    deadline: float = float("inf"),
    progress: Callable[[int], None] | None = None,
) -> torch.Tensor:
    """Vectors that make examples likely, from vectors that do so a little.

    A vector is never longer than it was at the start. The model's weights stay as they are.

    Args:
        loaded: the model.
        start: [V, L, H] float32, as they are added to the residual stream at every token; those at other blocks
            than `blocks` stay zero.
        blocks: where vectors are added.
        examples: comments with the place of their value in `start`.
        epochs: how often each example is seen.
        subject_share: see `Recipe`.
        remains: see `Recipe.remains`.
        seed: of the order of the batches.
        deadline: by `time.monotonic`; no batch begins that would end after it if it took as long as the last one.
        progress: called with the number of examples just seen.

    Returns:
        [V, L, H] float32.
    """
    encoded = [EncodedComment.of(loaded, one) for one in examples]
    limit = start[:, list(blocks)].norm(dim=-1, keepdim=True).to(loaded.device)
    base = start[:, list(blocks)].to(loaded.device)
    # Lengths differ between blocks and values by orders of magnitude: steps are shares of them.
    scale = (limit / start.shape[-1] ** 0.5).clamp_min(1e-12)
    free = torch.zeros_like(base, requires_grad=True)
    optimizer = torch.optim.Adam([free], lr=_STEP)
    batches = list(token_batches([len(one.ids) for one in encoded], _BATCH))
    chance = np.random.default_rng(seed)
    with frozen(loaded):
        took = 0.0
        order = [number for _ in range(epochs) for number in chance.permutation(len(batches))]
        for number in order:
            began = time.monotonic()
            if began + took > deadline:
                break
            batch = [encoded[place] for place in batches[number]]
            with loaded.turns, torch.enable_grad():
                loss = _loss(loaded, base + scale * free, blocks, batch, subject_share, remains)
                (gradient,) = torch.autograd.grad(loss, free)
            free.grad = gradient
            optimizer.step()
            with torch.no_grad():
                vectors = base + scale * free
                vectors *= (limit / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)).clamp_max(1.0)
                free.copy_((vectors - base) / scale)
            if progress is not None:
                progress(len(batch))
            took = time.monotonic() - began
    out = torch.zeros_like(start)
    out[:, list(blocks)] = (base + scale * free).detach().to(start.device)
    return out


def _loss(
    loaded: LoadedModel,
    vectors: torch.Tensor,
    blocks: Sequence[int],
    batch: Sequence[EncodedComment],
    subject_share: float,
    remains: float,
) -> torch.Tensor:
    """Mean negative log-likelihood of the comments' tokens, each steered toward its value."""
    logits, targets, own = comment_logits(loaded, vectors, blocks, batch, subject_share=subject_share, remains=remains)
    return torch.nn.functional.cross_entropy(logits[own].float(), targets[own])


def fixed_vectors(bank: VectorBank, recipe: Recipe) -> torch.Tensor:
    """What a recipe of fixed amounts adds to the residual stream, [V, L, H] float32; zero elsewhere."""
    plan = bank.plan(bank.info.values, recipe)
    vectors = torch.zeros_like(bank.entry(recipe.estimator).directions.vectors, dtype=torch.float32)
    for block, shift in plan.blocks.items():
        vectors[:, block] = shift.direction * (shift.amount * shift.used)[:, None]
    return vectors


def unrefined(start: torch.Tensor, vectors: torch.Tensor, examples: Sequence[Example]) -> str | None:
    """Why vectors that were to be refined are of no use; None where they are.

    Args:
        start: [V, L, H] as they were.
        vectors: as refining left them.
        examples: what was learnt from.
    """
    if not vectors.isfinite().all():
        return "they became numbers that are not finite"
    if not torch.equal(vectors, start):
        return None
    if start[[one.value for one in examples]].any():
        return "every gradient was 0"
    return "those of their values have no length, which refining does not add to"


def with_refined(bank: VectorBank, vectors: torch.Tensor, recipe: Recipe) -> VectorBank:
    """The bank with refined directions, which keep what is known of those that they began as."""
    entry = bank.entry(recipe.estimator)
    directions = Directions(vectors, entry.directions.quality.clone(), entry.directions.separation.clone())
    # Fitting cannot bring them back.
    refined = Entry(directions, entry.reading, entry.contrast, imported=True)
    # Strengths that were measured with others say nothing of these.
    return replace(bank.without_strengths({REFINED}), entries={**bank.entries, REFINED: refined})
