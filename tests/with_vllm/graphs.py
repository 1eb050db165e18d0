"""What captured graphs do, on a processor, which has none: in some passes the layers' Python is not there."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vispa.generation.vllm.steps import Steps
from vispa.generation.vllm.worker import SteeredWorker


def capture(patch: pytest.MonkeyPatch) -> None:
    """Let engines that start now run steps with a token a request as graphs that were captured at the start.

    Whatever a block did to its output then, it does in every such step: it gathers from a table that was there, or
    nothing ever. What is measured or read is left out.
    """
    from vllm.config import CUDAGraphMode
    from vllm.forward_context import BatchDescriptor, get_forward_context
    from vllm.v1.cudagraph_dispatcher import CudagraphDispatcher

    gathering: dict[Steps, set[int]] = {}
    load, warm, shifted = SteeredWorker.load, SteeredWorker.warm, Steps.shifted

    def loaded(self: Any, *arguments: Any, **named: Any) -> None:
        compilation = self._config.compilation_config
        compilation.cudagraph_mode = CUDAGraphMode.FULL_DECODE_ONLY
        load(self, *arguments, **named)
        compilation.cudagraph_mode = CUDAGraphMode.NONE

    def warmed(self: Any, *arguments: Any, **named: Any) -> Any:
        blocks = range(len(self._steps.bank.residual_norm))
        there = {block for block in blocks if self._tables.of(block) is not None}
        gathering[self._steps] = there if self._steps.captured else set()
        return warm(self, *arguments, **named)

    def dispatched(_: Any, num_tokens: int, uniform_decode: bool = False, **named: Any) -> Any:
        allowed = (named.get("valid_modes") or {*CUDAGraphMode}) - (named.get("invalid_modes") or set())
        full = uniform_decode and CUDAGraphMode.FULL in allowed
        return CUDAGraphMode.FULL if full else CUDAGraphMode.NONE, BatchDescriptor(num_tokens)

    def replayed(self: Any, block: int, hidden: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
        if get_forward_context().cudagraph_runtime_mode != CUDAGraphMode.FULL:
            return shifted(self, block, hidden, residual)
        if block not in gathering[self]:
            return hidden
        table, count = self._tables.of(block), len(hidden)
        faded = table[self._fading[:count]] * self._left[:count, None].to(hidden.dtype)
        return hidden + table[self._index[:count]] + faded

    patch.setattr(SteeredWorker, "load", loaded)
    patch.setattr(SteeredWorker, "warm", warmed)
    patch.setattr(Steps, "shifted", replayed)
    patch.setattr(CudagraphDispatcher, "dispatch", dispatched)
