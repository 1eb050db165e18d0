"""Keys and values of past tokens, kept where new ones can be written beside them.

A `DynamicCache` of transformers copies all it holds at every token. Here each layer has room for
tokens to come, and is copied once in `ROOM` tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

#: Tokens that a layer has room for beyond those that it holds.
ROOM = 64


class GrowingLayer(DynamicLayer):
    """A layer whose tokens attend to all before; `keys` and `values` [B, heads, T, D] are views of stores with room."""

    _stores: tuple[torch.Tensor, torch.Tensor] | None = None
    # Where the tokens held end in the stores.
    _end = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take in the keys and values [B, heads, T, D] of new tokens; all that are to be attended to."""
        self.keys, self.values = self._appended(key_states, value_states)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """See `keep_rows`."""
        if self._stores is not None and self.keys is not None:
            rows = beam_idx.to(self._stores[0].device)
            keys, values = self._stores = (self._stores[0][rows], self._stores[1][rows])
            held = slice(self._end - self.keys.shape[-2], self._end)
            self.keys, self.values = keys[:, :, held], values[:, :, held]

    def _appended(self, *new: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(*new)  # type: ignore[no-untyped-call]
        old = [] if self.keys is None or self.values is None or self._stores is None else [self.keys, self.values]
        held, count = old[0].shape[-2] if old else 0, new[0].shape[-2]
        if self._stores is None or self._end + count > self._stores[0].shape[-2]:
            keys, values = (part.new_empty(*part.shape[:2], held + count + ROOM, part.shape[3]) for part in new)
            self._stores, self._end = (keys, values), held
            for store, part in zip(self._stores, old, strict=False):
                store[:, :, :held] = part
        for store, part in zip(self._stores, new, strict=True):
            store[:, :, self._end : self._end + count] = part
        self._end += count
        keys, values = (store[:, :, self._end - held - count : self._end] for store in self._stores)
        return keys, values


class GrowingWindowLayer(GrowingLayer, DynamicSlidingWindowLayer):  # type: ignore[no-untyped-call]
    """A layer whose tokens attend to the last ones only; see `DynamicSlidingWindowLayer`."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `GrowingLayer.update`."""
        self.cumulative_length += key_states.shape[-2]
        keys, values = self._appended(key_states, value_states)
        # A token sees itself too.
        self.keys, self.values = (part[:, :, -self.sliding_window + 1 :] for part in (keys, values))
        return keys, values


def new_cache(config: PreTrainedConfig) -> DynamicCache:
    """An empty cache for a model; layers of kinds of their own, such as recurrent ones, are those of transformers."""
    cache = DynamicCache(config=config)
    cache.layers = [_growing(layer) for layer in cache.layers]
    return cache


def _growing(layer: Any) -> Any:
    if type(layer) is DynamicLayer:
        return GrowingLayer()  # type: ignore[no-untyped-call]
    if type(layer) is DynamicSlidingWindowLayer:
        return GrowingWindowLayer(layer.sliding_window)
    return layer


def keep_rows(cache: DynamicCache, rows: torch.Tensor, layers: slice = slice(None)) -> None:
    """Go on with these rows of the batch only, in this order; a row may come several times.

    Args:
        cache: of all layers.
        rows: their numbers in the batch.
        layers: that are changed.
    """
    for layer in cache.layers[layers]:
        # Of the methods that select rows this one is there for recurrent layers too.
        layer.reorder_cache(rows)  # type: ignore[arg-type]
