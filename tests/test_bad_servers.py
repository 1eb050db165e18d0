"""A server that hangs, drips, bursts or lies holds nobody up and fills no memory; one that is choosy is humoured."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any

import pytest
from fake_api import Reply, completion, failed, said, weighed
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.errors import InputError
from vispa.readers.api import ApiChat
from vispa.readers.base import Failure, Unweighable
from vispa.readers.parameters import Accepted, check_parameters
from vispa.readers.transport import LONGEST_REPLY

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class RawServer:
    """Reads a request and lets a function write whatever it likes to the socket."""

    def __init__(self, script: Callable[[socket.socket, Event], None]) -> None:
        self._script, self.closing = script, Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.requests: list[bytes] = []
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                Thread(target=self._answer, args=[self._socket.accept()[0]], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            request = b""
            while b"messages" not in request:
                request += connection.recv(65536)
            self.requests.append(request)
            self._script(connection, self.closing)

    def close(self) -> None:
        self.closing.set()
        self._socket.close()


@pytest.fixture
def raw() -> Iterator[Callable[[Callable[[socket.socket, Event], None]], RawServer]]:
    started: list[RawServer] = []

    def start(script: Callable[[socket.socket, Event], None]) -> RawServer:
        started.append(RawServer(script))
        return started[-1]

    yield start
    for server in started:
        server.close()


def drip(text: bytes, pause: float = 0.05) -> Callable[[socket.socket, Event], None]:
    """Sends the head of a text at once up to a `|`, and the rest for ever, byte by byte."""

    def script(connection: socket.socket, closing: Event) -> None:
        head, _, rest = text.partition(b"|")
        connection.sendall(head)
        while not closing.wait(pause):
            connection.sendall(rest[:1])
            rest = rest[1:] + rest[:1]

    return script


def hang(connection: socket.socket, closing: Event) -> None:
    closing.wait(30)


def flood(connection: socket.socket, closing: Event) -> None:
    connection.sendall(HEAD + b"Content-Length: 200000000\r\n\r\n")
    for _ in range(200):
        connection.sendall(b" " * 1_000_000)


def endless(connection: socket.socket, closing: Event) -> None:
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while not closing.is_set():
        connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")


def bomb(connection: socket.socket, closing: Event) -> None:
    packed = gzip.compress(b" " * 200_000_000, 9)
    connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)


def half(connection: socket.socket, closing: Event) -> None:
    body = completion("whole")
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[:20])


def failing_flood(connection: socket.socket, closing: Event) -> None:
    connection.sendall(b"HTTP/1.1 500 Broken\r\nContent-Length: 200000000\r\n\r\n")
    for _ in range(200):
        connection.sendall(b"x" * 1_000_000)


# ---------------------------------------------------------------- time and room


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (hang, "0.4 s"),
        (drip(b"|HTTP/1.1 200 OK"), "0.4 s"),
        (drip(b"HTTP/1.1 200 OK\r\n|X-A: b\r\n"), "0.4 s"),
        (drip(HEAD + b"Content-Length: 100000\r\n\r\n| "), "0.4 s"),
        (drip(b"|HTTP/1.1 100 Continue\r\n\r\n", 0.0001), "0.4 s"),
        (drip(b"HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\n|b"), "0.4 s"),
        (flood, "8 MiB"),
        (endless, "8 MiB"),
        (bomb, "8 MiB"),
        (failing_flood, "8 MiB"),
        (half, "broke"),
    ],
)
def test_a_bad_server_ends_in_time(raw: Any, script: Any, words: str) -> None:
    timeout = 0.4 if words == "0.4 s" else 10.0
    chat = ApiChat("m", base_url=raw(script).url, timeout=timeout, retries=2, backoff=0)
    started = time.monotonic()
    found = chat.write(["x"])
    assert isinstance(found[0], Failure) and words in found[0].reason
    # All tries together take twice the time of one.
    assert time.monotonic() - started < (1.6 if words == "0.4 s" else 8)


def test_a_compressed_reply_is_read(raw: Any) -> None:
    def script(connection: socket.socket, closing: Event) -> None:
        packed = gzip.compress(completion("whole"))
        connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)

    server = raw(script)
    assert ApiChat("m", base_url=server.url).write(["x"]) == ["whole"]
    assert b"accept-encoding: gzip\r\n" in server.requests[0].lower()


@pytest.mark.parametrize(
    ("encoding", "words"), [(b"br", "not asked for"), (b"gzip", "damaged"), (b"gzip, gzip", "not asked")]
)
def test_other_compression_is_refused(raw: Any, encoding: bytes, words: str) -> None:
    head = HEAD + b"Content-Encoding: " + encoding + b"\r\nContent-Length: 4\r\n\r\nabcd"
    found = ApiChat("m", base_url=raw(lambda connection, _: connection.sendall(head)).url).write(["x"])
    assert isinstance(found[0], Failure) and words in found[0].reason


def test_a_reply_just_within_the_limit_is_read(serve: Any) -> None:
    text = "x" * (LONGEST_REPLY - 2000)
    api = serve(lambda *_: said(text))
    assert ApiChat("m", base_url=api.url).write(["x"]) == [text]


def test_a_slow_but_honest_server_is_waited_for(serve: Any) -> None:
    api = serve(lambda *_: said("late", 0.6))
    assert ApiChat("m", base_url=api.url, timeout=5).write(["x"]) == ["late"]


# ---------------------------------------------------------------- Ctrl-C

_WAITING = """
import signal, sys
# A parent that runs in the background ignores interrupts, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
from vispa.readers.api import ApiChat
chat = ApiChat("m", base_url=sys.argv[1], timeout=50, concurrency=4)
try:
    chat.write(["x"] * 20)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_interrupting_ends_at_once(raw: Any) -> None:
    server = raw(hang)
    process = subprocess.Popen([sys.executable, "-c", _WAITING, server.url], stdout=subprocess.PIPE, env=os.environ)
    ends = time.monotonic() + 60
    while not server.requests and time.monotonic() < ends:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    output, _ = process.communicate(timeout=10)
    assert time.monotonic() - started < 1.5 and process.returncode == 0 and output == b"interrupted\n"


