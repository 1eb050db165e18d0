"""The cache of past tokens: the same logits as transformers' own, while it grows and rows leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from vispa.generation import cache
from vispa.models.loading import LoadedModel

KINDS: dict[str, dict[str, object]] = {
    "llama": {"num_key_value_heads": 2},
    "gpt2": {},
    "mistral": {"sliding_window": 4},
    "gemma3_text": {"sliding_window": 5, "head_dim": 8},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8, "sliding_window": 3},
    "olmo_hybrid": {},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("room", [1, 3, 64])
def test_logits_are_those_of_the_cache_that_copies(
    kind: str, room: int, make_model: Callable[..., LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "ROOM", room)
    loaded = make_model(kind, **KINDS[kind])
    config = loaded.model.config
    for ours, theirs in zip(
        run(loaded, cache.new_cache(config)), run(loaded, DynamicCache(config=config)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def run(loaded: LoadedModel, past: DynamicCache) -> list[torch.Tensor]:
    """Logits of 12 steps; the first row of three leaves after two of them, and one comes twice from the fifth on."""
    random = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 60, (3, 7), generator=random)
    mask = torch.ones_like(ids)
    mask[1, :3] = 0
    logits: list[torch.Tensor] = []
    for step in range(12):
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, -ids.shape[1] :]
        options: dict[str, Any] = {"attention_mask": mask, "position_ids": positions, "past_key_values": past}
        with torch.inference_mode():
            logits.append(loaded.model(input_ids=ids, use_cache=True, **options).logits[:, -1])
        ids = torch.randint(3, 60, (len(mask), 1), generator=random)
        if step in (2, 5):
            keep = torch.tensor([1, 2] if step == 2 else [1, 0, 1])
            cache.keep_rows(past, keep)
            ids, mask = ids[keep], mask[keep]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
    return logits


def test_a_layer_is_copied_once_in_its_room(make_model: Callable[..., LoadedModel]) -> None:
    past = cache.new_cache(make_model("llama").model.config)
    layer: Any = past.layers[0]
    stores = []
    for _ in range(cache.ROOM + 2):
        keys, _ = layer.update(torch.ones(2, 2, 1, 8), torch.ones(2, 2, 1, 8))
        stores.append(keys.data_ptr())
    assert keys.shape == (2, 2, cache.ROOM + 2, 8)
    assert len(set(stores)) == 2
