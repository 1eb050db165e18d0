"""The engine of transformers as plain functions, which tests call with a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vispa.generation.letters import Masses
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.steering.recipe import Recipe


def generate(
    loaded: LoadedModel,
    rows: Sequence[Row],
    sampling: Sampling,
    bank: VectorBank | None = None,
    recipe: Recipe | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Generated]:
    return TransformersEngine(loaded, bank, recipe).generate(rows, sampling, progress)


def option_masses(loaded: LoadedModel, prompts: Sequence[str], counts: Sequence[int]) -> list[Masses]:
    """Of the unsteered model."""
    engine = TransformersEngine(loaded)
    return engine.options([Row(engine.raw_prompt(prompt)) for prompt in prompts], counts)
