"""What the steering benchmarks run on: a model, prompts, banks and sizes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from vispa.models.blocks import decoder_blocks
from vispa.models.encoding import Prompt, chat_prompt, raw_prompt
from vispa.models.loading import EMBEDDED_PATH, LoadedModel, load_model
from vispa.modes.prompts import built_in_prompts
from vispa.steering.activations import read_activations
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import BankInfo, Entry
from vispa.steering.estimators.base import Directions
from vispa.steering.estimators.probe import Probe
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy
from vispa.versions import versions

SITUATIONS = Path(__file__).parents[1] / "data" / "unseen_situations.csv"

ModelName = Literal["embedded", "random", "smollm2"]


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        values: steered toward in one batch, each for every prompt.
        prompts: number of prompts.
        new_tokens: generated for each row.
        fitted_values: whose directions are fitted.
        pairs: contrastive pairs of each value.
        rows: of the batch with many distinct vectors, and of the memory measurement.
        rows_new_tokens: generated for each row of that batch.
        vectors: numbers of distinct vectors in it.
        random_blocks: depth of the random model.
        random_width: width of the random model.
    """

    values: int = 6
    prompts: int = 16
    new_tokens: int = 48
    fitted_values: int = 31
    pairs: int = 100
    rows: int = 256
    rows_new_tokens: int = 24
    vectors: tuple[int, ...] = (0, 1, 8, 31, 256)
    random_blocks: int = 8
    random_width: int = 512

    @classmethod
    def small(cls) -> Sizes:
        """Enough to see that everything runs and agrees; times mean nothing."""
        return cls(2, 2, 4, 2, 6, 8, 3, (0, 1, 2, 8), 4, 64)


# Texts that tell how long the residual stream is.
_READ_FOR_LENGTHS = 16


@dataclass(frozen=True)
class Setting:
    """A model without an end-of-sequence token, so that every side generates every token.

    Attributes:
        kind: which model.
        loaded: the model.
        sizes: how much is measured.
    """

    kind: ModelName
    loaded: LoadedModel
    sizes: Sizes

    @classmethod
    def load(cls, kind: ModelName, sizes: Sizes, device: str = "cpu", dtype: str = "float32") -> Setting:
        """Load a model of that name, or make a random Llama with the embedded one's tokenizer.

        Raises:
            ModelError: the model is not in the cache and cannot be fetched.
        """
        if kind == "random":
            loaded = _random_llama(sizes, torch.device(device), getattr(torch, dtype))
        else:
            loaded = load_model(kind, device=device, dtype=dtype)
        loaded.tokenizer.eos_token = None
        if loaded.model.generation_config is not None:
            loaded.model.generation_config.eos_token_id = None
        return cls(kind, loaded, sizes)

    @property
    def is_exact(self) -> bool:
        """Whether numbers are fine enough for both sides to choose the same tokens."""
        return self.loaded.model.dtype == torch.float32

    def prompts(self, count: int) -> list[Prompt]:
        """Requests for comments on situations of all domains, from the start again when they run out."""
        wording = built_in_prompts(self.loaded.name).comment
        return [chat_prompt(self.loaded, wording.format(text=text)) for text in self._situations(count)]

    def bare_prompts(self, count: int, most: int = 1) -> list[Prompt]:
        """The situations alone: prompts without a common beginning, of which each side reads every token.

        Args:
            count: of prompts.
            most: situations in a prompt; one, two and so on up to as many, in turn.
        """
        told = self._situations(count)
        texts = [" ".join(told[(number + i) % count] for i in range(number % most + 1)) for number in range(count)]
        return [raw_prompt(self.loaded, f"{number} {text}") for number, text in enumerate(texts)]

    def _situations(self, count: int) -> list[str]:
        with SITUATIONS.open(encoding="utf-8", newline="") as file:
            situations = [row["situation"] for row in csv.DictReader(file)]
        step = max(1, len(situations) // count)
        return [situations[(number * step) % len(situations)] for number in range(count)]

    def steered_blocks(self) -> tuple[int, ...]:
        """The published range."""
        return Recipe().chosen_blocks(len(self.loaded.blocks))

    def probe_bank(self) -> VectorBank:
        """A bank with the probes of the first values, fitted on the built-in pairs."""
        taxonomy = Taxonomy.built_in()
        slugs = tuple(taxonomy)[: self.sizes.values]
        states = read_activations(self.loaded, sentences(taxonomy, slugs, self.sizes.pairs))["last"]
        shaped = states.reshape(len(slugs), 2, self.sizes.pairs, *states.shape[1:])
        return self._bank(slugs, Probe().fit(shaped[:, 0], shaped[:, 1]), states.norm(dim=-1).median(0).values)

    def synthetic_bank(self, count: int) -> VectorBank:
        """A bank of random unit vectors that pass for probes."""
        shape = (count, len(self.loaded.blocks), self.loaded.hidden_size)
        vectors = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        ones, zeros = torch.ones(shape[:2]), torch.zeros(shape[:2])
        directions = Directions(vectors / vectors.norm(dim=-1, keepdim=True), ones, ones, zeros, ones)
        # Real lengths: a test of steering measures against them, and a model may drown made-up ones.
        states = read_activations(self.loaded, self._situations(_READ_FOR_LENGTHS))["last"]
        norms = states.norm(dim=-1).median(0).values
        return self._bank(tuple(f"value{number}" for number in range(count)), directions, norms)

    def _bank(self, slugs: tuple[str, ...], directions: Directions, norms: torch.Tensor) -> VectorBank:
        info = BankInfo(self.loaded.name, self.loaded.fingerprint, "benchmark", slugs, versions())
        # The published recipe, at every block of its range.
        return VectorBank(info, {"probe": Entry(directions, "last", "pairs")}, norms, Recipe(minimal_quality=0.0))


def sentences(taxonomy: Taxonomy, slugs: tuple[str, ...], pairs: int) -> list[str]:
    """Of each value the first expressing sentences, then the opposing ones."""
    sides = [side for slug in slugs for side in taxonomy.sentences(slug)]
    return [sentence for side in sides for sentence in side[:pairs]]


def _random_llama(sizes: Sizes, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_PATH, local_files_only=True)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.random_width,
        intermediate_size=sizes.random_width * 8 // 3 // 64 * 64,
        num_hidden_layers=sizes.random_blocks,
        num_attention_heads=max(1, sizes.random_width // 64),
        max_position_embeddings=1024,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    model = LlamaForCausalLM(config)
    model.to(device, dtype)  # type: ignore[arg-type]
    model.eval().requires_grad_(False)  # type: ignore[no-untyped-call]
    return LoadedModel("random", model, tokenizer, decoder_blocks(model))
