"""The cache of past tokens: the same logits as transformers' own, while it grows and rows leave."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from engines import generate
from torch import nn
from transformers import DynamicCache

from vispa.generation import cache
from vispa.generation.rows import Row, Sampling
from vispa.models.encoding import raw_prompt
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
        options = cache.kept_in(loaded.model, past)
        with torch.inference_mode():
            found = loaded.model(input_ids=ids, attention_mask=mask, position_ids=positions, **options)
        logits.append(found.logits[:, -1])
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


@pytest.mark.parametrize("kind", KINDS)
def test_users_see_no_warning_of_a_name_that_goes(kind: str, make_model: Callable[..., LoadedModel]) -> None:
    loaded = make_model(kind, **KINDS[kind])
    rows = [Row(raw_prompt(loaded, text)) for text in ("Is it fair?", "Is it?")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generate(loaded, rows, Sampling(3))


class _OldName(nn.Module):
    def forward(self, input_ids: Any, past_key_values: Any = None, **_: Any) -> None:
        """As in the first releases of the pinned range."""


class _NewName(nn.Module):
    def forward(self, input_ids: Any, cache: Any = None, **_: Any) -> None:
        """As in the later ones, which know the old name too and warn."""


@pytest.mark.parametrize(("kind", "name"), [(_OldName, "past_key_values"), (_NewName, "cache")])
def test_the_cache_goes_by_the_name_that_the_model_has(kind: type[nn.Module], name: str, llama: LoadedModel) -> None:
    past = cache.new_cache(llama.model.config)
    assert cache.kept_in(kind(), past) == {name: past, "use_cache": True}
