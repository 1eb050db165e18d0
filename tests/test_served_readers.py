"""A server whose own model, or another one of its process, writes the responses and reads texts."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import torch
from random_banks import random_bank_of
from served import TEXT, Served, embedded_pipeline, slowed, started, wait_for

from vispa import Vispa
from vispa.generation.running import RunningBatch
from vispa.generation.transformers import TransformersEngine
from vispa.live.calls import Call, StoppedError
from vispa.live.events import Answered, Said, Selected
from vispa.live.watching import watched
from vispa.models.loading import LoadedModel, load_model
from vispa.modes.overton.written import WrittenAggregator
from vispa.readers.base import ChatModel, Failure
from vispa.readers.local import LocalChat
from vispa.request import EMBEDDED
from vispa.steering.pointing import TokenReader
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

#: Seconds more a pass, so that a response takes a while on any machine.
SLOW = 0.03
#: Longest response.
TOKENS = 80
ASKED: dict[str, Any] = {"text": TEXT, "k": 2, "sampling": {"max_tokens": 6}}
#: Readers that write a pipeline's responses: itself, itself by another hand, and another model.
READERS: dict[str, Callable[[Vispa], ChatModel]] = {
    "self": lambda vispa: vispa.own_reader,
    "self again": lambda vispa: LocalChat(TransformersEngine(vispa.model)),
    "other": lambda _: LocalChat(TransformersEngine(load_model(EMBEDDED))),
}


@pytest.fixture(scope="module")
def plain() -> Vispa:
    return embedded_pipeline()


def written(plain: Vispa, kind: str) -> Vispa:
    """A pipeline whose responses a reader writes."""
    found = plain.variant()
    found.write_with(READERS[kind](plain))
    assert isinstance(found.aggregator, WrittenAggregator)
    found.aggregator.max_new_tokens = TOKENS
    return found


@pytest.fixture(scope="module", params=list(READERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pipeline(plain: Vispa, kind: str) -> Vispa:
    return written(plain, kind)


@pytest.fixture(scope="module")
def served(pipeline: Vispa) -> Iterator[Served]:
    found = started(lambda: pipeline, max_new_tokens=400)
    yield found
    found.stop()


def opened(served: Served, path: str, body: dict[str, Any]) -> socket.socket:
    """A connection on which something is asked in HTTP/1.0."""
    place = socket.create_connection(("127.0.0.1", served.port), 60)
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
    place.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + content)
    return place


def figure(served: Served, name: str) -> float:
    """A figure of the server's; 0 before there is one."""
    lines = [one for one in served.get("/metrics").text.splitlines() if one.startswith(f"{name} ")]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def writing(served: Served) -> bool:
    """Whether a response is being written: both comments have ended by then."""
    return figure(served, "vispa_rows_running") == 1


def test_a_response_is_that_of_the_plain_door_and_is_counted(served: Served, pipeline: Vispa) -> None:
    rows, tokens = (figure(served, name) for name in ("vispa_rows_total", 'vispa_tokens_total{kind="generated"}'))
    found = served.post("/v1/vispa/respond", ASKED).json()
    alone = pipeline.respond(TEXT, k=2, max_new_tokens=6)
    assert found["response"] == alone.response and found["prompts"] == alone.prompts
    (item,) = served.post("/v1/vispa/batch", {"items": [{"text": TEXT, "k": 2}], "sampling": ASKED["sampling"]}).json()[
        "items"
    ]
    assert item["response"] == alone.response
    assert figure(served, "vispa_rows_total") - rows == 2 * 3
    comments = sum(one["tokens"] for one in found["comments"])
    assert figure(served, 'vispa_tokens_total{kind="generated"}') - tokens > 2 * (comments + 6)


def test_its_pieces_are_no_events(served: Served) -> None:
    with closing(opened(served, "/v1/vispa/respond", {**ASKED, "stream": True})) as place:
        reply = b""
        while part := place.recv(2**16):
            reply += part
    assert b"event: unsteered" not in reply and b"event: comment" in reply and b"event: response" in reply


def test_others_go_on_meanwhile_and_a_client_that_goes_is_heard_of(served: Served) -> None:
    stamps: list[float] = []
    with slowed(3 * SLOW), closing(opened(served, "/v1/vispa/respond", ASKED)) as place:
        wait_for(lambda: writing(served))
        long = {"text": TEXT, "sampling": {"max_tokens": 12}, "stream": True}
        with closing(opened(served, "/v1/vispa/unsteered", long)) as other:
            while part := other.recv(2**16):
                stamps += [time.monotonic()] * part.count(b"event: unsteered")
        assert len(stamps) > 2 and served.service.running == 1, "the response was there first"
        tokens = sum(one.load().tokens for one in served.service._schedulers)
        place.close()
        wait_for(lambda: served.service.running == 0)
        # It stops within a few steps, where there are dozens to go.
        assert sum(one.load().tokens for one in served.service._schedulers) - tokens < TOKENS / 3


