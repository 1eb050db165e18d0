"""The pass over the prompts of a batch: what is the same in several rows is read once.

Chat templates and wordings make most of a short prompt, and are the same for all rows. What they
leave in the residual stream differs only between rows that are steered differently. And rows with
one prompt differ only from the first steered block on.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache, PreTrainedConfig

from vispa.errors import NumericalError
from vispa.generation.cache import GrowingLayer, keep_rows
from vispa.generation.rows import Row
from vispa.generation.sharing import fanning_out
from vispa.models.batching import Padded, pad_left
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
        gaps: whether padding may stand between the tokens of a prompt, after what all begin with.

    Returns:
        Logits [B, vocabulary] of each row's next token; the attention mask [B, T] of what the cache
        holds; the positions [B, 1] of the rows' last tokens.

    Raises:
        NumericalError: a logit, activation or shift is not finite.
    """
    prompts = [row.prompt.ids for row in rows]
    alike, prompt = _Groups.of([(row.steers, row.orthogonal) for row in rows]), _Groups.of(prompts)
    if active.apart or not _is_plain(loaded, cache, max(map(len, prompts)) + new_tokens):
        alike = prompt = _Groups.of(range(len(rows)))
    # At least one token of each row is left, whose logits are read.
    common = _common_beginning([ids[:-1] for ids in prompts])
    saved = (len(rows) - len(alike.firsts)) * common
    if saved < _LEAST_SAVED * sum(map(len, prompts)) or not active.is_fixed or not gaps:
        common = 0
    # Below the first steered block, rows with the same prompt are the same.
    below = min(active.plan.blocks, default=len(loaded.blocks) - 1)
    lower, upper = slice(below + 1), slice(below + 1, None)
    if common:
        ids = torch.tensor([prompts[0][:common]] * len(alike.firsts), device=loaded.device)
        beginning = Padded(ids, torch.ones_like(ids), torch.arange(common, device=ids.device).expand_as(ids))
        with active.beginning(torch.tensor(alike.firsts)):
            next_logits(loaded, beginning, past_key_values=cache, use_cache=True)
        members = torch.tensor(alike.members)
        keep_rows(cache, members[prompt.firsts], lower)
        keep_rows(cache, members, upper)
    ids, mask, positions = pad_left(loaded, [prompts[first][common:] for first in prompt.firsts])
    mask = torch.cat([mask.new_ones(len(mask), common), mask], dim=1)
    padded, members = Padded(ids, mask, positions + common), torch.tensor(prompt.members, device=loaded.device)
    if len(prompt.firsts) == len(rows):
        return next_logits(loaded, padded, past_key_values=cache, use_cache=True), mask, padded.positions[:, -1:]
    with fanning_out(loaded.blocks, below, members):
        logits = next_logits(loaded, padded, past_key_values=cache, use_cache=True)
    keep_rows(cache, members, lower)
    return logits, mask[members], padded.positions[members, -1:]


def next_logits(loaded: LoadedModel, padded: Padded, **options: Any) -> torch.Tensor:
    """Logits [B, vocabulary] of the token after each row; within `LoadedModel.passes`.

    Args:
        loaded: the model.
        padded: rows padded on the left; the mask also covers what a cache holds.
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


def unusable_logits(logits: torch.Tensor) -> list[int]:
    """The rows of [N, vocabulary] that are no distribution; see `check_logits`."""
    # The largest one is NaN where any is.
    bad = ~torch.isfinite(logits.amax(-1))
    return [int(row) for row in bad.nonzero()[:, 0]] if bool(bad.any()) else []


def check_logits(logits: torch.Tensor) -> None:
    """Refuse logits [N, vocabulary] that are no distribution: NaN, infinite, or nowhere finite.

    Some models rule tokens out by a logit of minus infinity, which is none of these.

    Raises:
        NumericalError: names the row.
    """
    for row in unusable_logits(logits):
        raise not_finite(row)


def not_finite(row: int) -> NumericalError:
    """What is said of the logits of a row of a batch."""
    return NumericalError(f"The logits of row {row} of a batch are not finite; load the model in float32 or bfloat16.")


def _common_beginning(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with."""
    columns = zip(*rows, strict=False)
    return next((place for place, column in enumerate(columns) if len(set(column)) > 1), min(map(len, rows)))


class _Groups(NamedTuple):
    """Rows that are the same in some way: for each row the number of its group, and the first row of each group."""

    members: list[int]
    firsts: list[int]

    @classmethod
    def of(cls, keys: Sequence[Hashable]) -> _Groups:
        firsts: dict[Hashable, int] = {}
        for place, key in enumerate(keys):
            firsts.setdefault(key, place)
        numbers = {key: number for number, key in enumerate(firsts)}
        return cls([numbers[key] for key in keys], list(firsts.values()))


def _is_plain(loaded: LoadedModel, cache: DynamicCache, longest: int) -> bool:
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
