"""Changing what decoder layers put out, whether vLLM runs them one by one, compiled, or as captured graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

#: From a block's number, its hidden states [T, H] and the residual beside them, or None, to other hidden states.
Shift = Callable[[int, torch.Tensor, torch.Tensor | None], torch.Tensor]

#: Name of the operation that compiled code calls; graphs are split there where vLLM captures pieces.
OPERATION = "vispa::shift"


def install(layers: nn.ModuleList, shift: Shift, context: dict[str, Any] | None = None) -> None:
    """Let every layer's output go through `shift`.

    Layers return hidden states, or two parts whose sum is the residual stream: the addition is fused into the norm
    that comes next. Then the first part is changed, which changes the sum.

    Args:
        layers: block 0 first.
        shift: gives the hidden states that take the place of a layer's.
        context: what forward passes of this model find by name (vLLM's `static_forward_context`), where its layers are
            compiled or captured: they then call an operation, into which no compiler looks. A process may have several
            models, so the operation finds `shift` there.
    """
    if context is not None:
        context[OPERATION] = shift
        shift = _operation()
    for number, layer in enumerate(layers):
        layer.forward = _shifting(number, layer.forward, shift)


def parts(output: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The hidden states in a layer's output, and the residual that the next norm adds to them, if there is one."""
    if isinstance(output, torch.Tensor):
        return output, None
    hidden, *others = output
    second = others[0] if others else None
    apart = isinstance(second, torch.Tensor) and second.shape == hidden.shape and second.is_floating_point()
    return hidden, second if apart else None


def _shifting(number: int, forward: Callable[..., Any], shift: Shift) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        output = forward(*arguments, **named)
        hidden, residual = parts(output)
        shifted = shift(number, hidden, residual)
        return shifted if isinstance(output, torch.Tensor) else type(output)((shifted, *output[1:]))

    return call


def _operation() -> Shift:
    """The operation, which is registered once in a process."""
    if not hasattr(torch.ops.vispa, "shift"):
        from vllm.forward_context import get_forward_context

        def shift(hidden: torch.Tensor, residual: torch.Tensor | None, block: int, shifted: torch.Tensor) -> None:
            own: Shift = get_forward_context().no_compile_layers[OPERATION]
            shifted.copy_(own(block, hidden, residual))

        shift.__annotations__ = {
            "hidden": torch.Tensor, "residual": torch.Tensor | None, "block": int, "shifted": torch.Tensor,
            "return": None,
        }  # fmt: skip
        made = torch.library.custom_op(OPERATION, shift, mutates_args=("shifted",))
        made.register_fake(lambda hidden, residual, block, shifted: None)

    def called(block: int, hidden: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
        # The captured piece that comes next reads where it read when it was captured: the piece before makes room.
        shifted = torch.empty_like(hidden)
        torch.ops.vispa.shift(hidden, residual, block, shifted)
        return shifted

    return called
