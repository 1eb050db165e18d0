"""Readings: how one vector is read from the activations of a sentence's tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

#: `last`: the last token (the paper). `mean`: the mean over all tokens. `sink_free_mean`: the mean over the tokens
#: that are no attention sinks.
Reading = Literal["last", "mean", "sink_free_mean"]

#: A token whose residual stream is longer than so many times the sentence's median is an attention sink.
SINK_RATIO = 10.0


def last_token(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The activation of each sentence's last token.

    Args:
        hidden: [B, T, H], padded on the right.
        mask: [B, T] bool, the tokens that are no padding; at least one a sentence.

    Returns:
        [B, H] float32.
    """
    last = mask.sum(-1) - 1
    return hidden[torch.arange(len(hidden), device=hidden.device), last].float()


def token_mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over each sentence's tokens; arguments and result as of `last_token`."""
    weights = mask / mask.sum(-1, keepdim=True)
    return torch.einsum("bth,bt->bh", hidden.float(), weights)


def sink_free_mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over each sentence's tokens without attention sinks; arguments and result as of `last_token`.

    Pretrained models keep a massive activation on the first token, which holds nothing of the sentence and outweighs
    all other tokens (arXiv 2309.17453, 2402.17762). See `content_tokens` for which tokens stay.
    """
    return token_mean(hidden, content_tokens(hidden.float().norm(dim=-1), mask))


def content_tokens(norms: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The tokens that are no attention sinks.

    Left out are the first token (a start token where the model has one, and the place of the sink where it has none)
    and every token that is more than `SINK_RATIO` times as long as the median of the sentence's other tokens. Which
    tokens stay depends on the sentence alone and not on its batch. A sentence of which nothing would stay is
    kept whole.

    Args:
        norms: [B, T] length of each token's residual stream.
        mask: [B, T] bool, the tokens that are no padding; the first one stands at its sentence's start.

    Returns:
        [B, T] bool.
    """
    first = mask & (mask.cumsum(-1) == 1)
    others = mask & ~first
    median = norms.masked_fill(~others, torch.nan).nanmedian(dim=-1, keepdim=True).values
    kept = others & (norms <= SINK_RATIO * median)
    return torch.where(kept.any(-1, keepdim=True), kept, mask)


#: Name → reading.
READINGS: dict[Reading, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "last": last_token,
    "mean": token_mean,
    "sink_free_mean": sink_free_mean,
}
