"""A pipeline that tells a call what it does, and stops with it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, TypeVar

from vispa.generation.held import HeldEngine
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.scheduled import ScheduledEngine
from vispa.generation.scheduling import Schedules
from vispa.generation.tickets import Ticket
from vispa.live.calls import Call, StoppedError
from vispa.live.events import Said, Selected, Unsteered
from vispa.live.sharing import Shared, is_read_by
from vispa.models.encoder import FloatArray
from vispa.modes.overton.written import WrittenAggregator
from vispa.modes.stances import AskedStances
from vispa.readers.base import ChatModel
from vispa.readers.local import LocalChat
from vispa.records import Selection
from vispa.request import Request
from vispa.selection.choosing import Chooser

T = TypeVar("T")
PipelineT = TypeVar("PipelineT", bound="Parts")


class Parts(Protocol):
    """What is watched of a pipeline."""

    aggregator: Any
    chooser: Any
    engine: Any
    own_reader: Any
    reader: Any

    @property
    def stances(self) -> Any:
        """See `vispa.pipeline.Vispa`."""
        ...


@contextmanager
def watched(
    pipeline: PipelineT, call: Call, scheduler: Schedules, readers: Sequence[Shared] = ()
) -> Iterator[PipelineT]:
    """The same pipeline, which tells a call what it does, and stops with it; it shares everything else.

    Args:
        pipeline: whose recipe and selector count.
        call: is told.
        scheduler: of the pipeline's model; closing it waits until the context ends.
        readers: other models that read comments; one that is not among them reads by itself, to its end.

    Raises:
        ClosedError: a scheduler is closed.
    """
    other = copy.copy(pipeline)
    other.chooser = _WatchedChooser(pipeline.chooser, call)
    with ExitStack() as asking:
        other.engine = asking.enter_context(_WatchedEngine(scheduler, pipeline.engine, call))
        engines = [
            (one.engine, asking.enter_context(_WatchedEngine(one.scheduler, one.engine, call, tells=False)))
            for one in (Shared(pipeline.engine, scheduler), *readers)
        ]

        def joined(reader: ChatModel) -> ChatModel:
            # Else every request would read comments by itself, and all others' next token would wait for it.
            found = (LocalChat(mine, reader.option_reading) for engine, mine in engines if is_read_by(engine, reader))
            return next(found, reader)

        other.own_reader = joined(pipeline.own_reader)
        # The stances ask whether they are one and the same.
        is_own = pipeline.reader is pipeline.own_reader
        other.reader = other.own_reader if is_own else joined(pipeline.reader)
        if isinstance(pipeline.aggregator, WrittenAggregator):
            other.aggregator = pipeline.aggregator.with_reader(joined(pipeline.aggregator.reader))
        vars(other).pop("picker", None)
        if isinstance(pipeline.stances, AskedStances):
            # Other readers of stances are made once, for all requests.
            vars(other).pop("stances", None)
        yield other


class _WatchedEngine(ScheduledEngine):
    """A scheduled engine that tells a call what its rows write, and stops with it.

    Args:
        scheduler: of the engine's model.
        engine: whose bank and recipe count.
        call: is told.
        tells: what its rows write is part of what the call is asked for, and not read on the way there.
    """

    def __init__(self, scheduler: Schedules, engine: HeldEngine, call: Call, *, tells: bool = True) -> None:
        super().__init__(scheduler, engine, on_text=self._told if tells else None)
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
