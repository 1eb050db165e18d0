"""Waiting for an answer, or streaming it, for as long as somebody listens."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse

from vispa.live.calls import Call
from vispa.live.events import Event, Selected
from vispa.live.tasks import Watch
from vispa.records import Record
from vispa.serving.faults import Refusal, fault_body
from vispa.serving.logs import shown_text
from vispa.serving.service import Service
from vispa.serving.settings import PING_SECONDS

T = TypeVar("T")
#: A message of a stream: the name of its event, where it has one, and its data.
Sent = tuple[str | None, Any]
#: What a route that can stream says of it in its description.
STREAMS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer, or with `stream` what happens until it is there.",
        "content": {"text/event-stream": {}},
    }
}
_PING = b": ping\n\n"
_END = b"data: [DONE]\n\n"


async def waited(
    service: Service, http: Request, work: Callable[[Call], T], translate: Callable[[BaseException], Refusal]
) -> T:
    """What work gives; it stops when nobody waits any more, or its time is up.

    Args:
        service: does it.
        http: the request.
        work: what to do.
        translate: what the client is told of an error.

    Raises:
        Refusal: whatever kept it from being done.
    """
    watch = service.begin(work)
    gone = asyncio.ensure_future(_gone(http))
    waiting: set[asyncio.Future[Any]] = {watch.future, gone}
    try:
        await asyncio.wait(waiting, timeout=service.settings.timeout, return_when=asyncio.FIRST_COMPLETED)
        if not watch.future.done():
            raise _late(service) if not gone.done() else Refusal(400, "The client has gone.", code="client_gone")
        return await watch.future
    except Exception as error:
        refusal = translate(error)
        if refusal.status == 429:
            refusal.retry_seconds = service.retry_seconds
        raise refusal from error
    finally:
        gone.cancel()
        watch.stop()
        _note(http, watch)


def streamed(
    service: Service,
    http: Request,
    work: Callable[[Call], T],
    told: Callable[[Event], Iterable[Sent]],
    ended: Callable[[T, Call], Iterable[Sent]],
    translate: Callable[[BaseException], Refusal],
) -> StreamingResponse:
    """Work as server-sent events.

    Args:
        service: does it.
        http: the request.
        work: what to do.
        told: messages of an event.
        ended: messages of what the work gives.
        translate: what the client is told of an error.
    """
    watch = service.begin(work)
    parts = _parts(service, watch, told, ended, translate)

    async def noted() -> AsyncIterator[bytes]:
        try:
            async for part in parts:
                yield part
        finally:
            watch.stop()
            _note(http, watch)

    return StreamingResponse(noted(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _parts(
    service: Service,
    watch: Watch[T],
    told: Callable[[Event], Iterable[Sent]],
    ended: Callable[[T, Call], Iterable[Sent]],
    translate: Callable[[BaseException], Refusal],
) -> AsyncIterator[bytes]:
    started, first = time.monotonic(), True
    try:
        while True:
            left = started + service.settings.timeout - time.monotonic()
            if left <= 0:
                raise _late(service)
            try:
                event = await watch.event(min(PING_SECONDS, left))
            except TimeoutError:
                yield _PING
                continue
            if event is None:
                break
            events = [event, *watch.more()]
            if first and not all(isinstance(one, Selected) for one in events):
                first = False
                service.metrics.first_token(time.monotonic() - started)
            # What rows of one step say goes out together.
            yield b"".join(_written(sent) for one in events for sent in told(one))
        for sent in ended(await watch.future, watch.call):
            yield _written(sent)
    except Exception as error:
        yield _written(("error", fault_body(translate(error))))
    yield _END


def _written(sent: Sent) -> bytes:
    """A message on the wire: JSON without line ends."""
    name, data = sent
    head = f"event: {name}\n" if name is not None else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False, allow_nan=False)}\n\n".encode()


async def _gone(http: Request) -> None:
    """Ends when the client has gone."""
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _late(service: Service) -> Refusal:
    return Refusal(504, f"No answer came within {service.settings.timeout:g} seconds.")


def _note(http: Request, watch: Watch[Any]) -> None:
    """Put what work cost into the log's line; what is only about to stop has not been counted yet."""
    if watch.future.done():
        http.state.log.update(rows=watch.call.rows, tokens=watch.call.generated_tokens)


def log_texts(service: Service, http: Request, *texts: str) -> None:
    """Put what is asked into the log's line, where the settings want it there."""
    if service.settings.log_texts:
        http.state.log["texts"] = [shown_text(text) for text in texts]


def told(event: Event) -> Iterable[Sent]:
    """An event as the plain routes name it."""
    yield event.event, event.model_dump(mode="json")


def ended(answer: Record, _: Call) -> Iterable[Sent]:
    """An answer's record as the plain routes end in it."""
    yield "response", {"event": "response", "answer": answer.model_dump(mode="json")}
