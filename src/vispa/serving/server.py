"""The server's process: how it serves, what ends it."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from types import FrameType

import uvicorn

from vispa.serving.app import make_app
from vispa.serving.service import Service

#: Seconds that connections are given to close once all requests have ended.
_CLOSING = 5


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
    if server.is_interrupted:
        raise KeyboardInterrupt


class DrainingServer(uvicorn.Server):
    """A server that first drains when it is told to end; told twice, it ends.

    Args:
        config: of uvicorn.
        service: drains.

    Attributes:
        is_interrupted: whether Ctrl-C ended it.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service, self.is_interrupted = service, False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called with a signal."""
        self.is_interrupted = sig == signal.SIGINT
        if self.service.state in ("draining", "failed"):
            self.should_exit = self.force_exit = True
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
