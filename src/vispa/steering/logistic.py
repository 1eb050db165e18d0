"""Many small logistic regressions at once, exactly: Newton's method in the space of the sentences.

A probe is fitted on some hundred sentences in a space of thousands of dimensions, once for
every value and block. In the dual, a Newton step costs one factorisation of a matrix of
sentences × sentences, and all problems of a bank share the batched solver.
"""

from __future__ import annotations

import torch

from vispa.errors import NumericalError

_MAX_STEPS = 100
_TOLERANCE = 1e-10


def fit_logistic(
    states: torch.Tensor, labels: torch.Tensor, strength: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """L2-penalised logistic regressions with an intercept that is not penalised.

    Minimises C Σ log(1 + exp(-y (w·x + b))) + ½ ‖w‖² for each problem, as scikit-learn's
    `LogisticRegression(C=strength)` does.

    Args:
        states: [P, N, H] float64, the N sentences of each of P problems.
        labels: [N] or [P, N], 1 or 0.
        strength: C, the inverse of the penalty's weight.

    Returns:
        Weights [P, H] and intercepts [P], float64.

    Raises:
        NumericalError: a problem did not converge.
    """
    problems, count, _ = states.shape
    target = labels.to(states).expand(problems, count)
    gram = states @ states.transpose(1, 2)
    alpha = states.new_zeros(problems, count)  # w = Σ alpha_n x_n
    bias = states.new_zeros(problems)
    objective = _objective(gram, alpha, bias, target, strength)
    for _ in range(_MAX_STEPS):
        logits = torch.einsum("pnm,pm->pn", gram, alpha) + bias[:, None]
        probability = logits.sigmoid()
        residual = target - probability
        # The optimum has alpha = C (target - probability) and residuals that sum to zero.
        gap = (alpha - strength * residual).abs().amax(-1) + residual.sum(-1).abs()
        if float(gap.max()) <= _TOLERANCE * count:
            return torch.einsum("pn,pnh->ph", alpha, states), bias
        new_alpha, new_bias = _newton_point(gram, logits, probability, residual, strength)
        alpha, bias, objective = _descend(gram, target, strength, (alpha, bias, objective), (new_alpha, new_bias))
    if float(gap.max()) > 1e-6 * count:
        raise NumericalError("A probe did not converge; its activations may be of very unequal size.")
    return torch.einsum("pn,pnh->ph", alpha, states), bias


def _newton_point(
    gram: torch.Tensor, logits: torch.Tensor, probability: torch.Tensor, residual: torch.Tensor, strength: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the quadratic model of each problem has its minimum: a weighted ridge regression."""
    curvature = strength * (probability * (1 - probability)).clamp_min(1e-12)
    root = curvature.sqrt()
    working = logits + strength * residual / curvature
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    factor = torch.linalg.cholesky(identity + root[:, :, None] * gram * root[:, None, :])
    right = torch.stack([root * working, root], dim=-1)
    solved = root[..., None] * torch.cholesky_solve(right, factor)
    bias = solved[..., 0].sum(-1) / solved[..., 1].sum(-1)
    return solved[..., 0] - bias[:, None] * solved[..., 1], bias


def _descend(
    gram: torch.Tensor,
    target: torch.Tensor,
    strength: float,
    old: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    new: tuple[torch.Tensor, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Move toward the new point, by half the way again wherever the objective would rise."""
    alpha, bias, objective = old
    share = torch.ones_like(bias)
    for _ in range(30):
        tried_alpha = alpha + share[:, None] * (new[0] - alpha)
        tried_bias = bias + share * (new[1] - bias)
        tried = _objective(gram, tried_alpha, tried_bias, target, strength)
        rises = tried > objective + 1e-12 * objective.abs()
        if not rises.any():
            break
        share = torch.where(rises, share / 2, share)
    return tried_alpha, tried_bias, tried


def _objective(
    gram: torch.Tensor, alpha: torch.Tensor, bias: torch.Tensor, target: torch.Tensor, strength: float
) -> torch.Tensor:
    projected = torch.einsum("pnm,pm->pn", gram, alpha)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(projected + bias[:, None], target, reduction="none")
    return strength * loss.sum(-1) + (alpha * projected).sum(-1) / 2
