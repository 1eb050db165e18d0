"""The smallest shift that reaches a probe's target confidence."""

from __future__ import annotations

import torch


def signed_shift(
    hidden: torch.Tensor, direction: torch.Tensor, weight_norm: torch.Tensor, bias: torch.Tensor, logit: torch.Tensor
) -> torch.Tensor:
    """The shift along unit directions that brings each probe exactly to its target.

    ε = (s0 - b - w·h) / ‖w‖ with w = ‖w‖ · direction (ConVA, arXiv 2507.11316). Upward
    calibration takes max(0, ε).

    Args:
        hidden: [B, H] float32.
        direction: [B, M, H] unit length.
        weight_norm: [B, M].
        bias: [B, M].
        logit: [B, M] s0 of each.

    Returns:
        [B, M] float32.
    """
    projection = torch.einsum("bh,bmh->bm", hidden, direction)
    return (logit - bias) / weight_norm - projection
