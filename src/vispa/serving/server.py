"""The server's process: where it listens, what ends it."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
from contextlib import suppress
from types import FrameType

import uvicorn

from vispa.errors import InputError
from vispa.serving.app import make_app
from vispa.serving.service import Service
from vispa.serving.settings import ServerSettings

_logger = logging.getLogger(__name__)

#: Seconds that connections are given to close once all requests have ended.
_CLOSING = 5


def listening(host: str, port: int, settings: ServerSettings) -> socket.socket:
    """A socket that listens there; before any model is loaded, so that what cannot be is refused at once.

    Args:
        host: name or address.
        port: 0 takes a free one.
        settings: of the server.

    Raises:
        InputError: an address that others reach, and no key; or nothing can listen there.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InputError("--host", f"is {host!r}, which is no name or address here.", "Give 127.0.0.1.") from error
    family, kind, protocol, _, address = found[0]
    is_local = all(ipaddress.ip_address(one[4][0]).is_loopback for one in found)
    if not is_local and not settings.keys.digests:
        advice = "Give --keys-file, or set VISPA_API_KEYS; or listen on 127.0.0.1."
        raise InputError("--host", f"is {host!r}: others could reach it, and there is no key.", advice)
    place = socket.socket(family, kind, protocol)
    try:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(address)
    except OSError as error:
        place.close()
        raise InputError(
            "--port", f"{port} cannot be listened at ({error.strerror}).", "Choose another one."
        ) from error
    return place


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
