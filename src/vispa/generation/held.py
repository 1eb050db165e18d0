"""Engines of models that were loaded here, and what shares one among requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self, TypeVar

from vispa.generation.calls import Call
from vispa.generation.engine import Engine
from vispa.generation.rows import Row, Sampling
from vispa.generation.scheduler import Load
from vispa.generation.tickets import OnRow, OnText, Ticket
from vispa.models.loading import LoadedModel
from vispa.steering.recipe import Recipe

T = TypeVar("T")


class HeldEngine(Engine, Protocol):
    """An engine of a model that was loaded here.

    Attributes:
        loaded: the model.
        recipe: of steers that name none; None for the bank's.
    """

    loaded: LoadedModel
    recipe: Recipe | None

    def with_recipe(self, recipe: Recipe | None) -> Self:
        """The same engine with another recipe of steers that name none."""
        ...


class Schedules(Protocol):
    """What shares an engine among requests; what each method does stands at `vispa.generation.scheduler.Scheduler`."""

    def submit(
        self,
        engine: Any,
        rows: Sequence[Row],
        sampling: Sampling,
        *,
        on_text: OnText | None = None,
        on_row: OnRow | None = None,
        begun: bool = False,
    ) -> Ticket:
        """Have rows written; returns at once."""
        ...

    def call(self, function: Callable[[], T], *, begun: bool = False) -> Future[T]:
        """Have something else done with the model."""
        ...

    def read(self, call: Call, *, begun: bool = False) -> Future[Any]:
        """Have prompts read, together with those of other calls where that is quicker."""
        ...

    def asking(self) -> AbstractContextManager[None]:
        """Somebody asks several times for one answer."""
        ...

    def load(self) -> Load:
        """How much there is to do now."""
        ...

    def close(self, drain_seconds: float = 0.0) -> None:
        """Take nothing more, and end."""
        ...
