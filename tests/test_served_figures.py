"""The figures count what requests cost, however they end."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from served import TEXT, Held, Served, embedded_pipeline, slowed, started, wait_for

from vispa import Vispa
from vispa.generation.running import RunningBatch

NAMES = ("rows_total", 'tokens_total{kind="prompt"}', 'tokens_total{kind="generated"}')


@pytest.fixture(scope="module")
def pipeline() -> Vispa:
    return embedded_pipeline()


@pytest.fixture(scope="module")
def held(pipeline: Vispa) -> Held:
    return Held(pipeline.selector)


@pytest.fixture(scope="module")
def served(pipeline: Vispa, held: Held) -> Iterator[Served]:
    found = started(lambda: pipeline.variant(selector=held), max_new_tokens=400)
    yield found
    held.free.set()
    found.stop()


class Figures:
    """What has been added to the figures of a server since."""

    def __init__(self, served: Served) -> None:
        self._served, self._before = served, self._now(served)

    @staticmethod
    def _now(served: Served) -> dict[str, float]:
        page = re.findall(r"^vispa_(\S+) (\S+)$", served.get("/metrics").text, re.MULTILINE)
        return {name: float(number) for name, number in page}

    def of(self, name: str) -> float:
        return self._now(self._served).get(name, 0.0) - self._before.get(name, 0.0)

    @property
    def cost(self) -> tuple[float, ...]:
        """Rows, tokens of prompts, tokens of texts."""
        return tuple(map(self.of, NAMES))

    def chosen(self, value: str) -> float:
        return self.of(f'values_total{{value="{value}"}}')


def asked(**fields: Any) -> dict[str, Any]:
    return {"text": TEXT, "values": ["karma", "honor"], "sampling": {"max_tokens": 8}, **fields}


def test_an_answer(served: Served) -> None:
    figures = Figures(served)
    answer = served.post("/v1/vispa/respond", asked()).json()
    rows, prompt, generated = figures.cost
    assert rows == 2 and prompt > 2 and generated == sum(one["tokens"] for one in answer["comments"])
    assert figures.chosen("karma") == figures.chosen("honor") == 1
    served.post("/v1/vispa/unsteered", {"text": TEXT, "sampling": {"max_tokens": 8}})
    assert figures.cost[0] == 3 and figures.chosen("karma") == 1


def go_when(holds: Callable[[], bool], served: Served, body: dict[str, Any]) -> None:
    """Ask, and go before the answer has come, once something holds."""
    content = json.dumps(body).encode()
    head = "POST /v1/vispa/respond HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", served.port), 60) as place:
        place.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        wait_for(holds)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes(stream: bool, served: Served) -> None:
    figures, load = Figures(served), served.service.scheduler.load
    written = load().tokens
    long = asked(stream=stream, sampling={"max_tokens": 400, "temperature": 1.5, "seed": 3})
    with slowed(0.05):
        go_when(lambda: load().tokens >= written + 4, served, long)
        wait_for(lambda: served.service.running == 0)
    rows, prompt, generated = figures.cost
    assert rows == 2 and prompt > 2 and 2 <= generated < 800
    assert figures.chosen("karma") == figures.chosen("honor") == 1


def test_a_fault_of_the_engine(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, passes = Figures(served), [0]
    step = RunningBatch.step

    def broken(batch: RunningBatch) -> None:
        passes[0] += 1
        if passes[0] > 3:
            raise RuntimeError("no memory")
        step(batch)

    with monkeypatch.context() as patch:
        patch.setattr(RunningBatch, "step", broken)
        found = served.post("/v1/vispa/respond", asked(sampling={"max_tokens": 40, "temperature": 1.5, "seed": 3}))
    assert found.status_code == 503
    rows, prompt, generated = figures.cost
    # A token of each row as the prompts were read, and one in each pass.
    assert rows == 2 and prompt > 2 and generated == 2 * 4
    assert figures.chosen("karma") == figures.chosen("honor") == 1


def test_texts_that_fail_beside_others(served: Served) -> None:
    """They are answered in parts until the one that fails stands alone: nothing counts twice."""
    figures = Figures(served)
    texts = [{"text": TEXT, "values": ["karma"]}, {"text": "word " * 3900, "values": ["honor"]}]
    items = [*texts, {"text": TEXT, "values": ["karma"]}]
    found = served.post("/v1/vispa/batch", {"items": items, "sampling": {"max_tokens": 8}}).json()["items"]
    assert ["error" in one for one in found] == [False, True, False]
    answers = [one for one in found if "error" not in one]
    rows, _, generated = figures.cost
    assert rows == 2 and generated == sum(comment["tokens"] for one in answers for comment in one["comments"])
    assert figures.chosen("karma") == 2 and figures.chosen("honor") == 1


def test_a_request_that_is_stopped_before_anything_is_chosen(served: Served, held: Held) -> None:
    figures = Figures(served)
    held.free.clear()
    try:
        go_when(lambda: served.service.running == 1, served, asked(stream=True))
        (watch,) = served.service._watches
        wait_for(lambda: watch.call.is_stopped)
    finally:
        held.free.set()
    wait_for(lambda: served.service.running == 0)
    assert figures.cost == (0, 0, 0)
