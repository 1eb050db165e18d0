"""Small random models in folders, as vLLM loads them, and banks of random directions for them."""

from __future__ import annotations

from pathlib import Path

import torch
from random_banks import entries_of, info_of
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from vispa.models.loading import LoadedModel, load_model
from vispa.steering.bank import VectorBank
from vispa.steering.recipe import Recipe

# Heads of at least 32: vLLM's attention on processors has no smaller ones.
_SIZES = {
    "hidden_size": 128,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
}
VALUES = tuple(f"value_{number:02d}" for number in range(31))
BLOCKS = (1, 2, 3)
RESIDUAL = Recipe("mean", BLOCKS, magnitude="residual", amount=0.4, minimal_quality=0.0)
COEFFICIENT = Recipe("mean", BLOCKS, magnitude="coefficient", amount=15.0, minimal_quality=0.0)
CALIBRATED = Recipe("probe", BLOCKS, magnitude="calibrated", amount=0.9, minimal_quality=0.0)


def small_model(kind: str, tokenizer: PreTrainedTokenizerFast, folder: Path) -> LoadedModel:
    torch.manual_seed(0)
    settings = {**_SIZES, "vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    tied = kind.startswith("gemma")  # vLLM knows Gemma with tied embeddings only.
    config = AutoConfig.for_model(kind, **settings, initializer_range=0.2, tie_word_embeddings=tied)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if tied:
        # Otherwise what was read drowns what the blocks add, and is said again.
        model.get_input_embeddings().weight.data *= 0.05
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_model(str(folder), dtype="float32", device="cpu")


def random_bank(loaded: LoadedModel, recipe: Recipe = RESIDUAL) -> VectorBank:
    generator = torch.Generator().manual_seed(1)
    shape = (len(VALUES), len(loaded.blocks), loaded.hidden_size)
    vectors = torch.randn(shape, generator=generator)
    quality = torch.ones(shape[:2])
    bias, norm = torch.randn(shape[:2], generator=generator), torch.rand(shape[:2], generator=generator) + 0.5
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    entries = entries_of(unit * 3, unit, quality, bias, norm)
    return VectorBank(info_of(loaded, "b" * 64, VALUES), entries, residual_norms(loaded), recipe)


def residual_norms(loaded: LoadedModel) -> torch.Tensor:
    ids = torch.tensor([loaded.tokenizer.encode("the typical length of a residual stream")])
    states = loaded.model(input_ids=ids, output_hidden_states=True).hidden_states
    return torch.stack([state[0].norm(dim=-1).median() for state in states[1:]])