# ---------------------------------------------------------------- elsewhere


def _redirect(status: int, target: str) -> Reply:
    return Reply(b"", status, {"Location": target})


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_elsewhere_is_not_followed(serve: Any, status: int) -> None:
    other = serve(lambda *_: said("stolen"))
    api = serve(lambda *_: _redirect(status, f"{other.url}/chat/completions"))
    with pytest.raises(InputError, match=r"redirects to http://127\.0\.0\.1:") as caught:
        ApiChat("m", base_url=api.url).write(["x"])
    assert caught.value.field == "base_url" and "sk-secret" not in str(caught.value)
    assert other.requests == [] and other.authorizations == set()


@pytest.mark.parametrize(
    "target", ["https://127.0.0.1:{port}/v1", "http://localhost:{port}/v1", "//evil.example/\x1b[31m"]
)
def test_another_scheme_or_name_is_elsewhere(serve: Any, target: str) -> None:
    api = serve(lambda *_: _redirect(307, target.format(port=api.url.split(":")[2].split("/")[0])))
    with pytest.raises(InputError, match="redirects") as caught:
        ApiChat("m", base_url=api.url).write(["x"])
    assert str(caught.value).isprintable()


def test_a_redirect_within_the_server_is_followed(serve: Any) -> None:
    api = serve(lambda _, earlier: said("here") if earlier else _redirect(307, "/v1/other"))
    assert ApiChat("m", base_url=api.url).write(["x"]) == ["here"]
    assert [request["path"] for request in api.requests] == ["/v1/chat/completions", "/v1/other"]


def test_a_redirect_in_a_circle_ends(serve: Any) -> None:
    api = serve(lambda *_: _redirect(307, "/v1/chat/completions"))
    found = ApiChat("m", base_url=api.url, retries=0).write(["x"])
    assert isinstance(found[0], Failure)


def test_a_server_without_tls_is_said_to_be_one(serve: Any) -> None:
    api = serve(lambda *_: said("x"))
    with pytest.raises(InputError, match="does not speak TLS"):
        ApiChat("m", base_url=api.url.replace("http:", "https:")).write(["x"])


def test_a_certificate_error_is_called_that(tmp_path: Any) -> None:
    import ssl
    from http.server import BaseHTTPRequestHandler, HTTPServer

    path = tmp_path / "own.pem"
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", path, "-out", f"{path}.crt"),
        ],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("openssl cannot make a certificate here")
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{path}.crt", path)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(InputError, match="certificate that cannot be trusted"):
            ApiChat("m", base_url=f"https://127.0.0.1:{server.server_port}/v1").write(["x"])
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("words", ["\x1b]0;owned\x07red", "a\x9b31mb", "x\r\ny\x00", "\u202egnp.exe"])
@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_errors_reach_the_terminal_as_plain_text(serve: Any, words: str, status: int) -> None:
    api = serve(lambda *_: failed(status, words))
    try:
        found = ApiChat("m", base_url=api.url, retries=0).write(["x"])[0]
        shown = found.reason if isinstance(found, Failure) else ""
    except InputError as error:
        shown = str(error)
    assert shown and shown.isprintable()


