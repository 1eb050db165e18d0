"""An image of the Containerfile, built and run: `VISPA_TEST_IMAGE=vispa pytest tests/test_container_run.py`.

VISPA_TEST_CONTAINERS is the command of the engine, such as `podman --runtime runc`; by default podman or docker.
VISPA_TEST_RUN holds further options of its `run`.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from typing import Any

import pytest

IMAGE = os.environ.get("VISPA_TEST_IMAGE")
pytestmark = pytest.mark.skipif(IMAGE is None, reason="VISPA_TEST_IMAGE names no image")

KEY = "a-key-of-this-test-alone"
#: The options with which docs/serving.md runs it, but for the port.
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges")
PATIENCE = 180.0


def engine() -> list[str]:
    found = next((name for name in ("podman", "docker") if shutil.which(name)), "podman")
    return shlex.split(os.environ.get("VISPA_TEST_CONTAINERS", found))


def running(*options: str) -> list[str]:
    return [*engine(), "run", *HARDENED, *shlex.split(os.environ.get("VISPA_TEST_RUN", "")), *options, str(IMAGE)]


def asked(port: int, method: str, path: str, body: Any = None, key: str | None = KEY) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read() or b"null")
    finally:
        connection.close()


def told(*command: str) -> str:
    return subprocess.run([*engine(), *command], check=True, capture_output=True, text=True, timeout=PATIENCE).stdout


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, int]]:
    """A container that is ready: its name and its port here."""
    environment = {**os.environ, "VISPA_API_KEYS": KEY}
    command = running("--detach", "--publish", "127.0.0.1::8000", "--env", "VISPA_API_KEYS")
    started = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=PATIENCE)
    name = started.stdout.split()[-1]
    try:
        port, until = int(told("port", name, "8000").rpartition(":")[2]), time.monotonic() + PATIENCE
        while not _is_ready(port):
            assert time.monotonic() < until, told("logs", name)
            time.sleep(0.5)
        yield name, port
    finally:
        told("rm", "--force", name)


def _is_ready(port: int) -> bool:
    try:
        return asked(port, "GET", "/health/ready")[0] == 200
    except (OSError, HTTPException):
        return False


@pytest.mark.parametrize("keys", [(), ("--env", "VISPA_API_KEYS=")])
def test_without_a_key_it_ends_and_says_so(keys: tuple[str, ...]) -> None:
    done = subprocess.run(running("--rm", *keys), capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2 and "there is no key" in done.stdout + done.stderr


def test_its_key_counts_but_for_liveness(served: tuple[str, int]) -> None:
    _, port = served
    assert asked(port, "GET", "/health/live", key=None)[0] == 200
    assert [asked(port, "GET", "/v1/models", key=key)[0] for key in (None, "another", KEY)] == [401, 401, 200]


@pytest.mark.parametrize(
    "fields", [{}, {"mode": "steerable", "toward": "benevolence"}, {"mode": "distributional", "options": ["Yes", "No"]}]
)
def test_it_answers_in_every_mode(served: tuple[str, int], fields: dict[str, Any]) -> None:
    body = {"text": "Telling a friend a comforting lie", "k": 2, "sampling": {"max_tokens": 8}, **fields}
    status, answer = asked(served[1], "POST", "/v1/vispa/respond", body)
    assert status == 200 and all(comment["text"] for comment in answer["comments"]) and answer["comments"]


def test_it_runs_as_nobody_in_particular_and_writes_nothing_beside_its_tmp(served: tuple[str, int]) -> None:
    name, _ = served
    assert told("exec", name, "id", "-u").strip() != "0"
    wrote = subprocess.run([*engine(), "exec", name, "touch", "/opt/vispa/mark"], capture_output=True, timeout=PATIENCE)
    assert wrote.returncode != 0


def test_it_drains_when_it_is_stopped(served: tuple[str, int]) -> None:
    name, _ = served
    told("stop", "--time", "40", name)
    assert told("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "0"
    logs = subprocess.run([*engine(), "logs", name], capture_output=True, text=True, timeout=PATIENCE)
    assert "draining" in logs.stdout + logs.stderr
