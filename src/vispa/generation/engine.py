"""Batched decoding with transformers: prefill, then one token a step for all rows.

Rows are sorted by length, put into batches under a token budget and padded on the left. A row
that has ended leaves its batch, so long texts are not slowed down by short ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from vispa.errors import NumericalError
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.thoughts import answer_text
from vispa.models.batching import DECODING, pad_left, token_batches
from vispa.models.context import check_context
from vispa.models.loading import LoadedModel
from vispa.steering.intervention import ActiveSteering, steering
from vispa.steering.plan import SteeringPlan


def generate(
    loaded: LoadedModel,
    rows: Sequence[Row],
    sampling: Sampling,
    plan: SteeringPlan | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Generated]:
    """Texts of all rows, in their order.

    Args:
        loaded: the model; between batches other threads get their turn.
        rows: prompts as the model continues them, with their steers.
        sampling: how to decode.
        plan: the shifts of the rows' steers; needed if any row has one.
        progress: called with the number of rows just finished.

    Raises:
        NumericalError: a logit, activation or shift is not finite.
        ContextError: a row's prompt and text are longer than the model's context; nothing was computed.
    """
    encoded = [row.prompt.ids for row in rows]
    for ids in encoded:
        check_context(loaded, len(ids), sampling.max_new_tokens)
    results: dict[int, Generated] = {}
    for batch in token_batches([len(ids) + sampling.max_new_tokens for ids in encoded], DECODING):
        texts = _generate_batch(loaded, [rows[i] for i in batch], sampling, plan)
        results.update(zip(batch, texts, strict=True))
        if progress is not None:
            progress(len(batch))
    return [results[index] for index in range(len(rows))]


def _generate_batch(
    loaded: LoadedModel,
    rows: Sequence[Row],
    sampling: Sampling,
    plan: SteeringPlan | None,
) -> list[Generated]:
    plan = plan or SteeringPlan.empty()
    with steering(loaded, plan, [row.steers for row in rows], orthogonal=[row.orthogonal for row in rows]) as active:
        tokens = _decode(loaded, rows, sampling, active)
    answers = [answer_text(loaded, row.prompt, ids) for row, ids in zip(rows, tokens, strict=True)]
    return [
        Generated(
            text=answers[i] or "",
            tokens=len(ids),
            shift={block: float(amount[i]) for block, amount in active.amounts.items()} if row.steers else {},
            unfinished=answers[i] is None,
        )
        for i, (row, ids) in enumerate(zip(rows, tokens, strict=True))
    ]


def _decode(loaded: LoadedModel, rows: Sequence[Row], sampling: Sampling, active: ActiveSteering) -> list[list[int]]:
    """Token ids generated for each row."""
    device = loaded.device
    ends = _end_tokens(loaded)
    draws = None if sampling.is_greedy else _draws(rows, sampling).to(device)
    texts: list[list[int]] = [[] for _ in rows]
    alive = list(range(len(rows)))
    ids, mask, positions = pad_left(loaded, [row.prompt.ids for row in rows])
    cache = DynamicCache(config=loaded.model.config)
    for step in range(sampling.max_new_tokens):
        logits = next_logits(loaded, ids, mask, positions, past_key_values=cache, use_cache=True)
        chosen = logits.argmax(-1) if draws is None else _draw(logits, sampling, draws[:, step])
        chosen_list = chosen.tolist()
        for row, token in zip(alive, chosen_list, strict=True):
            texts[row].append(token)
        going = [place for place, token in enumerate(chosen_list) if token not in ends]
        if not going or step + 1 == sampling.max_new_tokens:
            break
        if len(going) < len(alive):
            keep = torch.tensor(going, device=device)
            cache.batch_select_indices(keep)
            active.keep(keep)
            mask, positions, chosen = mask[keep], positions[keep], chosen[keep]
            draws = None if draws is None else draws[keep]
            alive = [alive[place] for place in going]
        ids = chosen[:, None]
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
        positions = positions[:, -1:] + 1
    return texts


def next_logits(
    loaded: LoadedModel, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, **options: Any
) -> torch.Tensor:
    """Logits [B, vocabulary] of the token after each row; within `LoadedModel.passes`.

    Args:
        loaded: the model.
        ids: [B, T], padded on the left.
        mask: [B, T or more] attention mask.
        positions: [B, T] of the ids.
        **options: of the model's forward pass, such as its cache.

    Raises:
        NumericalError: a logit is not finite.
    """
    output = loaded.model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1, **options)
    logits: torch.Tensor = output.logits[:, -1]
    check_logits(logits)
    return logits


def check_logits(logits: torch.Tensor) -> None:
    """Refuse logits [N, vocabulary] that are no distribution: NaN, infinite, or nowhere finite.

    Some models rule tokens out by a logit of minus infinity, which is none of these.

    Raises:
        NumericalError: names the row.
    """
    # The largest one is NaN where any is.
    bad = ~torch.isfinite(logits.amax(-1))
    if bool(bad.any()):
        raise NumericalError(
            f"The logits of row {int(bad.nonzero()[0])} of a batch are not finite; "
            "load the model in float32 or bfloat16."
        )


def _draws(rows: Sequence[Row], sampling: Sampling) -> torch.Tensor:
    """[B, count] uniform numbers, each row's from the seeds, its prompt and its values alone."""
    generators = (torch.Generator().manual_seed(_row_seed(row, sampling.seed)) for row in rows)
    return torch.stack([torch.rand(sampling.max_new_tokens, generator=generator) for generator in generators])


def _row_seed(row: Row, seed: int) -> int:
    """A number of 63 bits that differs between prompts, between the values of one prompt, and between seeds."""
    said = json.dumps([seed, row.seed, row.prompt.ids, [steer.value for steer in row.steers]])
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "big") >> 1


def _draw(logits: torch.Tensor, sampling: Sampling, draws: torch.Tensor) -> torch.Tensor:
    """The token [B] at which each row's cumulative probability passes its uniform number."""
    logits = logits.float()
    # The likeliest one becomes 0 first: others may fall to minus infinity, but none to NaN.
    probabilities = ((logits - logits.amax(-1, keepdim=True)) / sampling.temperature).softmax(-1)
    probabilities, tokens = torch.sort(probabilities, dim=-1, descending=True, stable=True)
    before = probabilities.cumsum(-1) - probabilities
    # The likeliest tokens that together hold top_p; the first one always stays.
    probabilities = probabilities.masked_fill(before >= sampling.top_p, 0.0)
    cumulative = probabilities.cumsum(-1)
    place = torch.searchsorted(cumulative, (draws[:, None] * cumulative[:, -1:]).contiguous(), right=True)
    return tokens.gather(-1, place.clamp_max((probabilities > 0).sum(-1, keepdim=True) - 1))[:, 0]


def _end_tokens(loaded: LoadedModel) -> set[int]:
    configured = getattr(loaded.model.generation_config, "eos_token_id", None)
    found = configured if isinstance(configured, list) else [configured]
    return {int(token) for token in [*found, loaded.tokenizer.eos_token_id] if token is not None}
