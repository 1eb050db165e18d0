"""Comments of a model with adapters, steered or not, every row of a batch with its own value."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from benchmarks.fine_tuning.adapters import Adapters, adapted
from vispa.generation.rows import Row, Sampling
from vispa.generation.running import RunningBatch, Writing
from vispa.generation.transformers import TransformersEngine
from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.steering.intervention import ActiveSteering
from vispa.steering.plan import SteeringPlan
from vispa.steering.recipe import Recipe, Steer
from vispa.study.expression import Situation


@dataclass(frozen=True)
class AdaptedRow(Row):
    """A row that an adapter serves.

    Attributes:
        adapter: place of its value among the adapters; None for the model as it is.
        strength: factor on what the adapter adds.
    """

    adapter: int | None = None
    strength: float = 1.0


class AdaptedEngine(TransformersEngine):
    """The engine of a model with adapters.

    Args:
        loaded: the model.
        adapters: of its values; None where no row has one.
        bank: directions, for rows that are steered.
        recipe: of steers that name none.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        adapters: Adapters | None,
        bank: VectorBank | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        super().__init__(loaded, bank, recipe)
        self.adapters = adapters

    @contextmanager
    def adapting(self, rows: Sequence[Row]) -> Iterator[bool]:
        """Adapt a batch of rows while the context lasts; gives whether any of them is."""
        own = [row if isinstance(row, AdaptedRow) else None for row in rows]
        values = [None if row is None else row.adapter for row in own]
        if self.adapters is None or not any(value is not None for value in values):
            yield False
            return
        with adapted(self.loaded, self.adapters, values, [0.0 if row is None else row.strength for row in own]):
            yield True

    @contextmanager
    def steered(self, rows: Sequence[Row], plan: SteeringPlan) -> Iterator[ActiveSteering]:
        """See `TransformersEngine.steered`."""
        with super().steered(rows, plan) as active, self.adapting(rows) as apart:
            active.apart = apart
            yield active

    def begun(self, rows: Sequence[Writing], plan: SteeringPlan, *, gaps: bool = True) -> RunningBatch:
        """See `TransformersEngine.begun`."""
        return _AdaptedBatch(self, rows, plan, self._ends, gaps=gaps)


class _AdaptedBatch(RunningBatch):
    """A batch whose rows keep their adapters as some of them leave."""

    def __init__(
        self,
        engine: AdaptedEngine,
        rows: Sequence[Writing],
        plan: SteeringPlan,
        ends: Collection[int],
        *,
        gaps: bool,
    ) -> None:
        self._engine = engine
        super().__init__(engine.loaded, rows, partial(engine.steered, plan=plan), ends, gaps=gaps)

    def step(self) -> None:
        with self._engine.adapting([writing.row for writing in self.rows]):
            super().step()


@dataclass(frozen=True)
class Way:
    """How comments are made.

    Attributes:
        adapters: factor on the adapters; 0 leaves them out.
        vectors: factor on the shifts; 0 leaves them out.
        personas: whether the value is asked for in words.
    """

    adapters: float = 0.0
    vectors: float = 0.0
    personas: bool = False


def written(
    engine: AdaptedEngine, situations: Sequence[Situation], values: Sequence[str], way: Way, tokens: int
) -> list[str]:
    """Greedy comments for S situations and V values, situation by situation, in one batch.

    Args:
        engine: the model with what the way needs; its adapters are in the order of the values.
        situations: with their prompts.
        values: slugs.
        way: how.
        tokens: longest comment.
    """
    wanted = [
        AdaptedRow(
            situation.personas[value] if way.personas else situation.plain,
            (Steer(value, way.vectors),) if way.vectors else (),
            adapter=place if way.adapters else None,
            strength=way.adapters,
        )
        for situation in situations
        for place, value in enumerate(values)
    ]
    # What is asked and adapted the same is written once.
    numbers: dict[Row, int] = {}
    for row in wanted:
        numbers.setdefault(row, len(numbers))
    generated = engine.generate(list(numbers), Sampling(tokens))
    return [generated[numbers[row]].text for row in wanted]