@pytest.mark.parametrize(
    "value", ["soon", "-5", "nan", "inf", "1e9", "99999999999999999999", "", "5 minutes", "Fri, 99"]
)
def test_a_malformed_retry_after_is_ignored(serve: Any, value: str) -> None:
    api = serve(lambda _, earlier: said("ok") if earlier else failed(429, "slow", Retry_After=value))
    started = time.monotonic()
    assert ApiChat("m", base_url=api.url, backoff=0.01).write(["x"]) == ["ok"]
    assert time.monotonic() - started < 2


# ---------------------------------------------------------------- choosy servers


def refused(message: str, param: str | None = None, status: int = 400) -> Reply:
    body = json.dumps({"error": {"message": message, "param": param, "code": "unsupported_parameter"}})
    return Reply(body.encode(), status)


def choosy(request: dict[str, Any], refuses: dict[str, Reply]) -> Reply | None:
    return next((reply for name, reply in refuses.items() if name in request), None)


LIMIT = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
HOT = "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."


def test_refused_parameters_are_changed_once_and_remembered(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    refuses = {"max_tokens": refused(LIMIT, "max_tokens"), "temperature": refused(HOT, "temperature")}
    api = serve(lambda *_: choosy(api.requests[-1], refuses) or said("fine"))
    chat = ApiChat("m", base_url=api.url, concurrency=1)
    assert chat.write(["a", "b", "c"], max_new_tokens=44) == ["fine"] * 3
    assert [api.tries(prompt) for prompt in "abc"] == [3, 1, 1]
    last = api.requests[-1]
    assert last["max_completion_tokens"] == 44 and "max_tokens" not in last and "temperature" not in last
    assert "max_completion_tokens" in caplog.text and "temperature" in caplog.text


def test_many_threads_learn_the_same(serve: Any) -> None:
    refuses = {"max_tokens": refused(LIMIT), "temperature": refused(HOT)}

    def answer(prompt: str, _: int) -> Reply:
        mine = [one for one in api.requests if one["messages"][0]["content"] == prompt][-1]
        return choosy(mine, refuses) or said(prompt)

    api = serve(answer)
    prompts = [str(number) for number in range(40)]
    assert ApiChat("m", base_url=api.url).write(prompts) == prompts
    assert len(api.requests) < 80


@pytest.mark.parametrize(
    ("message", "param", "asked"),
    [
        ("Invalid value: integer above maximum value. Expected a value <= 5, but got 20 instead.", "top_logprobs", 5),
        ("top_logprobs must be between 0 and 5", None, 5),
        ("Requested sample logprobs of 20, which is greater than max allowed: 7", None, 7),
        ("top_logprobs is too high for gpt-9.1-mini", None, 5),
    ],
)
def test_fewer_likely_tokens_are_asked_for(serve: Any, message: str, param: str | None, asked: int) -> None:
    def answer(*_: object) -> Reply:
        return refused(message, param) if api.requests[-1]["top_logprobs"] > asked else weighed({"A": 0.8, "B": 0.2})

    api = serve(answer)
    chat = ApiChat("m", base_url=api.url, concurrency=1)
    found = chat.option_probabilities(["x", "y"], [2, 2])
    assert [one.tolist() for one in found] == [pytest.approx([0.8, 0.2])] * 2  # type: ignore[union-attr]
    assert [request["top_logprobs"] for request in api.requests] == [20, asked, asked]


def test_a_server_that_refuses_logprobs_is_asked_once(serve: Any) -> None:
    api = serve(
        lambda *_: (
            refused("logprobs are not supported with reasoning models.", "logprobs")
            if "logprobs" in api.requests[-1]
            else said("B")
        )
    )
    chat = ApiChat("m", base_url=api.url, concurrency=1)
    found = chat.option_probabilities(["x", "y", "z"], [2, 2, 1])
    assert isinstance(found[0], Unweighable) and "reasoning models" in found[0].reason
    assert isinstance(found[1], Unweighable) and not isinstance(found[2], Failure)
    assert len(api.requests) == 1
    assert chat.write(["x"]) == ["B"]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("max_tokens is too large: 9000. This model supports at most 4096 tokens.", "max_tokens"),
        ("This model's maximum context length is 8192 tokens.", None),
        ("Invalid value for 'reasoning_effort'.", "reasoning_effort"),
        ("The image is too large.", "messages"),
    ],
)
def test_other_refusals_are_reported_as_they_are(serve: Any, message: str, param: str | None) -> None:
    api = serve(lambda *_: refused(message, param))
    found = ApiChat("m", base_url=api.url).write(["x"])[0]
    assert isinstance(found, Failure) and message.rstrip(".")[:60] in found.reason and len(api.requests) == 1


