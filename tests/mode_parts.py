"""What tests lend a mode: a reader, and the defaults for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vispa.modes.base import Parts
from vispa.modes.overton.extractive import ExtractiveAggregator
from vispa.modes.picking import ReaderPicker
from vispa.modes.prompts import built_in_prompts
from vispa.readers.base import ChatModel
from vispa.taxonomy import Taxonomy


def parts(reader: ChatModel, **others: Any) -> Parts:
    prompts = built_in_prompts()
    picker, aggregator = ReaderPicker(reader, prompts), ExtractiveAggregator(Taxonomy.built_in())
    # No engine: where comments are read as passages, nothing is steered any more.
    return replace(Parts(reader, prompts, aggregator, picker, engine=None), **others)  # type: ignore[arg-type]


class Reader:
    """Prefers the last option, and writes a fixed text."""

    name, option_reading = "reader", "letters"

    def __init__(self, text: str = "Rest is earned.") -> None:
        self.text = text
        self.asked: list[str] = []

    def write(self, prompts: Sequence[str], *, max_new_tokens: int = 300, progress: object = None) -> list[str]:
        self.asked += prompts
        return [self.text] * len(prompts)

    def option_probabilities(
        self, prompts: Sequence[str], counts: Sequence[int], *, progress: object = None, least: object = None
    ):
        self.asked += prompts
        return [np.arange(1, count + 1) / np.arange(1, count + 1).sum() for count in counts]


class Encoder:
    name = "same"

    def encode(self, texts: Sequence[str], progress: object = None) -> np.ndarray:
        return np.ones((len(texts), 1), dtype=np.float32)
