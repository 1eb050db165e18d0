"""Keys and values of past tokens, kept where new ones can be written beside them.

A `DynamicCache` of transformers copies all it holds at every token. Here each layer has room for
tokens to come, and is copied once in `ROOM` tokens. All rows end at the same place, so that rows
can join others that are further on: what is shorter has padding before it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache as remembered
from typing import Any

import torch
from torch import nn
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
            rows, held = beam_idx.to(self._stores[0].device), self.keys.shape[-2]
            # On a CPU `store[rows]` takes six times as long.
            self._stores = (self._stores[0].index_select(0, rows), self._stores[1].index_select(0, rows))
            self._show(len(rows), held)

    def fill_holes(self, holes: torch.Tensor, movers: torch.Tensor, count: int) -> None:
        """See `fill_holes`."""
        if self._stores is not None and self.keys is not None:
            held = slice(self._end - self.keys.shape[-2], self._end)
            for store in self._stores if len(holes) else ():
                part = store[:, :, held]
                part.index_copy_(0, holes.to(store.device), part.index_select(0, movers.to(store.device)))
            self._show(count, self.keys.shape[-2])

    def join(self, other: GrowingLayer) -> None:
        """See `join_rows`."""
        if self._stores is None or self.keys is None or other.keys is None or other.values is None:
            return
        (count, held), (added, new) = ((layer.shape[0], layer.shape[-2]) for layer in (self.keys, other.keys))
        width, total = max(held, new), count + added
        if total > len(self._stores[0]) or width > self._end:
            # With room for some rows more: those that come one by one are not a copy of all each time.
            self._move(total + total // 4, width - held)
        for store, part in zip(self._stores, (other.keys, other.values), strict=True):
            # What lay there may be anything; times a weight of zero it must be zero.
            store[:count, :, self._end - width : self._end - held] = 0
            store[count:total, :, self._end - width : self._end - new] = 0
            store[count:total, :, self._end - new : self._end] = part
        self._show(total, width)

    def trim(self, places: int) -> None:
        """See `trim_rows`."""
        if self.keys is not None:
            self._show(len(self.keys), self.keys.shape[-2] - places)

    def _show(self, count: int, held: int) -> None:
        assert self._stores is not None
        self.keys, self.values = (store[:count, :, self._end - held : self._end] for store in self._stores)

    def _move(self, rows: int, before: int) -> None:
        """To stores of so many rows, with places before what is held and room after it."""
        assert self._stores is not None and self.keys is not None and self.values is not None
        count, heads, held, _ = self.keys.shape
        old, self._end = (self.keys, self.values), before + held
        keys, values = (part.new_empty(rows, heads, self._end + ROOM, part.shape[3]) for part in old)
        self._stores = (keys, values)
        for store, part in zip(self._stores, old, strict=True):
            store[:count, :, before : self._end] = part

    def _appended(self, *new: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(*new)  # type: ignore[no-untyped-call]
        old = [] if self.keys is None or self.values is None or self._stores is None else [self.keys, self.values]
        held, (rows, _, count, _) = old[0].shape[-2] if old else 0, new[0].shape
        if self._stores is None or self._end + count > self._stores[0].shape[-2]:
            keys, values = (part.new_empty(*part.shape[:2], held + count + ROOM, part.shape[3]) for part in new)
            self._stores, self._end = (keys, values), held
            for store, part in zip(self._stores, old, strict=False):
                store[:, :, :held] = part
        for store, part in zip(self._stores, new, strict=True):
            store[:rows, :, self._end : self._end + count] = part
        self._end += count
        keys, values = (store[:rows, :, self._end - held - count : self._end] for store in self._stores)
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

    def join(self, other: GrowingLayer) -> None:
        """See `join_rows`."""
        super().join(other)
        if isinstance(other, GrowingWindowLayer):
            self.cumulative_length = max(self.cumulative_length, other.cumulative_length)

    def trim(self, places: int) -> None:
        """See `trim_rows`."""
        self.cumulative_length -= places
        if self.keys is not None:
            super().trim(max(0, self.keys.shape[-2] - self.cumulative_length))


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


def kept_in(model: nn.Module, cache: DynamicCache) -> dict[str, Any]:
    """What a model's forward pass is given so that it reads and writes a cache.

    Args:
        model: of transformers, whose releases do not all have one name for the argument.
        cache: of the model.
    """
    return {_argument(type(model).forward): cache, "use_cache": True}


@remembered
def _argument(forward: Callable[..., Any]) -> str:
    return "cache" if "cache" in inspect.signature(forward).parameters else "past_key_values"


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


def takes_more_rows(cache: DynamicCache) -> bool:
    """Whether rows can join those of a cache: all its layers keep keys and values, and nothing else."""
    return all(isinstance(layer, GrowingLayer) for layer in cache.layers)


def has_windows(cache: DynamicCache) -> bool:
    """Whether any layer attends to the last places only, padding included."""
    return any(isinstance(layer, GrowingWindowLayer) for layer in cache.layers)


def join_rows(cache: DynamicCache, other: DynamicCache) -> None:
    """Put the rows of another cache of the same model after those of this one; both must take more rows.

    The shorter ones get places before them, which the attention mask has to hide.

    Args:
        cache: takes them in; in inference mode.
        other: is not used afterwards.
    """
    layers: list[Any] = cache.layers
    for layer, added in zip(layers, other.layers, strict=True):
        layer.join(added)


def trim_rows(cache: DynamicCache, places: int) -> None:
    """Forget the first places of a cache that takes more rows, at which no row has a token any more."""
    layers: list[Any] = cache.layers
    for layer in layers:
        layer.trim(places)


def fill_holes(cache: DynamicCache, order: list[int]) -> None:
    """Go on with so many rows as `order` has; place i holds what was the row `order[i]`, most of them where they were.

    Args:
        cache: of all layers; in inference mode.
        order: rows that stay where they are, or come from beyond its end.
    """
    holes = torch.tensor([place for place, row in enumerate(order) if row != place], dtype=torch.long)
    rows = torch.tensor(order)
    layers: list[Any] = cache.layers
    for layer in layers:
        if isinstance(layer, GrowingLayer):
            layer.fill_holes(holes, rows[holes], len(order))
        else:
            layer.reorder_cache(rows)
