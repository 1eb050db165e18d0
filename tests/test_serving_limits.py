"""What a server refuses, and how it lives: keys, bodies, limits, disconnects, draining, faults."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fake_api import FakeApi, Reply, failed, said
from served import KEY, TEXT, Held, Served, embedded_pipeline, slowed, started, wait_for

from vispa import Vispa
from vispa.errors import InputError
from vispa.modes.mixture import Mixture
from vispa.readers.api import ApiChat
from vispa.request import Request, Sampling
from vispa.serving import guard
from vispa.serving.address import listening
from vispa.serving.asking import prepared
from vispa.serving.keys import Keys
from vispa.serving.page_routes import FILES, FOLDER, POLICY
from vispa.serving.schemas import How
from vispa.serving.settings import ServerSettings

OTHER = "o" * 24
#: A request that is good; each hostile one differs in one field.
CHAT: dict[str, Any] = {"model": "vispa", "messages": [{"role": "user", "content": TEXT}]}
LONG = {"text": TEXT, "k": 6, "stream": True, "sampling": {"max_tokens": 400, "temperature": 1.5, "seed": 3}}


@pytest.fixture(scope="module")
def pipeline() -> Vispa:
    return embedded_pipeline()


@pytest.fixture(scope="module")
def served(pipeline: Vispa) -> Iterator[Served]:
    found = started(lambda: pipeline, max_new_tokens=400)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def locked(pipeline: Vispa) -> Iterator[Served]:
    found = started(lambda: pipeline, keys=(KEY, OTHER), origins=("https://clinic.example",), log_texts=True)
    yield found
    found.stop()


def deep(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


#: Fields of a chat that cannot be, and the path that the refusal names.
CHATS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "user", "content": "x"}] * 101}, "messages"),
    ({"messages": [{"role": "user"}]}, "messages.0.content"),
    ({"messages": [{"role": "root", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "text": "x"}]}]}, "messages.0.content.0.type"),
    ({"messages": [{"role": "user", "content": " \u200b"}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": "x" * 20_001}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": "half \ud800"}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}, "messages"),
    ({"messages": [{"role": "system", "content": "y" * 19_990}, {"role": "user", "content": "x"}]}, "messages"),
    ({"model": 3}, "model"),
    ({"temperature": -1}, "temperature"),
    ({"temperature": float("nan")}, "temperature"),
    ({"temperature": float("inf")}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 10**30}, "max_tokens"),
    ({"max_tokens": 401}, "max_tokens"),
    ({"max_completion_tokens": 401, "max_tokens": 3}, "max_completion_tokens"),
    ({"max_tokens": 3, "vispa": {"sampling": {"max_tokens": 401}}}, "vispa.sampling.max_tokens"),
    ({"seed": -1}, "seed"),
    ({"n": 2}, "n"),
    ({"stop": ["."]}, "stop"),
    ({"tools": [{}]}, "tools"),
    ({"stream": "yes"}, "stream"),
    ({"model_path": "/etc/passwd"}, "model_path"),
    ({"[/bold]\x1b[31m": 1}, "[/bold]\x1b[31m"),
    ({"vispa": None}, "vispa"),
    ({"vispa": []}, "vispa"),
    *(
        ({"vispa": {name: given}}, f"vispa.{path}")
        for name, given, path in (
            ("mode", "loud", "mode"),
            ("k", 0, "k"),
            ("k", 99, "k"),
            ("k", 10**30, "k"),
            ("k", 2.0, "k"),
            ("k", True, "k"),
            ("values", "karma", "values"),
            ("values", ["karma"] * 101, "values"),
            ("values", ["../../etc/passwd"], "values"),
            ("values", [None], "values.0"),
            ("threshold", 2, "threshold"),
            ("diversity", -0.1, "diversity"),
            ("toward", "honesty", "toward"),
            ("options", ["a", "b"], "options"),
            ("country", "Chad", "country"),
            ("passages", False, "passages"),
            ("weights", {"karma": 1}, "weights"),
            ("weights", {"karma": "1"}, "weights.karma"),
            ("weights", {"karma": -1}, "weights.karma"),
            ("prompt", " ", "prompt"),
            ("prompt", "half \ud800", "prompt"),
            ("recipe", {"blocks": ["a"]}, "recipe.blocks.0"),
            ("recipe", {"depth": [0.1, "b"]}, "recipe.depth.1"),
            ("recipe", {"amounts": {"two words": "x"}}, "recipe.amounts.two words"),
            ("recipe", {"amounts": {"\ud800": 1}}, "recipe.amounts"),
            ("weights", "../mixture.json", "weights"),
            ("recipe", "recipe.toml", "recipe"),
            ("recipe", {"blokcs": [1]}, "recipe"),
            ("recipe", deep(60), "recipe"),
            ("recipe", {"blocks": deep(80)}, "recipe"),
            ("recipe", {"amount": 0, "magnitude": "residual", "estimator": "mean"}, "recipe.amount"),
            ("polarity", "paper", "polarity"),
            ("sampling", {"max_tokens": 99_999}, "sampling.max_tokens"),
            ("sampling", {"top_p": 0}, "sampling.top_p"),
            ("sampling", {"top_p": 0.5}, "sampling.top_p"),
            ("sampling", {"top_p": 0.5, "temperature": 0}, "sampling.top_p"),
            ("sampling", {"file": "x"}, "sampling.file"),
            ("selector", "nli", "selector"),
            ("taxonomy", "/tmp", "taxonomy"),
        )
    ),
    ({"vispa": {"mode": "steerable"}}, "vispa.toward"),
    ({"model": "vispa:steerable", "vispa": {"mode": "overton"}}, "vispa.mode"),
    ({"vispa": {"mode": "distributional", "options": ["a", "A "]}}, "vispa.options"),
    ({"vispa": {"mode": "distributional", "options": ["a"] * 27}}, "vispa.options"),
    *(
        ({"vispa": {"mode": "distributional", "weights": weights, **fields}}, f"vispa.{path}")
        for weights, fields, path in (
            ({"karma": 1}, {"values": ["honor", "benevolence"]}, "weights"),
            ({"karma": 1, "honor": 0}, {"values": ["honor"]}, "weights"),
            ({"nope": 1}, {}, "weights.nope"),
            ({"karma": 1, "No such": 1}, {}, "weights.No such"),
            ({"karma": 1}, {"k": 3}, "k"),
            ({"karma": 1}, {"threshold": 0.5}, "threshold"),
            ({"karma": 1}, {"diversity": 0.5}, "diversity"),
        )
    ),
)


def test_hostile_chats(served: Served) -> None:
    """All in one connection, each refused with the path of the field that is wrong."""
    with httpx2.Client(base_url=served.url, timeout=60) as client:
        for fields, path in CHATS:
            body = json.dumps({**CHAT, **fields})
            found = client.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
            error = found.json()["error"]
            assert found.status_code == 422, (fields, error)
            assert error["param"] is not None and (error["param"] + ".").startswith(path), (path, error)
            assert len(error["message"]) < 2_500 and "pydantic" not in found.text and "Traceback" not in found.text


@pytest.mark.parametrize(
    ("route", "body", "path"),
    [
        ("batch", {"items": [{"text": "a"}, {"text": "b", "values": ["nope"]}]}, "items.1.values"),
        ("batch", {"items": [{"text": "b", "values": ["nope"]}]}, "items.0.values"),
        ("batch", {"items": [{"text": "b", "k": 99}]}, "items.0.k"),
        ("batch", {"items": [{"text": "\u200b"}]}, "items.0.text"),
        ("batch", {"items": [{"text": "a", "mode": "distributional"}] * 2, "weights": {"nope": 1}}, "weights.nope"),
        ("respond", {"text": "a", "values": ["nope"]}, "values"),
        ("respond", {"text": "a", "mode": "distributional", "weights": {"nope": 1}}, "weights.nope"),
        ("respond", {"text": "a", "recipe": {"blocks": [True]}}, "recipe.blocks.0"),
        ("respond", {"text": "a", "recipe": {"blocks": [99], "estimator": "mean"}}, "recipe.blocks"),
        ("respond", {"text": "a", "recipe": {"amounts": {"\ud800": 1}}}, "recipe.amounts"),
        ("respond", {"text": "a", "sampling": {"max_tokens": 401}}, "sampling.max_tokens"),
        ("tokens", {"items": [{"value": "karma", "text": "a"}, {"value": "nope", "text": "a"}]}, "items.1.value"),
    ],
)
def test_a_refusal_names_a_field_as_the_body_calls_it(
    route: str, body: dict[str, Any], path: str, served: Served
) -> None:
    content = json.dumps(body)
    headers = {"Content-Type": "application/json"}
    found = httpx2.post(f"{served.url}/v1/vispa/{route}", content=content, headers=headers, timeout=60)
    error = found.json()["error"]
    assert (found.status_code, error["param"]) == (422, path) and error["message"].startswith(f"{path}: ")


def test_weights_of_a_batch_and_of_the_server_itself(pipeline: Vispa) -> None:
    asked = [Request(TEXT, mode="distributional", values=("honor",)), Request(TEXT, mode="distributional", k=4)]
    how = (Sampling(), "own")
    with pytest.raises(InputError, match=r"^weights: give none .* above 0: honor\."):
        prepared(pipeline, How(weights={"karma": 1.0}), asked, *how)
    with pytest.raises(InputError, match=r"^items\.1\.k: has no effect where weights name the values"):
        prepared(pipeline, How(weights={"karma": 1.0, "honor": 1.0}), asked, *how)
    # Callers know nothing of what a server weighs where nobody says.
    weighing = pipeline.variant()
    weighing.mixture = Mixture.given({"honor": 1.0, "karma": 3.0})
    found = prepared(weighing, How(), [*asked, Request(TEXT, k=4)], *how).requests
    assert [(one.values, one.k) for one in found] == [(("honor",), None), ((), None), ((), 4)]
    assert [one.k for one in prepared(weighing, How(weights="mean"), asked, *how).requests] == [None, 4]
    others = [Request(TEXT, mode="distributional", values=("power",))]
    with pytest.raises(InputError, match=r"^values: have no weight by this server's own weights"):
        prepared(weighing, How(), others, *how)


#: Bodies that are none, and what is answered.
RAW: tuple[tuple[bytes, int], ...] = (
    (b"", 422),
    (b"{", 400),
    (b"null", 422),
    (b"[]", 422),
    (b'"text"', 422),
    (b"\xff\xfe", 400),
    (b'{"model": "caf\xe9"}', 400),
    (b"[" * 100_000, 400),
    (b'{"a":' * 50_000, 400),
    (b'{"max_tokens": ' + b"9" * 10_000 + b"}", 400),
    (b'{"model": "vispa", "messages": ' + b"[" * 900 + b"]" * 900 + b"}", 422),
    (b"x" * (2**20 + 1), 413),
)


def test_bodies_that_are_none(served: Served) -> None:
    for body, status in RAW:
        found = httpx2.post(
            f"{served.url}/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}, timeout=60
        )
        assert found.status_code == status, (body[:40], found.text)
        assert set(found.json()["error"]) == {"message", "type", "param", "code"}
    plain = httpx2.post(f"{served.url}/v1/chat/completions", content=b"{}", headers={"Content-Type": "text/plain"})
    assert plain.status_code == 415

    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 2**15

    endless = httpx2.post(
        f"{served.url}/v1/chat/completions", content=chunks(), headers={"Content-Type": "application/json"}
    )
    assert endless.status_code == 413


def test_routes_that_are_not_there_and_headers_that_always_are(served: Served) -> None:
    for path, status in (
        ("/assets/../server.py", 404),
        ("/assets/app.py", 404),
        ("/docs", 404),
        ("/v1/../../etc/passwd", 404),
        ("/v1/vispa/respond", 405),
    ):
        found = served.get(path)
        assert found.status_code == status and found.json()["error"]["code"]
        for name in guard.SECURITY:
            assert found.headers[name]
        assert "server" not in found.headers
    assert served.get("/v1/vispa/values/%2e%2e%2f").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not_found"),
        ("POST", "/nope", 404, "not_found"),
        ("POST", "/v1/nope", 404, "not_found"),
        ("POST", "/v1/vispa/respond/", 404, "not_found"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/v1/vispa/values/karma", 405, "method_not_allowed"),
        ("GET", "/v1/vispa/values/nope", 404, "value_not_found"),
        ("GET", "/v1/vispa/values/%00", 404, "value_not_found"),
        ("GET", "/v1/models/nope", 404, "model_not_found"),
        ("POST", "/v1/vispa/respond", 415, "unsupported_media_type"),
        ("POST", "/v1/vispa/tokens", 415, "unsupported_media_type"),
    ],
)
def test_what_is_not_there_is_said_before_what_is_wrong_with_it(
    method: str, path: str, status: int, code: str, served: Served
) -> None:
    found = httpx2.request(method, served.url + path, content=b"x" if method == "POST" else None, timeout=60)
    assert (found.status_code, found.json()["error"]["code"]) == (status, code), found.text


def test_a_name_that_points_here_does_not_open_a_server_without_keys(served: Served) -> None:
    request = b"GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert served.raw(request).startswith(b"HTTP/1.1 403")
    assert served.raw(request.replace(b"evil.example", b"localhost:1")).startswith(b"HTTP/1.1 200")
    assert served.raw(b"\x16\x03\x01 no http\r\n\r\n").startswith(b"HTTP/1.1 400")


def test_keys_open_every_route_but_liveness(locked: Served) -> None:
    described = locked.get("/openapi.json", headers={"Authorization": f"Bearer {KEY}"}).json()["paths"]
    assert {"/v1/models", "/metrics", "/v1/chat/completions"} <= set(described)
    for path in {*described, "/openapi.json", "/docs", "/assets", "/assets/app.map"} - {"/health/live"}:
        for header in (
            {},
            {"Authorization": "Bearer " + "x" * 24},
            {"Authorization": KEY},
            {"Authorization": "Basic " + KEY},
        ):
            for found in (locked.get(path, headers=header), locked.post(path, {}, headers=header)):
                assert found.status_code == 401 and found.headers["www-authenticate"] == "Bearer", path
    assert locked.get("/health/live").status_code == 200
    for key in (KEY, OTHER):
        assert locked.get("/health/ready", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_the_page_needs_no_key_but_a_known_name(locked: Served, served: Served) -> None:
    for path in FILES:
        found = locked.get(path)
        assert found.status_code == 200 and found.content == (FOLDER / FILES[path][0]).read_bytes()
        assert found.headers["content-security-policy"] == POLICY and "unsafe" not in POLICY
        assert found.headers["x-content-type-options"] == "nosniff"
        assert locked.post(path, {}).status_code == 401 and served.post(path, {}).status_code == 405
    evil = b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert served.raw(evil).startswith(b"HTTP/1.1 403")


def test_pages_may_ask_from_named_origins_only(locked: Served, served: Served) -> None:
    def asked(server: Served, origin: str) -> httpx2.Response:
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            # What OpenAI's client for JavaScript sends of its own.
            "Access-Control-Request-Headers": "authorization,content-type,x-stainless-arch,x-stainless-retry-count",
        }
        return httpx2.options(f"{server.url}/v1/chat/completions", headers=headers)

    allowed = asked(locked, "https://clinic.example")
    assert allowed.status_code == 200 and "x-stainless-arch" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in allowed.headers
    assert allowed.headers["access-control-allow-origin"] == "https://clinic.example"
    assert "access-control-allow-origin" not in asked(locked, "https://evil.example").headers
    assert "access-control-allow-origin" not in asked(served, "https://clinic.example").headers


def test_keys_and_places_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no usable key") as refused:
        Keys.of(["secret"], "keys.txt")
    assert "secret" not in str(refused.value)
    monkeypatch.setenv("VISPA_API_KEYS", f" {KEY} ,{KEY}")
    (tmp_path / "keys").write_text(f"# two\n{OTHER}\n{KEY}\n")
    keys = Keys.load(tmp_path / "keys")
    assert len(keys.digests) == 2 and keys.opened_by(f"bearer {OTHER}".encode())
    assert not Keys().opened_by(b"Bearer ")
    for host in ("0.0.0.0", "::"):
        with pytest.raises(InputError, match="there is no key"):
            listening(host, 0, ServerSettings())
    listening("0.0.0.0", 0, ServerSettings(keys)).close()


def test_a_log_line_stays_one_line_and_keeps_texts_to_itself(
    locked: Served, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vispa")
    text = 'Lending\n2026 vispa: INFO forged\x1b[31m "quote'
    body = {"text": text, "k": 1, "sampling": {"max_tokens": 4}}
    assert served.post("/v1/vispa/respond", body).status_code == 200
    served.get("/v1/forged%0aline")
    wait_for(lambda: sum(" 404 " in one.getMessage() for one in caplog.records) == 1)
    assert "forged" not in caplog.text and "rows=1" in caplog.text
    caplog.clear()
    assert locked.post("/v1/vispa/respond", body, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    wait_for(lambda: "forged" in caplog.text)
    (line,) = [one.getMessage() for one in caplog.records if "forged" in one.getMessage()]
    assert "\n" not in line and "\x1b" not in line and KEY not in caplog.text


def test_figures(served: Served) -> None:
    served.post("/v1/vispa/respond", {"text": TEXT, "values": ["karma"], "stream": True, "sampling": {"max_tokens": 4}})
    served.get("/nothing/here")
    page = served.get("/metrics").text
    assert 'vispa_values_total{value="karma"}' in page and "vispa_first_token_seconds_count" in page
    assert 'vispa_requests_total{route="-",status="404"}' in page and "nothing" not in page
    assert 'route="/v1/vispa/respond",status="200"' in page and "vispa_requests_running 0.0" in page


def test_who_goes_lets_the_work_go(served: Served) -> None:
    with slowed(0.2):
        with httpx2.stream("POST", f"{served.url}/v1/vispa/respond", json=LONG, timeout=60) as found:
            assert next(found.iter_lines()) == "event: selection"
            assert served.service.running == 1
        wait_for(lambda: served.service.running == 0)
        body = json.dumps({**LONG, "stream": False}).encode()
        head = "POST /v1/vispa/respond HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", served.port)) as place:
            place.sendall(head.encode() + body)
            wait_for(lambda: served.service.running == 1)
        wait_for(lambda: served.service.running == 0)
    assert served.post("/v1/vispa/respond", {"text": TEXT, "k": 1, "sampling": {"max_tokens": 4}}).status_code == 200


def test_more_than_it_can_take_is_sent_away(pipeline: Vispa) -> None:
    selector = Held(pipeline.selector)
    small = started(lambda: pipeline.variant(selector=selector), concurrency=1, timeout=1)
    try:
        selector.free.clear()
        with httpx2.stream("POST", f"{small.url}/v1/vispa/respond", json=LONG, timeout=60) as found:
            refused = small.post("/v1/vispa/select", {"text": TEXT})
            assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 0
            assert refused.json()["error"]["type"] == "rate_limit_error"
            assert small.get("/health/ready").status_code == 200
            # What takes too long is told so in the stream.
            assert '"code": "timeout"' in found.read().decode()
        selector.free.set()
        wait_for(lambda: small.service.running == 0)
        selector.free.clear()
        assert small.post("/v1/vispa/select", {"text": TEXT}).status_code == 504
    finally:
        selector.free.set()
        small.stop()


def test_it_is_ready_once_the_model_is_warm_and_drains(pipeline: Vispa) -> None:
    go, selector = threading.Event(), Held(pipeline.selector)

    def load() -> Vispa:
        go.wait(30)
        return pipeline.variant(selector=selector)

    served = started(load, ready=False, drain_seconds=60)
    assert served.get("/health/live").status_code == 200
    for found in (served.get("/health/ready"), served.post("/v1/chat/completions", CHAT)):
        assert found.status_code == 503 and found.json()["error"]["code"] == "starting" and found.headers["retry-after"]
    go.set()
    wait_for(lambda: served.get("/health/ready").status_code == 200)
    selector.free.clear()
    with httpx2.stream("POST", f"{served.url}/v1/vispa/respond", json={**LONG, "k": 2}, timeout=60) as running:
        served.server.handle_exit(signal.SIGTERM, None)
        assert served.get("/health/ready").status_code == 503
        assert served.post("/v1/chat/completions", CHAT).json()["error"]["code"] == "draining"
        selector.free.set()
        lines = [line for line in running.iter_lines() if line]
        assert lines[-1] == "data: [DONE]" and lines[-3] == "event: response"
    served.thread.join(30)
    assert not served.thread.is_alive() and not served.server.is_interrupted


def test_a_model_that_cannot_be_loaded_ends_the_server() -> None:
    def load() -> Vispa:
        raise InputError("model", "is not there.", "Name another.")

    served = started(load, ready=False)
    served.thread.join(30)
    assert not served.thread.is_alive() and isinstance(served.service.fault, InputError)


def test_a_signal_ends_the_process(tmp_path: Path) -> None:
    code = """
    import sys
    from served import embedded_pipeline
    from vispa.cli.setup import Setup
    from vispa.cli import main
    Setup.load = lambda self, *_: embedded_pipeline()
    sys.argv = ["vispa", "serve", "--port", "0"]
    main.main()
    """
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "ready" in line:
                break
        port = int(lines[0].rpartition(":")[2])
        assert httpx2.get(f"http://127.0.0.1:{port}/health/ready").json() == {"status": "ready", "model": "embedded"}
        process.send_signal(signal.SIGTERM)
        lines += process.stderr.readlines()
        assert process.wait(30) == 0 and "Traceback" not in "".join(lines), lines
        assert lines[0].startswith("vispa: listening at http://127.0.0.1:")


def test_a_fault_of_the_engine_is_told_and_outlived(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"text": TEXT, "k": 2, "sampling": {"max_tokens": 8}}

    def broken(_: object) -> None:
        raise RuntimeError("no memory for " + TEXT)

    with monkeypatch.context() as patch:
        patch.setattr("vispa.generation.running.RunningBatch.step", broken)
        found = served.post("/v1/vispa/respond", body)
    assert found.status_code == 503 and found.json()["error"]["code"] == "engine_restarted"
    assert "vispa_engine_faults 1.0" in served.get("/metrics").text
    assert served.post("/v1/vispa/respond", body).status_code == 200


def test_a_fault_of_ours_is_told_without_its_words(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("about " + TEXT)

    with monkeypatch.context() as patch:
        patch.setattr("vispa.selection.choosing.Chooser.select", broken)
        found = served.post("/v1/vispa/respond", {"text": TEXT})
    assert found.status_code == 500 and found.json()["error"]["code"] == "internal_error"
    assert TEXT not in found.text and "fault: RuntimeError at broken" in caplog.text and TEXT not in caplog.text


def test_what_the_api_of_a_reader_does_is_not_the_client_s_fault(
    pipeline: Vispa, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    body = {"text": TEXT, "k": 2, "sampling": {"max_tokens": 8}}
    replies = {"down": failed(500), "garbled": Reply(b"<html>"), "refuses": failed(400), "key": failed(401)}
    replies["good"] = said("Some say that one may lie.")
    now = ["good"]
    with FakeApi(lambda *_: replies[now[-1]]) as api:
        reader = ApiChat("m", base_url=api.url, retries=0)
        written = pipeline.variant()
        written.write_with(reader)
        served = started(lambda: written)
        try:
            for name in ("down", "garbled", "refuses", "key"):
                now.append(name)
                found = served.post("/v1/vispa/respond", body)
                error = found.json()["error"]
                assert found.status_code == 502 and error["type"] == "server_error", (name, error)
                assert error["code"] == ("reader_refused" if name == "key" else "reader_failed")
                assert error["param"] is None and KEY not in found.text and TEXT not in caplog.text
            now.append("down")
            (item,) = served.post("/v1/vispa/batch", {"items": [{"text": TEXT}], "sampling": {"max_tokens": 4}}).json()[
                "items"
            ]
            assert "500" in item["error"]
        finally:
            served.stop()


def test_the_api_of_a_reader_may_come_later_than_the_server(
    pipeline: Vispa, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    body = {"text": TEXT, "k": 2, "sampling": {"max_tokens": 8}}
    with FakeApi(lambda *_: said("Some say that one may lie.")) as api:
        written = pipeline.variant()
        written.write_with(ApiChat("m", base_url="http://127.0.0.1:9/v1", retries=0))
        served = started(lambda: written)
        try:
            wait_for(lambda: "gives no answer" in caplog.text)
            found = served.post("/v1/vispa/respond", body)
            assert found.status_code == 502 and "no connection" in found.json()["error"]["message"], found.text
            # Comments need no reader.
            assert served.post("/v1/vispa/unsteered", {"text": TEXT, "sampling": {"max_tokens": 4}}).status_code == 200
            written.write_with(ApiChat("m", base_url=api.url, retries=0))
            assert served.post("/v1/vispa/respond", body).status_code == 200
        finally:
            served.stop()
    assert caplog.text.count("gives no answer") == 1 and TEXT not in caplog.text


def test_an_api_that_refuses_the_server_for_ever_ends_it(pipeline: Vispa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FakeApi(lambda *_: failed(401)) as api:
        written = pipeline.variant()
        written.write_with(ApiChat("m", base_url=api.url, retries=0))
        served = started(lambda: written)
        wait_for(lambda: served.service.state == "failed")
        served.thread.join(30)
        assert not served.thread.is_alive() and isinstance(served.service.fault, InputError)
