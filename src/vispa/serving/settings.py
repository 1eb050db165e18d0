"""How a server is set up, and the limits that hold whatever is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from vispa.errors import InputError
from vispa.serving.keys import Keys
from vispa.serving.value_use import check_windows
from vispa.study.value_use import Uses

#: Largest body of a request, in bytes.
MAX_BODY = 2**20
#: Longest time that a body may take to come, in seconds.
BODY_SECONDS = 30.0
#: Most turns of a conversation.
MAX_MESSAGES = 100
#: Most texts of one batch.
MAX_ITEMS = 32
#: Most values, or weights, that a request names.
MAX_VALUES = 100
#: Seconds of silence after which a stream says that it is alive.
PING_SECONDS = 10.0
#: What a refused client is told to wait, in seconds; longer where requests take longer.
RETRY_SECONDS = 2
#: Most that it is told to wait then.
MAX_RETRY_SECONDS = 30


@dataclass(frozen=True)
class ServerSettings:
    """How a server is set up.

    Attributes:
        keys: that open its routes.
        hosts: what the header `Host` may name where no key is needed: no page of another site reaches the server
            by a name that points here.
        origins: of pages in browsers that may ask.
        concurrency: requests that are answered at the same time.
        max_new_tokens: longest comment that may be asked for.
        timeout: seconds that a request may take.
        drain_seconds: that running requests are given when the server is to stop.
        log_texts: write what is asked into the log.
        drift_window: number of the last answers whose values are compared with a reference's.
        drift_reference: values of the reference's answers; by default the first `drift_window` ones are it.

    Raises:
        InputError: what is no origin, or too few answers to compare.
    """

    keys: Keys = field(default_factory=Keys)
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    origins: tuple[str, ...] = ()
    concurrency: int = 64
    max_new_tokens: int = 512
    timeout: float = 300.0
    drain_seconds: float = 30.0
    log_texts: bool = False
    drift_window: int = 200
    drift_reference: Sequence[Uses] | None = None

    @property
    def open_requests(self) -> int:
        """Requests that may be open at the same time, those included that are still being read or are refused."""
        return 8 * self.concurrency + 128

    def __post_init__(self) -> None:
        for origin in self.origins:
            check_origin(origin)
        check_windows(self.drift_window, self.drift_reference)


def check_origin(origin: str) -> None:
    """Refuse what is no origin of a page.

    Raises:
        InputError: anything but scheme, host and perhaps a port.
    """
    try:
        parts = urlsplit(origin)
        whole = f"{parts.scheme}://{parts.netloc}"
        named = parts.scheme in ("http", "https") and parts.hostname and parts.username is None and whole == origin
    except ValueError:
        named = False
    if not named or not origin.isascii() or not origin.isprintable() or "*" in origin:
        raise InputError("--cors-origin", f"is {origin!r}.", "Give one such as https://clinic.example.")
