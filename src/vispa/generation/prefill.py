"""The pass over the prompts of a batch: what is the same in several rows is read once.

Chat templates and wordings make most of a short prompt, and are the same for all rows. What they
leave in the residual stream differs only between rows that are steered differently; a question whose
options stand in several orders begins alike in all of them. And rows with one prompt differ only from
the first steered block on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedConfig

from vispa.errors import NumericalError
from vispa.generation.beginnings import Beginnings, Groups, beginnings
from vispa.generation.cache import GrowingLayer, keep_rows, kept_in
from vispa.generation.rows import Row
from vispa.generation.sharing import fanning_out
from vispa.models.batching import Padded, pad_left, pad_right
from vispa.models.loading import LoadedModel
from vispa.steering.intervention import ActiveSteering

# A pass of its own is worth it where it saves that share of the tokens.
_LEAST_SAVED = 0.2


def prefill(
    loaded: LoadedModel,
    rows: Sequence[Row],
    active: ActiveSteering,
    cache: DynamicCache,
    new_tokens: int,
    *,
    gaps: bool = True,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Read the prompts of B rows into an empty cache, within `steering`.

    Args:
        loaded: the model.
        rows: of the batch.
        active: their steering.
        cache: empty.
        new_tokens: that are to follow.
        gaps: whether padding may stand between the tokens of a prompt, after its beginning.

    Returns:
        Logits [B, vocabulary] of each row's next token; the attention mask [B, T] of what the cache
        holds; the positions [B, 1] of the rows' last tokens.

    Raises:
        NumericalError: a logit, activation or shift is not finite.
    """
    prompts = [row.prompt.ids for row in rows]
    # Below the first steered block, rows with the same prompt are the same.
    below = min(active.plan.blocks, default=len(loaded.blocks) - 1)
    lower, upper = slice(below + 1), slice(below + 1, None)
    longest = max(map(len, prompts))
    if active.apart or not is_plain(loaded, cache, longest + new_tokens):
        return _read(loaded, rows, Groups.of(range(len(rows))), below, None, cache)
    prompt, shared = Groups.of(prompts), None
    if active.is_fixed and gaps:
        lower_share = (below + 1) / len(loaded.blocks)
        read = lower_share * len(prompt.firsts) + (1 - lower_share) * len(rows)
        shared = beginnings(prompts, [(row.steers, row.orthogonal) for row in rows], read)
        # Padding between a beginning and what comes after it takes places, to which all that is written attends.
        widest = shared.widest(prompts)
        saved = shared.saved(prompts, read) - (len(rows) * (widest - longest) if new_tokens else 0)
        if saved < _LEAST_SAVED * read * longest or not is_plain(loaded, cache, widest + new_tokens):
            shared = None
    if shared is None:
        return _read(loaded, rows, prompt, below, None, cache)
    prompt = Groups.of(
        [(ids, shared.lengths[group]) for ids, group in zip(prompts, shared.groups.members, strict=True)]
    )
    members = torch.tensor(shared.groups.members)
    begun = _begun(loaded, shared, prompts, active, cache)[members]
    keep_rows(cache, members[prompt.firsts], lower)
    keep_rows(cache, members, upper)
    return _read(loaded, rows, prompt, below, begun, cache)


def _begun(
    loaded: LoadedModel,
    shared: Beginnings,
    prompts: Sequence[Sequence[int]],
    active: ActiveSteering,
    cache: DynamicCache,
) -> torch.Tensor:
    """Read each of G beginnings into an empty cache; the attention mask [G, T] of what it then holds."""
    firsts = shared.groups.firsts
    # Padded on the right, so that a token's place in the pass is its place in its prompt.
    padded = pad_right(loaded, [prompts[first][:length] for first, length in zip(firsts, shared.lengths, strict=True)])
    with active.beginning(torch.tensor(firsts)):
        next_logits(loaded, padded, **kept_in(loaded.model, cache))
    return padded.mask


