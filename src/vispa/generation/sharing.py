"""Rows with the same prompt go through the blocks below the first steered one together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from vispa.steering.activations import block_output


@contextmanager
def fanning_out(blocks: nn.ModuleList, after: int, members: torch.Tensor) -> Iterator[None]:
    """Let a pass over U rows go on with B rows once a block is done, while the context lasts.

    Hooks that are on that block already see B rows.

    Args:
        blocks: of the model.
        after: number of the block.
        members: [B] for each row that goes on, which of the U rows it is, each of them at least once.
    """
    count = int(members.max()) + 1

    def fan(thing: Any) -> Any:
        if isinstance(thing, torch.Tensor):
            is_fanned = thing.ndim > 1 and thing.shape[0] == count
            # On a CPU `thing[members]` takes five times as long.
            return thing.index_select(0, members.to(thing.device)) if is_fanned else thing
        if type(thing) in (tuple, list):
            return type(thing)(fan(part) for part in thing)
        return {name: fan(part) for name, part in thing.items()} if type(thing) is dict else thing

    def fan_output(_module: nn.Module, _inputs: object, output: Any) -> Any:
        hidden = fan(block_output(output))
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    def fan_inputs(_module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        # Masks and positions are made for the whole pass; the hidden states come fanned out.
        return (*inputs[:1], *fan(inputs[1:])), {
            name: part if name == "hidden_states" else fan(part) for name, part in options.items()
        }

    handles = [blocks[after].register_forward_hook(fan_output, prepend=True)]
    handles += [block.register_forward_pre_hook(fan_inputs, with_kwargs=True) for block in list(blocks)[after + 1 :]]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
