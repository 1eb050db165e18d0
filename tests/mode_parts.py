"""What tests lend a mode: a reader, and the defaults for everything else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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
