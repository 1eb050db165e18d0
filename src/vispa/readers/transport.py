"""HTTP with a server that may do anything: hang, drip, never end, send too much, or send us elsewhere."""

from __future__ import annotations

import ssl
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, SimpleQueue
from threading import Thread, local
from typing import Any, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

#: Longest reply that is read, decompressed, in bytes.
LONGEST_REPLY = 8 * 2**20
# Until when the request of this thread must have ended, by the monotonic clock.
_local = local()


class OutOfTimeError(Exception):
    """The whole reply did not come in time."""


class ReplyError(Exception):
    """A reply that is not read to its end; says why in words."""


class RedirectError(Exception):
    """The server sends us to another place, which is the message."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """What a call gives, if it ends in time; else it goes on, unheard, in a thread that keeps no process alive.

    Time-outs of sockets count silence alone. This one counts everything, looking up the address included.

    Args:
        seconds: that the call may take.
        call: sends a request with the client of `http_client`, which stops reading when time is up.

    Raises:
        OutOfTimeError: it has not ended.
    """
    results: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        _local.deadline = time.monotonic() + seconds
        try:
            results.put((call(), None))
        except BaseException as error:
            results.put((None, error))

    Thread(target=run, daemon=True, name="vispa-request").start()
    try:
        value, error = results.get(timeout=seconds)
    except Empty:
        raise OutOfTimeError from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def http_client() -> Any:
    """A client for `openai.OpenAI` that guards every response, those of errors and redirects included."""
    import openai

    return guarded_client(openai.DefaultHttpxClient)


def guarded_client(kind: Callable[..., Any], headers: Mapping[str, str] | None = None, **more: Any) -> Any:
    """The same of any kind of httpx client.

    Args:
        kind: makes it.
        headers: of every request.
        **more: what else it is made with.
    """
    # `Accept-Encoding`: the one compression that is undone here, within the limit.
    return kind(event_hooks={"response": [_guard]}, headers={"Accept-Encoding": "gzip", **(headers or {})}, **more)


def certificate_problem(error: BaseException) -> str | None:
    """What is wrong with the server's certificate or TLS, if that is what an error comes from."""
    found = cause(error, ssl.SSLError)
    if isinstance(found, ssl.SSLCertVerificationError):
        return f"has a certificate that cannot be trusted ({found.verify_message})"
    if found is not None:
        return f"does not speak TLS ({(found.reason or 'handshake failed').lower().replace('_', ' ')})"
    return None


def cause(error: BaseException, kind: type[T]) -> T | None:
    """The first error of a kind among those that led to an error, itself included."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, kind):
        seen = seen.__cause__ or seen.__context__
    return seen


def _guard(response: Any) -> None:
    """Called with every response before its body is read.

    Raises:
        RedirectError: to another scheme, host or port.
        ReplyError: compressed in a way that was not asked for.
    """
    if response.has_redirect_location:
        try:
            target = response.url.join(response.headers["location"])
        except Exception:
            # The two client libraries name this error differently.
            raise RedirectError("an address that cannot be read") from None
        if _origin(target) != _origin(response.url):
            raise RedirectError(_shown(str(target)))
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise ReplyError("is compressed in a way that was not asked for")
    packed = encoding.endswith("gzip")
    if packed:
        del response.headers["content-encoding"]
    # The client library insists on its own type of stream; there are two libraries of one kind.
    library = sys.modules[type(response).__module__.partition(".")[0]]
    inner = response.stream
    chunks = _bounded(_unpacked(inner) if packed else inner)
    kind = type("Bounded", (library.SyncByteStream,), {"__iter__": lambda _: chunks, "close": lambda _: inner.close()})
    response.stream = kind()


def _bounded(chunks: Any) -> Iterator[bytes]:
    """The body while there is time and room."""
    deadline = getattr(_local, "deadline", float("inf"))
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > LONGEST_REPLY:
            raise ReplyError(f"is longer than {LONGEST_REPLY // 2**20} MiB")
        if time.monotonic() > deadline:
            raise OutOfTimeError
        yield chunk


def _unpacked(chunks: Any) -> Iterator[bytes]:
    """A gzip body decompressed piece by piece, so that no piece can burst."""
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        for chunk in chunks:
            rest = chunk
            while rest:
                yield unpacking.decompress(rest, 2**16)
                rest = unpacking.unconsumed_tail
    except zlib.error as error:
        raise ReplyError("is compressed, and the compression is damaged") from error


def _origin(url: Any) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _shown(address: str) -> str:
    """Scheme, host and port of an address that a server names, as plain text."""
    try:
        parts = urlsplit(address)
        shown = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        shown = "an address that cannot be read"
    return "".join(filter(str.isprintable, shown))[:200]
