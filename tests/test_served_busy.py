"""A server with more to do than it takes: what it refuses says so in the one shape, and when to come again."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from served import TEXT, Held, Served, embedded_pipeline, started, wait_for

from vispa import Vispa
from vispa.generation.scheduler import Scheduler
from vispa.serving.service import Service
from vispa.serving.settings import MAX_RETRY_SECONDS, RETRY_SECONDS, ServerSettings

ASKED: dict[str, Any] = {"text": TEXT, "k": 2, "sampling": {"max_tokens": 4}}
CHAT: dict[str, Any] = {"model": "vispa", "messages": [{"role": "user", "content": TEXT}], "max_tokens": 4}


@pytest.fixture(scope="module")
def pipeline() -> Vispa:
    return embedded_pipeline()


@pytest.fixture
def small(pipeline: Vispa) -> Iterator[tuple[Served, Held]]:
    """A server that answers one request at a time."""
    selector = Held(pipeline.selector)
    found = started(lambda: pipeline.variant(selector=selector), concurrency=1)
    yield found, selector
    selector.free.set()
    found.stop()


def test_rows_that_find_no_place_to_wait(pipeline: Vispa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vispa.serving.service.make_scheduler", lambda engine: Scheduler(engine.loaded, waiting=2))
    served = started(lambda: pipeline)
    load = served.service.scheduler.load
    try:
        with ThreadPoolExecutor(2) as pool:
            with pipeline.model.turns:
                # The first is taken from the line and reads its prompts as soon as it may, the second fills the line.
                first = pool.submit(served.post, "/v1/vispa/respond", ASKED)
                wait_for(lambda: load().requests == 1)
                second = pool.submit(served.post, "/v1/vispa/respond", ASKED)
                wait_for(lambda: load().waiting == 2)
                for path, body in (("/v1/vispa/respond", ASKED), ("/v1/chat/completions", CHAT)):
                    refused = served.post(path, body)
                    error = refused.json()["error"]
                    assert refused.status_code == 429 and error["code"] == "too_many_rows", refused.text
                    assert error["type"] == "rate_limit_error" and int(refused.headers["retry-after"]) >= 1
                streamed = served.post("/v1/vispa/respond", {**ASKED, "stream": True})
                assert streamed.status_code == 200 and '"code": "too_many_rows"' in streamed.text
            assert [one.result(60).status_code for one in (first, second)] == [200, 200]
        assert served.post("/v1/vispa/respond", ASKED).status_code == 200
    finally:
        served.stop()


def request(method: str, path: str, body: bytes = b"", length: int = 0) -> bytes:
    """A request as bytes; with a longer length than its body it stays open."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {length or len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/models", None),
        ("GET", "/health/ready", None),
        ("POST", "/v1/vispa/respond", ASKED),
        ("POST", "/v1/chat/completions", CHAT),
    ],
)
def test_too_many_open_requests(method: str, path: str, body: Any, small: tuple[Served, Held]) -> None:
    served, _ = small
    content = b"" if body is None else json.dumps(body).encode()
    with contextlib.ExitStack() as opened:
        for _ in range(served.service.settings.open_requests):
            place = opened.enter_context(socket.create_connection(("127.0.0.1", served.port), 30))
            place.sendall(request("POST", "/v1/vispa/respond", length=50))
        wait_for(lambda: served.get("/v1/models").status_code == 503)
        found = served.raw(request(method, path, content))
        # It was closed, as nothing more of it is read.
        head, _, reply = found.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        assert lines[0] == "http/1.1 503 service unavailable" and "connection: close" in lines
        assert f"retry-after: {RETRY_SECONDS}" in lines and "x-content-type-options: nosniff" in lines
        error = json.loads(reply)["error"]
        assert error["code"] == "overloaded" and error["type"] == "server_error" and error["message"]
        # It lives all the same.
        assert served.get("/health/live").status_code == 200
    wait_for(lambda: served.get("/v1/models").status_code == 200)
    assert served.post("/v1/vispa/respond", ASKED).status_code == 200
    assert 'status="503"' in served.get("/metrics").text


def test_connections_on_which_nothing_is_asked_take_no_place(small: tuple[Served, Held]) -> None:
    served, _ = small
    with contextlib.ExitStack() as opened:
        for _ in range(served.service.settings.open_requests + 8):
            opened.enter_context(socket.create_connection(("127.0.0.1", served.port), 30))
        assert served.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    ("lasted", "seconds"),
    [
        ([], RETRY_SECONDS),
        ([0.01] * 9, RETRY_SECONDS),
        ([7.4, 7.4, 300.0], 7),
        ([0.1, 12.6, 12.6], 13),
        ([600.0], MAX_RETRY_SECONDS),
        ([600.0] * 100 + [5.0] * 64, 5),
    ],
)
def test_who_is_sent_away_is_told_what_the_last_requests_took(
    lasted: list[float], seconds: int, pipeline: Vispa
) -> None:
    service = Service(ServerSettings(), lambda: pipeline)
    service._lasted.extend(lasted)
    assert service.retry_seconds == seconds


def test_a_refusal_says_when_to_come_again(small: tuple[Served, Held]) -> None:
    served, selector = small
    assert served.post("/v1/vispa/respond", ASKED).status_code == 200 and len(served.service._lasted) == 1
    served.service._lasted.extend([11.0] * 5)
    selector.free.clear()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(served.post, "/v1/vispa/respond", ASKED)
        wait_for(lambda: served.service.running == 1)
        for path, body in (("/v1/vispa/respond", ASKED), ("/v1/chat/completions", CHAT)):
            refused = served.post(path, body)
            assert refused.status_code == 429 and refused.headers["retry-after"] == "11"
        selector.free.set()
        assert running.result(60).status_code == 200
