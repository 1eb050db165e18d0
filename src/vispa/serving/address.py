"""Where a server listens."""

from __future__ import annotations

import ipaddress
import socket

from vispa.errors import InputError
from vispa.serving.settings import ServerSettings


def listening(host: str, port: int, settings: ServerSettings) -> socket.socket:
    """A socket that listens there; before anything heavy is loaded, so that what cannot be is refused at once.

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
        # Two may be bound to one port as long as neither listens.
        place.listen()
    except OSError as error:
        place.close()
        raise InputError(
            "--port", f"{port} cannot be listened at ({error.strerror}).", "Choose another one."
        ) from error
    return place
