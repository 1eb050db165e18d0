"""The doors of a pipeline for asynchronous code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Unpack

from vispa.generation.engines import make_scheduler
from vispa.generation.held import HeldEngine
from vispa.generation.scheduling import Schedules
from vispa.live.calls import Call
from vispa.live.events import Event
from vispa.live.sharing import Shared, shared_readers
from vispa.live.tasks import Watch, streamed
from vispa.live.watching import watched
from vispa.modes.fields import DistributionalFields, SamplingFields
from vispa.modes.overton.aggregator import Aggregator
from vispa.modes.stances import StanceReader
from vispa.once import once_property
from vispa.readers.base import ChatModel
from vispa.records import Response
from vispa.request import Mode, Request, Sampling
from vispa.selection.choosing import Chooser


class AsyncDoors:
    """What `vispa.Vispa` offers to asynchronous code; any number of tasks and threads may use it at once."""

    aggregator: Aggregator
    chooser: Chooser
    engine: HeldEngine
    own_reader: ChatModel
    reader: ChatModel

    @property
    def stances(self) -> StanceReader:
        """Reads where comments stand."""
        raise NotImplementedError

    @once_property
    def scheduler(self) -> Schedules:
        """Writes the rows of all calls in one running batch; begins with the first, and ends with the process."""
        return make_scheduler(self.engine)

    @once_property
    def shared_readers(self) -> tuple[Shared, ...]:
        """Other local models that read comments, for all calls; as `scheduler`."""
        return shared_readers(self)

    def respond_one(self, request: Request, **sampling: Unpack[SamplingFields]) -> Response:
        """The answer to one request."""
        raise NotImplementedError

    async def arespond(
        self, text: str, *, mode: Mode = "overton", toward: str | None = None, **fields: Unpack[DistributionalFields]
    ) -> Response:
        """As `respond`, for asynchronous code; a task that is cancelled stops its work.

        Args:
            text: a situation or question.
            mode: what becomes of the comments.
            toward: of steerable mode.
            **fields: all others of `respond`.

        Raises:
            InputError, VispaError: as `respond`.

        Example:
            >>> answer = await vispa.arespond("Lying to my boss", k=3)
        """
        return await Watch(self._work(text, mode, toward, fields)).result()

    def stream(
        self, text: str, *, mode: Mode = "overton", toward: str | None = None, **fields: Unpack[DistributionalFields]
    ) -> AsyncIterator[Event]:
        """The answer as it comes: the selected values, then the comments piece by piece, then the record.

        Who stops listening (`aclose`, a cancelled task) stops the work.

        Args:
            text: a situation or question.
            mode: what becomes of the comments.
            toward: of steerable mode.
            **fields: all others of `respond`.

        Raises:
            InputError, VispaError: as `respond`.

        Example:
            >>> async for event in vispa.stream("Lying to my boss", k=3):
            ...     print(event.model_dump())
        """
        return streamed(self._work(text, mode, toward, fields))

    def _work(
        self, text: str, mode: Mode, toward: str | None, fields: DistributionalFields
    ) -> Callable[[Call], Response]:
        given: dict[str, Any] = dict(fields)
        sampling = {name: given.pop(name) for name in Sampling.__dataclass_fields__ if name in given}
        request = Request(text, mode=mode, toward=toward, **given)

        def work(call: Call) -> Response:
            with watched(self, call, self.scheduler, self.shared_readers) as pipeline:
                return pipeline.respond_one(request, **sampling)

        return work
