"""A real server on a free port of this machine, in a thread of the test's own process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from random_banks import random_bank_of

from vispa import Taxonomy, Vispa
from vispa.generation.running import RunningBatch
from vispa.models.loading import load_model
from vispa.request import EMBEDDED
from vispa.selection.embedding import EmbeddingSelector
from vispa.serving.address import listening
from vispa.serving.keys import Keys
from vispa.serving.server import DrainingServer, make_server
from vispa.serving.service import Service
from vispa.serving.settings import ServerSettings

TEXT = "Telling my grandmother a comforting lie"
KEY = "k" * 24


def embedded_pipeline() -> Vispa:
    """The embedded model with a bank that took no fit."""
    model, taxonomy = load_model(EMBEDDED), Taxonomy.built_in()
    return Vispa(model, random_bank_of(model, taxonomy), EmbeddingSelector(taxonomy), taxonomy=taxonomy)


class Held:
    """A selector that waits until it may go on.

    Attributes:
        free: set while it may.
    """

    def __init__(self, selector: Any) -> None:
        self._selector, self.free = selector, threading.Event()
        self.free.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)

    def scores(self, *given: Any) -> Any:
        assert self.free.wait(60)
        return self._selector.scores(*given)


@dataclass
class Served:
    """A server that runs.

    Attributes:
        service: what it serves.
        server: its process's part.
        port: where it listens.
        thread: where it runs.
    """

    service: Service
    server: DrainingServer
    port: int
    thread: threading.Thread

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, body: Any, **more: Any) -> httpx2.Response:
        return httpx2.post(self.url + path, json=body, timeout=120, **more)

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return httpx2.get(self.url + path, timeout=120, **more)

    def raw(self, request: bytes, seconds: float = 30) -> bytes:
        """What comes back for bytes as they are, until the server closes or says nothing for a while."""
        with closing(socket.create_connection(("127.0.0.1", self.port), seconds)) as place:
            place.sendall(request)
            found = b""
            while True:
                try:
                    part = place.recv(2**16)
                except TimeoutError:
                    return found
                if not part:
                    return found
                found += part

    def stop(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        self.thread.join(30)


def started(load: Callable[[], Vispa], *, ready: bool = True, **settings: Any) -> Served:
    """A server of a pipeline.

    Args:
        load: makes the pipeline.
        ready: wait until it is warm.
        **settings: of `ServerSettings`; `keys` in plain text.
    """
    keys = Keys.of(settings.pop("keys", ()), "test")
    made = ServerSettings(keys=keys, **settings)
    service = Service(made, load)
    place = listening("127.0.0.1", 0, made)
    # One whose model cannot be loaded may have closed it before it is asked.
    port = place.getsockname()[1]
    server = make_server(service)
    thread = threading.Thread(target=lambda: server.run(sockets=[place]), daemon=True)
    thread.start()
    served = Served(service, server, port, thread)
    wait_for(lambda: server.started and (not ready or service.state in ("ready", "failed")))
    assert not ready or service.state == "ready", service.fault
    return served


@contextmanager
def slowed(seconds: float) -> Iterator[None]:
    """Each pass of a running batch takes so much longer: what happens while a text is written is not a race.

    However little of the processor a test is given, an answer is not whole before the test has done its part.
    """
    step = RunningBatch.step

    def slow(batch: RunningBatch) -> None:
        time.sleep(seconds)
        step(batch)

    RunningBatch.step = slow  # type: ignore[method-assign]
    try:
        yield
    finally:
        RunningBatch.step = step  # type: ignore[method-assign]


def wait_for(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)
