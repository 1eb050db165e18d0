"""The server's process: how it serves, what ends it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import uvicorn

from vispa.serving.app import make_app
from vispa.serving.service import Service

_logger = logging.getLogger(__name__)

#: Seconds that connections are given to close once all requests have ended.
_CLOSING = 5
# What a shell says of a process that a signal has ended, less the signal's number.
_BY_SIGNAL = 128


def serve(service: Service, place: socket.socket) -> None:
    """Serve until a signal comes, then let running requests end.

    Args:
        service: what is served.
        place: listens.

    Raises:
        BaseException: why the model could not be loaded.
        KeyboardInterrupt: it was interrupted, and has drained.
    """
    server = make_server(service)
    server.run(sockets=[place])
    if service.fault is not None:
        raise service.fault
    if service.held_up:
        # Python would wait for their threads, for as long as another server likes that one of them waits for.
        _logger.warning("ending, though requests have not stopped: %d", service.held_up)
        _leave(_BY_SIGNAL + signal.SIGINT if server.is_interrupted else 0)
    if server.is_interrupted:
        raise KeyboardInterrupt


class DrainingServer(uvicorn.Server):
    """A server that first drains when it is told to end; told twice, its process ends.

    Args:
        config: of uvicorn.
        service: drains.

    Attributes:
        is_interrupted: whether Ctrl-C ended it.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service, self.is_interrupted = service, False
        self._is_told = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called with a signal, wherever the main thread is then."""
        if self._is_told:
            _leave(_BY_SIGNAL + sig)
        self._is_told, self.is_interrupted = True, sig == signal.SIGINT
        self.service.drain()

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        with suppress(Exception):
            if self.service.is_drained:
                self.should_exit = True
            self.service.memory.tidy(busy=self.service.running > 0)
        return await super().on_tick(counter)


def make_server(service: Service) -> DrainingServer:
    """The server of a service, which does not run yet."""
    config = uvicorn.Config(
        make_app(service),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        h11_max_incomplete_event_size=2**16,
        timeout_graceful_shutdown=_CLOSING,
    )
    return DrainingServer(config, service)


def _leave(code: int) -> NoReturn:
    """End the process at once: Python's own way would wait for threads, whatever they wait for.

    It takes no lock, as what a signal has interrupted may hold any. What was written has gone out: standard error holds
    no line back, and a server writes to nothing else. Children, such as vLLM's engine on a GPU, would stay.

    Args:
        code: of its exit.
    """
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(code)
