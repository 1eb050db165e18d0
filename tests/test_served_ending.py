"""How a server's process ends when something holds its work up."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from served import TEXT, wait_for

from vispa.live.calls import Call, StoppedError
from vispa.live.tasks import Watch

#: `vispa serve`, of which one thing never comes to its end.
CODE = """
import sys, threading
from served import embedded_pipeline
from vispa.cli.setup import Setup
from vispa.cli import main
from vispa.selection.choosing import Chooser
from vispa.serving.service import Service
from vispa.steering.pointing import TokenReader
Setup.load = lambda self, *_: embedded_pipeline()

def held():
    print("held", file=sys.stderr, flush=True)
    threading.Event().wait()

def holding(function):
    def held_or_not(*given, **named):
        # What warms the server up goes on.
        return held() if threading.current_thread().name.startswith("vispa-serve") else function(*given, **named)
    return held_or_not

what, *options = sys.argv[1:]
TokenReader.read, Chooser.select = holding(TokenReader.read), holding(Chooser.select)
if what == "loop":
    Service.quick = lambda *_: held()
sys.argv = ["vispa", "serve", "--port", "0", *options]
main.main()
"""
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "reading": ("/v1/vispa/tokens", {"items": [{"value": "karma", "text": TEXT}]}),
    "selecting": ("/v1/vispa/respond", {"text": TEXT}),
    # The thread of the loop itself.
    "loop": ("/v1/vispa/respond", {"text": TEXT}),
}


class Held:
    """A server that runs, and a client that waits for what does not come.

    Attributes:
        process: of the operating system.
        lines: that it has written so far.
        client: where its answer would come.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.lines = process, list[str]()
        self.client = socket.socket()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def ask(self, what: str) -> None:
        wait_for(lambda: "ready: " in self.log or self.process.poll() is not None, 120)
        port = int(re.search(r"listening at \S+:(\d+)", self.log)[1])  # type: ignore[index]
        path, body = ASKED[what]
        content = json.dumps(body).encode()
        self.client.settimeout(60)
        self.client.connect(("127.0.0.1", port))
        head = f"POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
        self.client.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + content)
        wait_for(lambda: "\nheld\n" in self.log)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)


@contextmanager
def held(what: str, *options: str) -> Iterator[Held]:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", CODE, what, *options]
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        found = Held(process)
        try:
            with closing(found.client):
                found.ask(what)
                yield found
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("what", "number", "code"),
    [("reading", signal.SIGTERM, 143), ("selecting", signal.SIGINT, 130), ("loop", signal.SIGTERM, 143)],
)
def test_a_second_signal_ends_the_process_whatever_holds_it_up(what: str, number: int, code: int) -> None:
    with held(what, "--drain-seconds", "600") as server:
        server.process.send_signal(number)
        wait_for(lambda: "draining" in server.log)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(0.5)
        server.process.send_signal(number)
        assert server.process.wait(5) == code
        assert "Traceback" not in server.log, server.log


@pytest.mark.parametrize(
    ("what", "number", "code", "goes"),
    [
        ("reading", signal.SIGTERM, 0, True),
        ("selecting", signal.SIGINT, 130, False),
    ],
)
def test_what_is_held_up_is_given_up_once_the_time_to_drain_is_up(
    what: str, number: int, code: int, *, goes: bool
) -> None:
    with held(what, "--drain-seconds", "0") as server:
        if goes:
            server.client.close()
            wait_for(lambda: " 400 " in server.log)
        server.process.send_signal(number)
        if not goes:
            reply = b""
            while part := server.client.recv(2**16):
                reply += part
            assert reply.startswith(b"HTTP/1.1 503") and b'"code":"stopped"' in reply, reply
        assert server.process.wait(20) == code
        assert "requests have not stopped: 1" in server.log and "Traceback" not in server.log, server.log


def test_who_waits_for_what_is_given_up_goes_at_once() -> None:
    free = threading.Event()

    def work(call: Call) -> str:
        free.wait(60)
        return "too late"

    async def given_up() -> None:
        watch = Watch(work)
        watch.give_up()
        assert await watch.event(5) is None and watch.call.is_stopped and watch.is_working
        with pytest.raises(StoppedError):
            await watch.result()
        free.set()
        while watch.is_working:
            await asyncio.sleep(0.01)
        with pytest.raises(StoppedError):
            await watch.result()

    asyncio.run(asyncio.wait_for(given_up(), 60))
