"""A server in bad times: clients that go, a kill, a SIGTERM, a poisoned request, a fault, while others are answered.

`VISPA_TEST_DISCONNECTS=1000` lets so many clients go in the middle of their streams.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx2
import pytest
from served import TEXT, Served, embedded_pipeline, slowed, started, wait_for
from served_apart import apart

from vispa import Vispa
from vispa.live.calls import Call

DISCONNECTS = int(os.environ.get("VISPA_TEST_DISCONNECTS", "12"))
CLIENTS = 6
#: Texts that take a while.
LONG = {"k": 2, "stream": True, "sampling": {"max_tokens": 400, "temperature": 1.5}}
#: Seconds more a pass, so that they take that while on any machine.
SLOW = 0.02
DONE = b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def pipeline() -> Vispa:
    return embedded_pipeline()


@pytest.fixture(scope="module")
def served(pipeline: Vispa) -> Iterator[Served]:
    found = started(lambda: pipeline, max_new_tokens=400)
    yield found
    found.stop()


class Client:
    """A client that asks for a stream, in HTTP/1.0: it ends with its connection."""

    def __init__(self, port: int, body: dict[str, Any]) -> None:
        self.reply = b""
        self._place = socket.create_connection(("127.0.0.1", port), 120)
        content = json.dumps(body).encode()
        head = f"POST /v1/vispa/respond HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
        self._place.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + content)

    def read(self, until: bytes | None = None) -> bytes:
        """What has come, until something has, or the end."""
        try:
            while until is None or until not in self.reply:
                part = self._place.recv(2**16)
                if not part:
                    break
                self.reply += part
        except ConnectionError:
            pass
        return self.reply

    def close(self) -> None:
        self._place.close()


def is_whole(reply: bytes) -> bool:
    """Whether a stream ended with an answer."""
    return reply.endswith(DONE) and b"\n\nevent: response\n" in reply


def reason(reply: bytes) -> dict[str, Any]:
    """The error that a stream ended with."""
    assert reply.endswith(DONE), reply[-500:]
    found: dict[str, Any] = json.loads(reply.partition(b"event: error\ndata: ")[2].partition(b"\n")[0])["error"]
    return found


def test_clients_that_go_leave_no_row(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, cancelled = served.service.scheduler, []
    stop = Call.stop

    def counted(call: Call) -> None:
        if not call.is_stopped:
            cancelled.append(scheduler.load().steps)
        stop(call)

    monkeypatch.setattr(Call, "stop", counted)

    def go(number: int) -> None:
        body = {"text": f"{TEXT}, time {number}", **LONG, "sampling": {**LONG["sampling"], "seed": number}}  # type: ignore[dict-item]
        with closing(Client(served.port, body)) as client:
            assert b"event: comment" in client.read(until=b"event: comment"), client.reply

    with slowed(SLOW):
        go(0)
        wait_for(lambda: scheduler.load().running == 0 and served.service.running == 0)
    # The step that ran when it went was its last: no other was there to go on with.
    assert len(cancelled) == 1 and scheduler.load().steps - cancelled[0] <= 1
    with slowed(SLOW), ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(go, range(1, DISCONNECTS)))
    # Rows leave between two passes: the requests may be over a pass earlier.
    wait_for(lambda: served.service.running == 0 and scheduler.load().running == 0)
    load = scheduler.load()
    assert (load.running, load.waiting, load.requests, load.places, load.faults) == (0, 0, 0, 0, 0)
    figures = served.get("/metrics").text
    for name in ("requests_running", "rows_running", "rows_waiting", "engine_faults"):
        assert f"\nvispa_{name} 0.0\n" in figures
    # Hardly any had its answer before it went.
    assert len(cancelled) >= 0.8 * DISCONNECTS
    assert served.post("/v1/vispa/select", {"text": TEXT}).status_code == 200


def test_a_poisoned_request_fails_alone(served: Served, pipeline: Vispa) -> None:
    good: dict[str, Any] = {"text": TEXT, "k": 3, "sampling": {"max_tokens": 40}}
    endless = {"estimator": "mean", "blocks": [2], "magnitude": "coefficient", "amount": 1e38}
    poisoned: list[dict[str, Any]] = [
        {**good, "recipe": endless},
        {**good, "text": "word " * 3900},
        {**good, "prompt": "word " * 3900},
        {**good, "mode": "steerable", "toward": "\u202e" * 900},
    ]
    bodies = [good, *(one for bad in poisoned for one in (bad, good))]
    with ThreadPoolExecutor(len(bodies)) as pool:
        replies = list(pool.map(lambda body: served.post("/v1/vispa/respond", body), bodies))
    alone = pipeline.respond(TEXT, k=3, max_new_tokens=40)
    for body, reply in zip(bodies, replies, strict=True):
        if body is good:
            assert reply.status_code == 200 and reply.json()["response"] == alone.response
        else:
            assert reply.status_code == 422 and reply.json()["error"]["message"], reply.text
    assert served.service.scheduler.load().faults == 0


def test_a_fault_is_told_to_all_that_it_hits(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was in the batch is refused with a reason; what waited, and what comes next, is answered."""
    body = {"text": TEXT, "k": 2, "sampling": {"max_tokens": 20}}

    def broken(_: object) -> None:
        monkeypatch.undo()
        raise RuntimeError("no memory")

    monkeypatch.setattr("vispa.generation.running.RunningBatch.step", broken)
    with ThreadPoolExecutor(CLIENTS) as pool:
        replies = list(pool.map(lambda _: served.post("/v1/vispa/respond", body), range(CLIENTS)))
    statuses = [reply.status_code for reply in replies]
    assert set(statuses) <= {200, 503} and 503 in statuses, statuses
    assert {reply.json()["error"]["code"] for reply in replies if reply.status_code == 503} == {"engine_restarted"}
    assert served.post("/v1/vispa/respond", body).status_code == 200