def _read(
    loaded: LoadedModel,
    rows: Sequence[Row],
    prompt: Groups,
    below: int,
    begun: torch.Tensor | None,
    cache: DynamicCache,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Read what is left of B prompts; gives what `prefill` gives.

    Args:
        loaded: the model.
        rows: of the batch.
        prompt: rows that are the same up to a block.
        below: number of that block.
        begun: attention mask [B, T] of the beginnings that the cache holds; None where it is empty.
        cache: of the beginnings; up to that block, of the first row of each group alone.
    """
    first = torch.tensor(prompt.firsts, device=loaded.device)
    lengths = [0] * len(rows) if begun is None else begun.sum(-1).tolist()
    ids, mask, positions = pad_left(loaded, [rows[place].prompt.ids[lengths[place] :] for place in prompt.firsts])
    if begun is not None:
        mask = torch.cat([begun[first], mask], dim=1)
        positions = positions + begun[first].sum(-1, keepdim=True)
    padded, members = Padded(ids, mask, positions), torch.tensor(prompt.members, device=loaded.device)
    if len(prompt.firsts) == len(rows):
        return next_logits(loaded, padded, **kept_in(loaded.model, cache)), mask, padded.positions[:, -1:]
    with fanning_out(loaded.blocks, below, members):
        logits = next_logits(loaded, padded, **kept_in(loaded.model, cache))
    keep_rows(cache, members, slice(below + 1))
    return logits, mask[members], padded.positions[members, -1:]


def next_logits(loaded: LoadedModel, padded: Padded, **options: Any) -> torch.Tensor:
    """Logits [B, vocabulary] of the token after each row; within `LoadedModel.passes`.

    Args:
        loaded: the model.
        padded: rows padded on the left, or on the right where the logits do not count; the mask also covers what a
            cache holds.
        **options: of the model's forward pass, such as its cache.

    Raises:
        NumericalError: a logit is not finite.
    """
    logits = raw_logits(loaded, padded, **options)
    check_logits(logits)
    return logits


def raw_logits(loaded: LoadedModel, padded: Padded, **options: Any) -> torch.Tensor:
    """As `next_logits`; whether they are finite is the caller's affair."""
    ids, mask, positions = padded
    output = loaded.model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1, **options)
    logits: torch.Tensor = output.logits[:, -1]
    return logits


def unusable_rows(largest: torch.Tensor) -> list[int]:
    """The rows whose logits are no distribution, see `check_logits`, by the largest one of each row [N]."""
    # It is NaN where any is.
    bad = ~torch.isfinite(largest)
    return [int(row) for row in bad.nonzero()[:, 0]] if bool(bad.any()) else []


def check_logits(logits: torch.Tensor) -> None:
    """Refuse logits [N, vocabulary] that are no distribution: NaN, infinite, or nowhere finite.

    Some models rule tokens out by a logit of minus infinity, which is none of these.

    Raises:
        NumericalError: names the row.
    """
    for row in unusable_rows(logits.amax(-1)):
        raise not_finite(row)


def not_finite(row: int) -> NumericalError:
    """What is said of the logits of a row of a batch."""
    return NumericalError(f"The logits of row {row} of a batch are not finite; load the model in float32 or bfloat16.")


def is_plain(loaded: LoadedModel, cache: DynamicCache, longest: int) -> bool:
    """Whether each block keeps keys and values only, and tells tokens' places by positions alone, despite padding."""
    config: PreTrainedConfig = loaded.model.config.get_text_config()
    rotary = getattr(config, "rope_parameters", None)
    if rotary is None or "mrope_section" in rotary or getattr(config, "alibi", False):
        return False
    layers: list[Any] = cache.layers
    if len(layers) != len(loaded.blocks):
        return False
    # A window counts places, gaps included.
    return all(isinstance(layer, GrowingLayer) and not 0 < layer.get_max_length() <= longest for layer in layers)
