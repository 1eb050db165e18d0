"""The life of a server: it starts, is ready, drains; and what it has going."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from statistics import median
from threading import Thread
from typing import Literal, TypeVar

from vispa.errors import ReaderSetupError, VispaError
from vispa.generation.engines import make_scheduler
from vispa.generation.scheduling import Load, Schedules
from vispa.live.calls import Call
from vispa.live.sharing import Shared, shared_readers
from vispa.live.tasks import Watch
from vispa.live.watching import watched
from vispa.models.encoder import TransformerEncoder
from vispa.modes.overton.extractive import ExtractiveAggregator
from vispa.modes.overton.written import WrittenAggregator
from vispa.once import once_property
from vispa.pipeline import Vispa
from vispa.readers.base import Failure
from vispa.readers.local import LocalChat
from vispa.records import Response
from vispa.request import Request
from vispa.serving.asking import Job
from vispa.serving.faults import Refusal, failure_refusal
from vispa.serving.memory import Memory
from vispa.serving.metrics import Metrics
from vispa.serving.settings import MAX_RETRY_SECONDS, RETRY_SECONDS, ServerSettings
from vispa.serving.value_use import UseMonitor
from vispa.steering.pointing import TokenReader

_logger = logging.getLogger(__name__)

T = TypeVar("T")

#: How a server is: its model is loading, it answers, it ends what it began, or its model cannot be loaded.
State = Literal["starting", "ready", "draining", "failed"]

_WARM_UP = "Telling a friend a comforting lie"
# Seconds after which what was stopped is held up by something that does not hear of it.
_STOPPING = 2.0
# Requests whose seconds say how long one takes.
_LAST = 64


class Service:
    """What a server holds.

    Args:
        settings: of the server.
        load: makes the pipeline; takes seconds or minutes.
        polarity: by which the pipeline steers.

    Attributes:
        state: see `State`; set from several threads, read at every request.
        fault: why the model could not be loaded.
        metrics: figures.
        memory: what requests have let go of.
        readers: local models beside the served one that read comments.
    """

    def __init__(self, settings: ServerSettings, load: Callable[[], Vispa], polarity: str = "own") -> None:
        self.settings, self.polarity, self._load = settings, polarity, load
        self.state: State = "starting"
        self.fault: BaseException | None = None
        self.memory = Memory()
        self.metrics = Metrics(UseMonitor(settings.drift_window, settings.drift_reference))
        self.started = int(time.time())
        self._pipeline: Vispa | None = None
        self._scheduler: Schedules | None = None
        self.readers: tuple[Shared, ...] = ()
        self._watches: set[Watch[object]] = set()
        self._given_up: list[Watch[object]] = []
        self._lasted: deque[float] = deque(maxlen=_LAST)
        self._pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="vispa-serve")
        self._drain_until = float("inf")

    # ---------------------------------------------------------------- life

    def start(self) -> None:
        """Load the model in a thread; requests are refused until it is warm."""
        Thread(target=self._warm, name="vispa-load", daemon=True).start()

    def _warm(self) -> None:
        try:
            pipeline = self._load()
            scheduler, readers = make_scheduler(pipeline.engine), shared_readers(pipeline)
            # What is made on first use is made now, and not by several requests at once.
            _ = pipeline.stances, pipeline.picker, pipeline.chooser.encoder
            with watched(pipeline, Call(), scheduler) as first:
                first.aggregator = ExtractiveAggregator(first.taxonomy, pipeline.chooser.encoder.encode)
                first.respond(_WARM_UP, k=1, max_new_tokens=8)
            for encoder in (pipeline.chooser.encoder, getattr(pipeline.selector, "encoder", None)):
                if isinstance(encoder, TransformerEncoder):
                    encoder.remember()
        except BaseException as error:
            self.fault, self.state = error, "failed"
            return
        self._pipeline, self._scheduler, self.readers = pipeline, scheduler, readers
        is_local = _writes_here(pipeline)
        if is_local:
            # It takes the time of the first requests otherwise.
            self._try_reader(pipeline, scheduler)
        if self.state == "starting":
            self.state = "ready"
            _logger.info("ready: %s", pipeline.model.name)
            if not is_local and not isinstance(pipeline.aggregator, ExtractiveAggregator):
                self._try_reader(pipeline, scheduler)

    def _try_reader(self, pipeline: Vispa, scheduler: Schedules) -> None:
        """Say once whether who writes the responses answers; the server does not wait for an API that is down.

        One that refuses how it is asked would do so for ever: then the server ends.
        """
        try:
            with watched(pipeline, Call(), scheduler, self.readers) as first:
                (answer,) = first.respond_many([Request(_WARM_UP, k=1)], max_new_tokens=8)
        except BaseException as error:
            if self.state not in ("starting", "ready"):
                # It ends, with the requests that run; what this thread tries was stopped.
                return
            if isinstance(error, ReaderSetupError) or not isinstance(error, VispaError):
                self.fault, self.state = error, "failed"
            else:
                _logger.warning("the model that reads comments could not be tried: %s", error)
        else:
            if isinstance(answer, Failure):
                words = "the model that reads comments gives no answer; requests that need it are refused until it does"
                _logger.warning("%s: %s", words, answer.reason)

    def drain(self) -> None:
        """Take no more requests; those that run have the time of the settings."""
        if self.state in ("starting", "ready"):
            self.state, self._drain_until = "draining", time.monotonic() + self.settings.drain_seconds
            _logger.info("draining %d requests", self.running)

    @property
    def is_drained(self) -> bool:
        """Whether nothing runs any more; what still does is stopped when its time is up, and given up soon after."""
        if self.state != "draining":
            return self.state == "failed"
        late = time.monotonic() - self._drain_until
        if late >= _STOPPING:
            self._given_up += self._watches
            for watch in self._given_up:
                watch.give_up()
            self._watches.clear()
        elif late >= 0:
            for watch in list(self._watches):
                watch.stop()
        return not self._watches

    @property
    def held_up(self) -> int:
        """Number of requests that were given up, and whose threads still work."""
        return sum(watch.is_working for watch in self._given_up)

    def close(self) -> None:
        """Let go of threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for scheduler in self._schedulers:
            scheduler.close()

    # ---------------------------------------------------------------- work

    @property
    def running(self) -> int:
        """Number of requests that are being answered."""
        return len(self._watches)

    @property
    def pipeline(self) -> Vispa:
        """The pipeline.

        Raises:
            Refusal: it is not ready.
        """
        if self.state != "ready" or self._pipeline is None:
            words = "is ending; it takes no more requests" if self.state == "draining" else "is loading its model"
            raise Refusal(503, f"The server {words}. Try again in a while.", code=self.state)
        return self._pipeline

    @property
    def scheduler(self) -> Schedules:
        """Writes the rows of all requests; there once the server is ready."""
        assert self._scheduler is not None
        return self._scheduler

    @property
    def _schedulers(self) -> list[Schedules]:
        """Of the served model, once it is there, and of those that read its comments."""
        return [] if self._scheduler is None else [self._scheduler, *(one.scheduler for one in self.readers)]

    @once_property
    def token_reader(self) -> TokenReader:
        """Reads texts along the directions by which the server steers, whatever recipe a request brings."""
        pipeline = self.pipeline
        return TokenReader(pipeline.model, pipeline.bank, pipeline.recipe, pipeline.taxonomy)

    def figures(self) -> bytes:
        """The page of figures."""
        loads = [astuple(scheduler.load()) for scheduler in self._schedulers]
        return self.metrics.page(self.running, Load(*map(sum, zip(*loads, strict=True))) if loads else None)

    def begin(self, work: Callable[[Call], T]) -> Watch[T]:
        """Begin work in a thread; what it took is counted, however it ends.

        Raises:
            Refusal: as much is going on as the settings allow.
        """
        if self.running >= self.settings.concurrency:
            many = "1 request is" if self.running == 1 else f"{self.running} requests are"
            words = f"{many} being answered. Try again in a while."
            raise Refusal(429, words, retry_seconds=self.retry_seconds)
        started = time.monotonic()

        def counted(call: Call) -> T:
            try:
                return work(call)
            finally:
                self.metrics.call(call)

        def ended(_: object) -> None:
            self._watches.discard(watch)
            # What wrote nothing says nothing of how long answers take.
            if watch.call.rows:
                self._lasted.append(time.monotonic() - started)

        watch = Watch(counted, self._pool)
        self._watches.add(watch)  # type: ignore[arg-type]
        watch.future.add_done_callback(ended)
        return watch

    @property
    def retry_seconds(self) -> int:
        """When to come again: if what runs now takes as long as the last requests did, most of it has ended by then."""
        typical = median(self._lasted) if self._lasted else 0.0
        return round(min(max(typical, RETRY_SECONDS), MAX_RETRY_SECONDS))

    async def quick(self, work: Callable[[], T]) -> T:
        """What short work gives, done in a thread so that no other request waits for it."""
        return await asyncio.get_running_loop().run_in_executor(None, work)

    def answer(self, job: Job, call: Call) -> Response:
        """The answer to a job of one request."""
        with watched(job.pipeline, call, self.scheduler, self.readers) as pipeline:
            pipeline.chooser.check(job.requests[0], weighs=pipeline.mixture.by_score)
            (answer,) = pipeline.respond_many(job.requests[:1], **vars(job.sampling))
        if isinstance(answer, Failure):
            raise failure_refusal(answer)
        return answer


def _writes_here(pipeline: Vispa) -> bool:
    """Whether a model of this process writes the responses."""
    aggregator = pipeline.aggregator
    return isinstance(aggregator, WrittenAggregator) and isinstance(aggregator.reader, LocalChat)
