"""What every request passes: it is let in or not, its body is bounded, it is counted, logged and answered safely."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vispa.serving.faults import OVERLOADED, Refusal, fault_response, refusal_of
from vispa.serving.logs import log_request
from vispa.serving.page_routes import FILES
from vispa.serving.service import Service
from vispa.serving.settings import BODY_SECONDS, MAX_BODY

#: The one route beside the page that needs no key: it says nothing but that the process lives.
LIVENESS = "/health/live"
#: Headers of every response; a route that needs another policy of contents sets its own.
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}


class Outer:
    """The outermost layer: security headers, a number for each request, the log and the figures.

    Args:
        app: what lies within.
        service: whose figures count.
        routes: paths that may be named in log and figures.
    """

    def __init__(self, app: ASGIApp, service: Service, routes: Collection[str]) -> None:
        self.app, self.service, self.routes = app, service, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 499
        number = secrets.token_hex(8)
        scope.setdefault("state", {})["log"] = {"request": number}

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
                headers["X-Request-ID"] = number
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", None) or (
                scope["path"] if scope["path"] in self.routes else "-"
            )
            method = scope["method"] if scope["method"] in _METHODS else "-"
            passed = time.perf_counter() - started
            self.service.metrics.request(route, status, passed)
            self.service.memory.use()
            log_request(method, route, status, passed, scope["state"]["log"])


class Gate:
    """The layer that lets requests in: how many are open, key, host, kind and size of the body.

    Args:
        app: what lies within.
        service: whose settings count.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self._open += 1
        try:
            await self._let_in(scope, receive, send)
        finally:
            self._open -= 1

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = Headers(scope=scope)
            self._check_in(scope["method"], scope["path"], headers)
            body = await _body(headers, receive, is_taken=_is_taken(scope))
        except Refusal as refusal:
            await fault_response(refusal)(scope, receive, send)
            return
        except _GoneError:
            return
        await self._within(scope, _replayed(body, receive), send)

    async def _within(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception as error:
            refusal = refusal_of(error)
            if not begun:
                await fault_response(refusal)(scope, receive, send)

    def _check_in(self, method: str, path: str, headers: Headers) -> None:
        if path == LIVENESS:
            return
        if self._open > self.service.settings.open_requests:
            raise Refusal(503, f"{self._open} requests are open. Try again in a while.", code=OVERLOADED)
        keys = self.service.settings.keys
        if keys.digests:
            is_page = method == "GET" and path in FILES
            if not is_page and not keys.opened_by(headers.get("authorization", "").encode("latin-1")):
                raise Refusal(401, "No valid key. Send the header `Authorization: Bearer KEY`.")
        elif _host_of(headers.get("host", "")) not in self.service.settings.hosts:
            raise Refusal(403, "This server needs no key and is reached by the name localhost only.")


class _GoneError(Exception):
    """The client went before its body had come."""


def _is_taken(scope: Scope) -> bool:
    """Whether a route takes a body here; what none takes is refused by the application, whatever its kind."""
    if scope["method"] != "POST":
        return False
    return any(route.matches(scope)[0] is Match.FULL for route in scope["app"].routes)


async def _body(headers: Headers, receive: Receive, *, is_taken: bool) -> bytes:
    """All of a body.

    Args:
        headers: of its request.
        receive: where it comes from.
        is_taken: somebody will read it.

    Raises:
        Refusal: too large, too slow, or not JSON by its header.
    """
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > MAX_BODY:
        raise _too_large()
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message: Any = await receive()
                if message["type"] == "http.disconnect":
                    raise _GoneError
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > MAX_BODY:
                    raise _too_large()
                if not message.get("more_body"):
                    break
    except TimeoutError:
        raise Refusal(408, f"The body did not come within {BODY_SECONDS:g} seconds.") from None
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if is_taken and kind != "application/json":
        # Pages of other sites may send other kinds without asking first.
        raise Refusal(415, "The body is not declared as JSON. Send `Content-Type: application/json`.")
    return b"".join(chunks)


def _too_large() -> Refusal:
    return Refusal(413, f"The body is larger than {MAX_BODY // 2**20} MiB.")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read, and then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _host_of(header: str) -> str:
    """The name in a header `Host`, without its port."""
    if header.startswith("["):
        return header.partition("]")[0].lower() + "]"
    return header.partition(":")[0].lower()
