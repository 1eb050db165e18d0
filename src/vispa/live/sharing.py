"""Local models beside the pipeline's own, and what shares them among calls."""

from __future__ import annotations

from typing import Any, NamedTuple

from vispa.generation.engines import make_scheduler
from vispa.generation.held import HeldEngine
from vispa.generation.scheduling import Schedules
from vispa.modes.overton.written import WrittenAggregator
from vispa.readers.base import ChatModel
from vispa.readers.local import LocalChat


class Shared(NamedTuple):
    """A local model that calls share.

    Attributes:
        engine: of the model.
        scheduler: writes the rows of all calls.
    """

    engine: HeldEngine
    scheduler: Schedules


def shared_readers(pipeline: Any) -> tuple[Shared, ...]:
    """The local models other than its own with which a pipeline reads comments, each with a new scheduler.

    Args:
        pipeline: a `vispa.pipeline.Vispa`.
    """
    readers = [pipeline.reader]
    if isinstance(pipeline.aggregator, WrittenAggregator):
        readers.append(pipeline.aggregator.reader)
    found: list[Shared] = []
    for reader in readers:
        known = any(is_read_by(engine, reader) for engine in (pipeline.engine, *(one.engine for one in found)))
        if not known and isinstance(reader, LocalChat) and isinstance(reader.engine, HeldEngine):
            found.append(Shared(reader.engine, make_scheduler(reader.engine)))
    return tuple(found)


def is_read_by(engine: HeldEngine, reader: ChatModel) -> bool:
    """Whether a reader runs an engine's model in the same way, so that its rows may join the engine's."""
    own = reader.engine if isinstance(reader, LocalChat) else None
    return isinstance(own, HeldEngine) and own.loaded is engine.loaded and own.kind == engine.kind
