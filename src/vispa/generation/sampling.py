"""Random numbers of rows, and the tokens that they pick."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import torch

from vispa.generation.rows import Row, Sampling

# A smaller temperature or share is 0 in the arithmetic of the logits, and takes the likeliest token as this one does.
_LEAST = 1e-30
# A greater temperature may be infinite there; all tokens that are not ruled out are as likely at this one.
_GREATEST = 1e30


def draws(rows: Sequence[Row], sampling: Sampling) -> torch.Tensor:
    """[B, count] uniform numbers, each row's from the seeds, its prompt and its values alone."""
    generators = (torch.Generator().manual_seed(row_seed(row, sampling.seed)) for row in rows)
    return torch.stack([torch.rand(sampling.max_new_tokens, generator=generator) for generator in generators])


def drawn_tokens(logits: torch.Tensor, samplings: Sequence[Sampling], draws: torch.Tensor) -> torch.Tensor:
    """The token at which each row's cumulative probability passes its uniform number.

    Args:
        logits: [B, vocabulary].
        samplings: B, with temperatures above 0.
        draws: [B] uniform numbers.

    Returns:
        [B] token ids.
    """
    logits = logits.float()
    temperature, top_p = logits.new_tensor(
        [(min(max(one.temperature, _LEAST), _GREATEST), max(one.top_p, _LEAST)) for one in samplings]
    ).T[..., None]
    # The likeliest one becomes 0 first: others may fall to minus infinity, but none to NaN.
    probabilities = ((logits - logits.amax(-1, keepdim=True)) / temperature).softmax(-1)
    probabilities, tokens = torch.sort(probabilities, dim=-1, descending=True, stable=True)
    before = probabilities.cumsum(-1) - probabilities
    # The likeliest tokens that together hold top_p; the first one always stays.
    probabilities = probabilities.masked_fill(before >= top_p, 0.0)
    cumulative = probabilities.cumsum(-1)
    place = torch.searchsorted(cumulative, (draws[:, None] * cumulative[:, -1:]).contiguous(), right=True)
    return tokens.gather(-1, place.clamp_max((probabilities > 0).sum(-1, keepdim=True) - 1))[:, 0]


def row_seed(row: Row, seed: int) -> int:
    """A number of 63 bits that differs between prompts, between the values of one prompt, and between seeds."""
    said = json.dumps([seed, row.seed, row.prompt.ids, [steer.value for steer in row.steers]])
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "big") >> 1
