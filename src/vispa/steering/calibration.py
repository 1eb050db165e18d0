"""How far to shift: the smallest shift that reaches a probe's target confidence."""

from __future__ import annotations

import math

import torch

from vispa.errors import InputError

#: Target confidence of the published main method (section 4.2 of the paper).
TARGET = 0.9


def target_logit(target: float) -> float:
    """s0 = ln(P0 / (1 - P0)).

    Raises:
        InputError: the target is not strictly between 0 and 1.
    """
    if not 0 < target < 1:
        raise InputError("target", f"is {target}.", "Give a confidence strictly between 0 and 1, such as 0.9.")
    return math.log(target / (1 - target))


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
