"""A pipeline that tells a call what it does, and stops with it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from vispa.generation.held import HeldEngine
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.scheduled import ScheduledEngine
from vispa.generation.scheduling import Schedules
from vispa.generation.tickets import Ticket
from vispa.live.calls import Call, StoppedError
from vispa.live.events import Said, Selected, Unsteered
from vispa.models.encoder import FloatArray
from vispa.modes.stances import AskedStances
from vispa.readers.local import LocalChat
from vispa.records import Selection
from vispa.request import Request
from vispa.selection.choosing import Chooser

T = TypeVar("T")
PipelineT = TypeVar("PipelineT", bound="Parts")


class Parts(Protocol):
    """What is watched of a pipeline."""

    chooser: Any
    engine: Any
    own_reader: Any
    reader: Any

    @property
    def stances(self) -> Any:
        """See `vispa.pipeline.Vispa`."""
        ...


@contextmanager
def watched(pipeline: PipelineT, call: Call, scheduler: Schedules) -> Iterator[PipelineT]:
    """The same pipeline, which tells a call what it does, and stops with it; it shares everything else.

    Args:
        pipeline: whose recipe and selector count.
        call: is told.
        scheduler: of the pipeline's model; closing it waits until the context ends.

    Raises:
        ClosedError: the scheduler is closed.
    """
    other = copy.copy(pipeline)
    other.chooser = _WatchedChooser(pipeline.chooser, call)
    with _WatchedEngine(scheduler, pipeline.engine, call) as engine:
        other.engine = engine
        if isinstance(pipeline.own_reader, LocalChat):
            # Else every request would read comments by itself, and all others' next token would wait for it.
            other.own_reader = LocalChat(engine, pipeline.own_reader.option_reading)
            other.reader = other.own_reader if pipeline.reader is pipeline.own_reader else pipeline.reader
            vars(other).pop("picker", None)
            if isinstance(pipeline.stances, AskedStances):
                # Other readers of stances are made once, for all requests.
                vars(other).pop("stances", None)
        yield other


class _WatchedEngine(ScheduledEngine):
    """A scheduled engine that tells a call what its rows write, and stops with it."""

    def __init__(self, scheduler: Schedules, engine: HeldEngine, call: Call) -> None:
        super().__init__(scheduler, engine, on_text=self._told)
        self.recipe = engine.recipe
        self._call = call
        self._rows: Sequence[Row] = ()
        call.on_stop(self.cancel)

    def generate(
        self, rows: Sequence[Row], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> list[Generated]:
        self._call.check()
        self._rows = rows
        return super().generate(rows, sampling, progress)

    def _told(self, number: int, text: str) -> None:
        steers = self._rows[number].steers
        self._call.tell(Said(value=steers[0].value, text=text) if steers else Unsteered(text=text))

    def _result(self, future: Future[T]) -> T:
        try:
            return super()._result(future)
        except CancelledError as error:
            raise StoppedError from error
        finally:
            if isinstance(future, Ticket):
                self._count(future)

    def _count(self, ticket: Ticket) -> None:
        """Count what was written, whether it came to its end or not: it cost the same."""
        read = [writing for writing in ticket.rows if writing.ids or writing.error is not None]
        self._call.rows += len(read)
        self._call.prompt_tokens += sum(len(writing.row.prompt.ids) for writing in read)
        self._call.generated_tokens += sum(len(writing.ids) for writing in read)


class _WatchedChooser(Chooser):
    """A chooser that tells what it has chosen; it shares what the other has loaded."""

    def __init__(self, chooser: Chooser, call: Call) -> None:
        vars(self).update(vars(chooser))
        self._chooser, self._call = chooser, call

    @property
    def _similarity(self) -> FloatArray:
        # Made once for all calls.
        return self._chooser._similarity

    def select(self, requests: Sequence[Request], *, weighs: bool = False) -> list[tuple[Selection, ...]]:
        self._call.check()
        found = super().select(requests, weighs=weighs)
        for request, values in zip(requests, found, strict=True):
            self._call.choose(request, [one.value for one in values])
            self._call.tell(Selected(values=values))
        return found
