"""How far shifts go: just to a probe's target confidence, and no farther than a cap."""

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


def capped(amount: torch.Tensor, length: torch.Tensor, longest: torch.Tensor) -> torch.Tensor:
    """Amounts of which shifts come out no longer than a cap; those that do anyway stay as they are to the bit.

    Compared as amounts: the length of a shift may be beyond all numbers where its amount is not.

    Args:
        amount: multiples of directions, of either sign.
        length: of the directions, of the same shape.
        longest: shift, of the same shape; infinite where there is no cap.
    """
    most = longest / length.clamp_min(1e-30)
    return amount.clamp(-most, most)
