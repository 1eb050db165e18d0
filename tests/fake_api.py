"""A local server that speaks just enough of the chat API, and misbehaves on demand."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    """What the server sends: after `delay` seconds; only half of the body where `drop` is set."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False


def completion(text: str | None, *, logprobs: Any = None, finish_reason: str = "stop", **message: Any) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": finish_reason,
        "logprobs": logprobs,
    }
    return json.dumps({"id": "1", "object": "chat.completion", "created": 0, "choices": [choice]}).encode()


def said(text: str, delay: float = 0.0) -> Reply:
    return Reply(completion(text), delay=delay)


def weighed(probabilities: Mapping[str, float]) -> Reply:
    """A reply whose first token had these probabilities."""
    top = [{"token": t, "logprob": math.log(p) if p else -9999.0, "bytes": None} for t, p in probabilities.items()]
    best = max(top, key=lambda entry: entry["logprob"])
    return Reply(completion(best["token"], logprobs={"content": [{**best, "top_logprobs": top}]}))


def failed(status: int, message: str = "boom", **headers: str) -> Reply:
    body = json.dumps({"error": {"message": message, "type": "test"}}).encode()
    return Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


class FakeApi:
    """Runs in a thread on a free port of this machine while its `with` block lasts.

    Args:
        answer: gives the reply from the prompt and the number of earlier requests with that prompt.
    """

    def __init__(self, answer: Callable[[str, int], Reply]) -> None:
        self._answer = answer
        self._lock, self._closing = Lock(), Event()
        self._seen: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.authorizations: set[str | None] = set()
        self.running = self.most_running = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def tries(self, prompt: str) -> int:
        return self._seen[prompt]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                prompt = request["messages"][-1]["content"]
                with api._lock:
                    earlier = api._seen[prompt]
                    api._seen[prompt] += 1
                    api.requests.append({"path": self.path, **request})
                    api.authorizations.add(self.headers["Authorization"])
                    api.running += 1
                    api.most_running = max(api.most_running, api.running)
                try:
                    self._send(api._answer(prompt, earlier))
                except OSError:
                    # The client gave up waiting.
                    self.close_connection = True
                finally:
                    with api._lock:
                        api.running -= 1

            def _send(self, reply: Reply) -> None:
                api._closing.wait(reply.delay)
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                if reply.drop:
                    self.wfile.write(reply.body[: len(reply.body) // 2])
                    self.close_connection = True
                else:
                    self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                """Keep the test's output clean."""

        return Handler
