"""The same model and bank in both engines."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from small import VALUES, random_bank, small_model
from transformers import PreTrainedTokenizerFast

from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.generation.vllm.engine import VllmEngine
from vispa.steering.recipe import Recipe, Steer

TOKENS = Sampling(12)
#: Most tokens of a pass in engines that cut prompts into chunks.
CHUNK = 96


@dataclass
class Pair:
    """The same model and bank in both engines."""

    vllm: VllmEngine
    transformers: TransformersEngine

    def rows_of(self, steers: Sequence[tuple[Steer, ...]], text: str = "What about number {}?") -> list[Row]:
        return [Row(self.vllm.raw_prompt(text.format(place)), own) for place, own in enumerate(steers)]

    def agree(self, rows: Sequence[Row], sampling: Sampling = TOKENS) -> list[Generated]:
        ours, theirs = self.vllm.generate(rows, sampling), self.transformers.generate(rows, sampling)
        assert [one.ids for one in ours] == [one.ids for one in theirs]
        assert [one.text for one in ours] == [one.text for one in theirs]
        norms = self.transformers.bank.residual_norm
        for one, other in zip(ours, theirs, strict=True):
            assert one.left_out == other.left_out and one.limited == other.limited
            assert list(one.shift) == list(other.shift)
            for block, amount in one.shift.items():
                assert abs(amount - other.shift[block]) <= 1e-4 * norms[block]
        return ours


def made_pair(kind: str, tokenizer: PreTrainedTokenizerFast, folder: Path, **arguments: object) -> Pair:
    """Both engines on a random model; the arguments are those of vLLM's engine."""
    loaded = small_model(kind, tokenizer, folder)
    bank = random_bank(loaded)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISPA_VLLM", json.dumps(json.loads(os.environ["VISPA_VLLM"]) | arguments))
        return Pair(VllmEngine(loaded, bank), TransformersEngine(loaded, bank))


def mixed(recipe: Recipe) -> list[tuple[Steer, ...]]:
    """All values, and every fourth row without."""
    return [() if place % 4 == 3 else (Steer(value, recipe=recipe),) for place, value in enumerate(VALUES)]
