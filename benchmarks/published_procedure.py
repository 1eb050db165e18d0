"""The published procedure, written plainly: one prompt, one block, one sentence at a time.

It is the other side of the speed benchmarks and shares no code with the engine. Where the
publications leave room, the faster way is taken: calibration passes leave out the output head,
which nobody reads, and generation uses the key-value cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import nn

from vispa.models.loading import LoadedModel

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class BlockProbe:
    """P(h) = σ(‖w‖ · direction·h + b) at one block; `direction` [H] has unit length."""

    direction: torch.Tensor
    weight_norm: float
    bias: float


# ---------------------------------------------------------------- steering (ConVA, arXiv 2507.11316)


def calibrate(
    loaded: LoadedModel, ids: torch.Tensor, probes: Mapping[int, BlockProbe], target: float
) -> dict[int, float]:
    """ε of every block, each measured by a pass of its own with the lower blocks steered.

    Args:
        loaded: the model.
        ids: [1, T] the prompt.
        probes: block number → probe.
        target: confidence P0 to reach.
    """
    logit = math.log(target / (1 - target))
    epsilons: dict[int, float] = {}
    for block in sorted(probes):
        probe = probes[block]
        hidden = _block_output(loaded, ids, block, shifts(probes, epsilons))[0, -1].float()
        projection = float(hidden @ probe.direction.to(hidden.device))
        epsilons[block] = max(0.0, (logit - probe.bias) / probe.weight_norm - projection)
    return epsilons


def shifts(probes: Mapping[int, BlockProbe], epsilons: Mapping[int, float]) -> dict[int, torch.Tensor]:
    """Block number → [H] what is added after it."""
    return {block: epsilon * probes[block].direction for block, epsilon in epsilons.items()}


def greedy(loaded: LoadedModel, ids: torch.Tensor, added: Mapping[int, torch.Tensor], new_tokens: int) -> str:
    """The greedy continuation of one prompt [1, T], with shifts [H] added at every position."""
    with _adding(loaded, added):
        output: Any = loaded.model.generate(  # type: ignore[operator]
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, do_sample=False
        )
    return str(loaded.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)).strip()


@torch.inference_mode()
def _block_output(
    loaded: LoadedModel, ids: torch.Tensor, block: int, added: Mapping[int, torch.Tensor]
) -> torch.Tensor:
    """Residual stream [1, T, H] after a block."""
    seen: list[torch.Tensor] = []

    def see(_module: nn.Module, _inputs: object, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    with _adding(loaded, added):
        handle = loaded.blocks[block].register_forward_hook(see)
        try:
            loaded.model.base_model(input_ids=ids, use_cache=False)
        finally:
            handle.remove()
    return seen[0]


@contextmanager
def _adding(loaded: LoadedModel, added: Mapping[int, torch.Tensor]) -> Iterator[None]:
    """Add a fixed shift after each named block while the context lasts."""

    def make(shift: torch.Tensor) -> Any:
        shift = shift.to(loaded.device, loaded.model.dtype)

        def add(_module: nn.Module, _inputs: object, output: Any) -> Any:
            return (output[0] + shift, *output[1:]) if isinstance(output, tuple) else output + shift

        return add

    with ExitStack() as hooks:
        for block, shift in added.items():
            hooks.callback(loaded.blocks[block].register_forward_hook(make(shift)).remove)
        yield


# ---------------------------------------------------------------- fitting


@torch.inference_mode()
def read_one_by_one(loaded: LoadedModel, texts: Sequence[str]) -> Array:
    """Residual stream [N, L, H] after every block at each text's last token, a pass a text."""
    rows: list[torch.Tensor] = []
    states: list[torch.Tensor] = []

    def see(_module: nn.Module, _inputs: object, output: Any) -> None:
        states.append((output[0] if isinstance(output, tuple) else output)[0, -1].float().cpu())

    with ExitStack() as hooks:
        for block in loaded.blocks:
            hooks.callback(block.register_forward_hook(see).remove)
        for text in texts:
            ids = torch.tensor([loaded.tokenizer(text, truncation=True, max_length=256)["input_ids"]])
            states.clear()
            loaded.model.base_model(input_ids=ids.to(loaded.device), use_cache=False)
            rows.append(torch.stack(states))
    return torch.stack(rows).numpy()


def mean_difference(positive: Array, negative: Array) -> Array:
    """CAA (arXiv 2312.06681) on two sides [N, H]: [H]."""
    difference: Array = positive.mean(0) - negative.mean(0)
    return difference


def first_component(positive: Array, negative: Array) -> Array:
    """First principal direction [H] of the pair differences, not centred (RepE, arXiv 2310.01405).

    It points to the side on which more of the positive sentences project higher; on a tie its
    largest coordinate is positive.
    """
    differences = positive - negative
    component: Array = np.linalg.svd(differences, full_matrices=False)[2][0]
    votes = np.sign(differences @ component).sum()
    sign = np.sign(votes if votes else component[np.abs(component).argmax()])
    signed: Array = component * sign
    return signed


def probe(positive: Array, negative: Array, *, exact: bool = False) -> Array:
    """Unit normal [H] of a logistic regression on 70 % of the sentences (ConVA).

    Args:
        positive: [N, H].
        negative: [N, H].
        exact: go to the optimum with Newton's method; scikit-learn's default solver and tolerance
            stop well before it where activations are of unequal size.
    """
    states = np.concatenate([positive, negative])
    labels = np.array([1] * len(positive) + [0] * len(negative))
    train, test, train_labels, test_labels = train_test_split(
        states, labels, test_size=0.3, random_state=0, stratify=labels
    )
    solver, tolerance = ("newton-cholesky", 1e-9) if exact else ("lbfgs", 1e-4)
    model = LogisticRegression(C=1.0, solver=solver, tol=tolerance, max_iter=20_000).fit(train, train_labels)
    # The published procedure keeps the accuracy, to choose blocks by.
    model.score(test, test_labels)
    weight: Array = model.coef_[0] / np.linalg.norm(model.coef_[0])
    return weight