def test_what_stays_refused_is_reported_with_the_true_reason(serve: Any) -> None:
    def answer(*_: object) -> Reply:
        return refused(LIMIT, "max_tokens") if "max_tokens" in api.requests[-1] else refused("Context of 10 is full.")

    api = serve(answer)
    found = ApiChat("m", base_url=api.url).write(["x"])[0]
    assert isinstance(found, Failure) and "Context of 10 is full" in found.reason and len(api.requests) == 2


def test_details_of_other_servers_are_read(serve: Any) -> None:
    detail = json.dumps({"detail": [{"loc": ["body", "max_tokens"], "msg": "Extra inputs are not permitted"}]}).encode()
    api = serve(lambda *_: Reply(detail, 422) if "max_tokens" in api.requests[-1] else said("fine"))
    assert ApiChat("m", base_url=api.url).write(["x"]) == ["fine"]


# ---------------------------------------------------------------- the user's own parameters


def test_own_parameters_are_sent_and_recorded(serve: Any) -> None:
    api = serve(lambda *_: weighed({"A": 1.0}) if "logprobs" in api.requests[-1] else said("fine"))
    own = {"reasoning_effort": "low", "temperature": 0.7, "max_completion_tokens": 900, "top_k": 3}
    chat = ApiChat("m", base_url=api.url, parameters=own)
    assert chat.write(["x"]) == ["fine"] and chat.name == f"m {json.dumps(own)}"
    sent = {name: value for name, value in api.requests[-1].items() if name not in ("path", "messages", "model")}
    assert sent == own
    chat.option_probabilities(["x"], [2])
    assert api.requests[-1]["max_completion_tokens"] == 1 and api.requests[-1]["temperature"] == 0.7
    assert api.requests[-1]["model"] == "m"


def test_an_own_parameter_is_the_users_to_change(serve: Any) -> None:
    api = serve(lambda *_: refused(HOT, "temperature"))
    found = ApiChat("m", base_url=api.url, parameters={"temperature": 0}).write(["x"])[0]
    assert isinstance(found, Failure) and "temperature" in found.reason and len(api.requests) == 1


@pytest.mark.parametrize(
    "given",
    [
        [],
        "low",
        {"model": "other"},
        {"messages": []},
        {"stream": True},
        {"n": 3},
        {"logprobs": False},
        {"": 1},
        {"two words": 1},
        {"max_tokens": 1, "max_completion_tokens": 1},
        {"a": float("nan")},
        {"a": object()},
        {"a": "x" * 20_000},
        {1: 2},
    ],
)
def test_impossible_parameters_are_refused(given: Any) -> None:
    with pytest.raises(InputError, match="parameters"):
        check_parameters(given)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["--api-parameters", "low"], "--api-parameters"),
        (["--api-parameters", '{"model": "x"}'], "--api-parameters"),
        (["--api-parameters", "[1]"], "--api-parameters"),
        (["--api-parameters", '{"a": NaN}'], "--api-parameters"),
        (["--api-timeout", "0"], "--api-timeout"),
        (["--api-timeout", "nan"], "--api-timeout"),
        (["--api-timeout", "-3"], "--api-timeout"),
    ],
)
def test_the_command_line_refuses_them_too(options: list[str], field: str) -> None:
    found = CliRunner().invoke(app, ["respond", "Baking bread", "--aggregator", "api:m", *options])
    assert isinstance(found.exception, InputError) and found.exception.field.startswith(field)


def test_every_parameter_changes_at_most_a_few_times() -> None:
    accepted, steps = Accepted(), 0
    while later := accepted.after_refusal("", "unsupported max_tokens temperature top_logprobs", {}, weighing=True):
        accepted, steps = later, steps + 1
    assert accepted == Accepted("max_completion_tokens", False, 0) and steps == 4