def test_sigterm_and_kill_under_load() -> None:
    with apart("--drain-seconds", "60") as server:
        clients = [Client(server.port, {"text": f"{TEXT} {number}", **LONG}) for number in range(CLIENTS)]
        for client in clients:
            client.read(until=b"event: selection")
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "draining" in server.log)
        late = server.post("/v1/vispa/select", {"text": TEXT})
        assert late.status_code == 503 and late.headers["retry-after"] and late.json()["error"]["code"] == "draining"
        assert all(is_whole(client.read()) for client in clients)
        assert server.process.wait(60) == 0 and "Traceback" not in server.log, server.log
    with apart("--port", str(server.port), "--drain-seconds", "0", step_seconds=SLOW) as again:
        assert again.port == server.port
        clients = [Client(again.port, {"text": f"{TEXT} {number}", **LONG}) for number in range(CLIENTS)]
        for client in clients:
            client.read(until=b"event: comment")
        again.process.send_signal(signal.SIGTERM)
        replies = [client.read() for client in clients]
        assert all(is_whole(reply) or reason(reply)["code"] == "stopped" for reply in replies)
        assert not all(map(is_whole, replies)), "nothing was running any more"
        assert again.process.wait(60) == 0 and "Traceback" not in again.log, again.log


def test_a_killed_server_leaves_nothing_that_looks_whole() -> None:
    with apart(step_seconds=SLOW) as server:
        clients = [Client(server.port, {"text": f"{TEXT} {number}", **LONG}) for number in range(CLIENTS)]
        for client in clients:
            client.read(until=b"event: comment")
        server.process.send_signal(signal.SIGKILL)
        replies = [client.read() for client in clients]
        assert all(is_whole(reply) or DONE not in reply for reply in replies)
        assert not all(map(is_whole, replies)), "nothing was running any more"
    with apart("--port", str(server.port)) as again:
        body = {"text": TEXT, "k": 1, "sampling": {"max_tokens": 4}}
        assert again.port == server.port and again.post("/v1/vispa/respond", body).status_code == 200
    with pytest.raises(httpx2.ConnectError):
        server.post("/v1/vispa/respond", body)