def test_it_is_ready_once_a_response_has_been_tried(plain: Vispa, monkeypatch: pytest.MonkeyPatch) -> None:
    go, begun, write = threading.Event(), threading.Event(), LocalChat.write

    def tried(self: LocalChat, *given: Any, **named: Any) -> list[str | Failure]:
        begun.set()
        assert go.wait(60)
        return write(self, *given, **named)

    monkeypatch.setattr(LocalChat, "write", tried)
    served = started(lambda: written(plain, "self"), ready=False)
    try:
        assert begun.wait(60)
        assert served.get("/health/ready").json()["error"]["code"] == "starting"
        go.set()
        wait_for(lambda: served.get("/health/ready").status_code == 200)
    finally:
        go.set()
        served.stop()


@pytest.mark.parametrize("kind", list(READERS))
def test_a_stopped_call_writes_no_further(plain: Vispa, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vispa, call, steps = written(plain, kind), Call(), 0
    step = RunningBatch.step

    def counted(batch: RunningBatch) -> None:
        nonlocal steps
        if any(not writing.row.steers for writing in batch.rows):
            steps += 1
            if steps == 3:
                call.stop()
        step(batch)

    monkeypatch.setattr(RunningBatch, "step", counted)
    with watched(vispa, call, vispa.scheduler, vispa.shared_readers) as mine, pytest.raises(StoppedError):
        mine.respond(TEXT, k=2, max_new_tokens=6)
    assert steps <= 4 and call.rows == 3 and call.generated_tokens > 0


@pytest.mark.parametrize("kind", list(READERS))
def test_the_doors_for_asynchronous_code_share_the_reader_too(plain: Vispa, kind: str) -> None:
    vispa = written(plain, kind)

    async def heard() -> list[object]:
        return [event async for event in vispa.stream(TEXT, k=2, max_new_tokens=6)]

    first, *said, last = asyncio.run(heard())
    assert isinstance(first, Selected) and all(isinstance(one, Said) for one in said) and isinstance(last, Answered)
    assert last.answer.response == vispa.respond(TEXT, k=2, max_new_tokens=6).response  # type: ignore[union-attr]
    assert len(vispa.shared_readers) == (kind == "other")
    # Another one from then on.
    vispa.write_with(READERS["other"](plain))
    (shared,) = vispa.shared_readers
    assert isinstance(vispa.aggregator, WrittenAggregator) and shared.engine is vispa.aggregator.reader.engine  # type: ignore[attr-defined]


# ---------------------------------------------------------------- readings of tokens


@pytest.mark.parametrize("passes", [0, 1, 3])
def test_readings_of_tokens_end_before_the_next_pass(
    passes: int, llama: LoadedModel, small_taxonomy: Taxonomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe("mean", (1,), magnitude="residual", amount=0.1)
    reader = TokenReader(replace(llama), random_bank_of(llama, small_taxonomy), recipe, small_taxonomy)
    _ = reader._typical
    call, read = Call(), 0
    original = TokenReader._readings

    def counted(self: TokenReader, ids: Any, directions: torch.Tensor) -> Any:
        nonlocal read
        read += 1
        if read == passes:
            call.stop()
        return original(self, ids, directions)

    monkeypatch.setattr(TokenReader, "_readings", counted)
    if passes == 0:
        call.stop()
    with pytest.raises(StoppedError):
        reader.read(["calm"] * 30, ["word " * 90] * 30, call.check)
    assert read == passes


def test_a_client_that_goes_ends_its_readings_of_tokens(plain: Vispa, monkeypatch: pytest.MonkeyPatch) -> None:
    read, original = 0, TokenReader._readings

    def slow(self: TokenReader, *given: Any) -> Any:
        nonlocal read
        read += 1
        time.sleep(0.2)
        return original(self, *given)

    monkeypatch.setattr(TokenReader, "_readings", slow)
    served = started(lambda: plain)
    try:
        items = [{"value": "karma", "text": "word " * 700}] * 100
        with closing(opened(served, "/v1/vispa/tokens", {"items": items})):
            wait_for(lambda: read > 0)
        wait_for(lambda: served.service.running == 0)
        assert read < 25
    finally:
        served.stop()
