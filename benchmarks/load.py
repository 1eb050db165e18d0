"""A server under load: what its clients wait for, against one client alone and against one offline batch.

    python -m benchmarks.load [--model embedded] [--clients 64] [--seconds 40] [--rounds 3] [--requests 128] [--k 2]
                              [--tokens 48] [--dtype auto]

`vispa serve` runs in a process of its own. One client asks 20 requests, each when it has the answer before. Then,
in each round, the offline side answers all requests with one `respond_many`, and some of them with one a group of
as many as there are clients: a small batch writes fewer tokens a second on any server, and clients who wait for an
answer never have more in work at once; and all clients ask for the time given, which begins when each of them has
had an answer and ends before any of them stops, in an order of their own. Ratios are taken within a round, and
printed as median (lowest..highest).

All answers are streams. The time to a first token is that from the request to the first piece of a comment. Every
answer is compared with that of the offline batch. Tokens a second of processor time count the server's process
alone, so that they can be compared where other programs run too; threads that wait by turning count there, and the
server's sleep: `OMP_WAIT_POLICY=PASSIVE` lets those of the offline side sleep as well.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import itertools
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import Spread, machine_facts
from vispa.pipeline import Vispa
from vispa.records import OvertonResponse
from vispa.request import Request

SITUATIONS = Path(__file__).parent / "data" / "unseen_situations.csv"
_ALONE = 20
# Groups that are answered one after the other.
_GROUPS = 4
_COMMENT, _ANSWER = b"event: comment\n", b"event: response\ndata: "


@dataclass
class Seen:
    """What clients saw.

    Attributes:
        first: seconds to the first token of each answer.
        whole: seconds to the whole of each answer.
        tokens: of all comments.
        wrong: answers that are not those of the offline batch.
        lost: requests without an answer, and what came instead.
    """

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    tokens: int = 0
    wrong: int = 0
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Offline:
    """The answers of one offline batch.

    Attributes:
        texts: of the requests.
        answers: response and comments of each.
    """

    texts: tuple[str, ...]
    answers: tuple[tuple[Any, ...], ...]


class Speed(NamedTuple):
    """Tokens of comments.

    Attributes:
        wall: a second.
        cpu: a second of processor time.
    """

    wall: float
    cpu: float


def situations(count: int) -> list[str]:
    """So many texts, all different."""
    with SITUATIONS.open(encoding="utf-8", newline="") as file:
        texts = [row["situation"] for row in csv.DictReader(file)]
    return [f"{texts[number % len(texts)]}{' So they say.' * (number // len(texts))}" for number in range(count)]


def offline(vispa: Vispa, texts: Sequence[str], k: int, tokens: int) -> Offline:
    """All answers in one batch, which also makes what is made once."""
    answers, _ = _answered(vispa, [texts], k, tokens)
    return Offline(tuple(texts), tuple(_said(answer.model_dump(mode="json")) for answer in answers))


def in_groups(vispa: Vispa, texts: Sequence[str], k: int, tokens: int, size: int) -> Speed:
    """The speed of some batches of so many requests each, one after the other."""
    groups = [texts[start : start + size] for start in range(0, min(len(texts), _GROUPS * size), size)]
    return _answered(vispa, groups, k, tokens)[1]


@contextmanager
def server(model: str, dtype: str, clients: int) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its port and its number as a process."""
    command = [sys.executable, "-m", "vispa", "serve", "--model", model, "--dtype", dtype, "--port", "0"]
    command += ["--concurrency", str(clients)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stderr is not None
        port = 0
        for line in process.stderr:
            found = re.search(r"listening at \S+:(\d+)", line)
            port = int(found[1]) if found else port
            if "ready: " in line:
                break
        # The log goes on; nobody reads it, but the pipe must not be full.
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        try:
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(60)
            drain.wait(60)


def processor_seconds(process: int) -> float:
    """What a process of this machine, a Linux one, has used so far."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def asked(port: int, body: dict[str, Any], known: tuple[Any, ...], seen: Seen) -> None:
    """One request."""
    content, started, first = json.dumps(body).encode(), time.perf_counter(), None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    try:
        # In HTTP/1.0 a stream ends with its connection and is in no chunks.
        head = f"POST /v1/vispa/respond HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
        writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + content)
        reply = b""
        while part := await reader.read(2**16):
            reply += part
            if first is None and _COMMENT in reply:
                first = time.perf_counter() - started
    finally:
        writer.close()
    _, found, answer = reply.partition(_ANSWER)
    if not found or first is None or not reply.endswith(b"data: [DONE]\n\n"):
        seen.lost.append(reply[-300:].decode(errors="replace"))
        return
    record = json.loads(answer.partition(b"\n")[0])["answer"]
    seen.first.append(first)
    seen.whole.append(time.perf_counter() - started)
    seen.tokens += sum(comment["tokens"] for comment in record["comments"])
    seen.wrong += _said(record) != known


async def one_client(port: int, known: Offline, fields: dict[str, Any], most: int) -> Seen:
    """What a client sees that asks so many requests, each when it has the answer before."""
    seen = Seen()
    for place in range(most):
        await asked(port, {"text": known.texts[place], "stream": True, **fields}, known.answers[place], seen)
    return seen


async def clients(
    port: int, process: int, known: Offline, fields: dict[str, Any], count: int, seconds: float
) -> tuple[Seen, Speed]:
    """What so many clients see, and the speed of a time in which none of them is new and none has stopped."""
    seen, answered, stopped = Seen(), set[int](), asyncio.Event()
    all_answered = asyncio.Event()

    async def client(number: int) -> None:
        order = random.Random(number).sample(range(len(known.texts)), len(known.texts))
        for place in itertools.cycle(order):
            if stopped.is_set():
                return
            await asked(port, {"text": known.texts[place], "stream": True, **fields}, known.answers[place], seen)
            answered.add(number)
            if len(answered) == count:
                all_answered.set()

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(client(number))
        await all_answered.wait()
        wall, cpu, tokens = time.perf_counter(), processor_seconds(process), seen.tokens
        await asyncio.sleep(seconds)
        wall, cpu, tokens = time.perf_counter() - wall, processor_seconds(process) - cpu, seen.tokens - tokens
        stopped.set()
    return seen, Speed(tokens / wall, tokens / cpu)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--dtype", default="auto", help="of the model, on both sides; coarse numbers part their texts")
    numbers = (("clients", 64), ("seconds", 40), ("rounds", 3), ("requests", 128), ("k", 2), ("tokens", 48))
    for name, default in numbers:
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args(arguments)
    vispa = Vispa.from_pretrained(given.model, dtype=given.dtype)
    print(", ".join(f"{name} {fact}" for name, fact in machine_facts(vispa.model.model).items()))
    texts, fields = situations(given.requests), {"k": given.k, "sampling": {"max_tokens": given.tokens}}
    known = offline(vispa, texts, given.k, given.tokens)
    rounds: list[dict[str, Speed]] = []
    seen: list[Seen] = []
    with server(given.model, given.dtype, given.clients) as (port, process):
        alone = asyncio.run(one_client(port, known, fields, min(_ALONE, given.requests)))
        for _ in range(given.rounds):
            whole = _answered(vispa, [texts], given.k, given.tokens)[1]
            groups = in_groups(vispa, texts, given.k, given.tokens, given.clients)
            one, served = asyncio.run(clients(port, process, known, fields, given.clients, given.seconds))
            seen.append(one)
            rounds.append({"all at once": whole, f"{given.clients} at a time": groups, "served": served})
    tell(rounds, seen, alone)


def tell(rounds: Sequence[Mapping[str, Speed]], seen: Sequence[Seen], alone: Seen) -> None:
    """Print what was measured.

    Args:
        rounds: speeds of each, the server's last.
        seen: what the clients of each saw.
        alone: what one client saw.
    """
    for side in rounds[0]:
        wall, cpu = (Spread.of([getattr(one[side], clock) for one in rounds]) for clock in Speed._fields)
        print(f"{side}: {wall} tokens a second, {cpu} of processor time")
    for side in list(rounds[0])[:-1]:
        wall, cpu = (
            Spread.of([getattr(one["served"], clock) / getattr(one[side], clock) for one in rounds])
            for clock in Speed._fields
        )
        print(f"served to {side}: {wall}, {cpu} by processor time")
    answers, wrong = sum(len(one.first) for one in seen), sum(one.wrong for one in seen)
    lost = [reply for one in seen for reply in one.lost]
    print(f"{answers} answers under load, {len(lost)} lost, {wrong} wrong")
    median = statistics.median
    for what in ("first", "whole"):
        single = median(getattr(alone, what))
        many = Spread.of([median(getattr(one, what)) for one in seen])
        times = Spread.of([median(getattr(one, what)) / single for one in seen])
        print(f"to the {what} {'token' if what == 'first' else 'answer'}: {many} s, {times} times one client's")
    for reply in lost[:3]:
        print(f"lost: {reply!r}")


def _answered(vispa: Vispa, batches: Sequence[Sequence[str]], k: int, tokens: int) -> tuple[list[Any], Speed]:
    """The answers of batches one after the other, and how quick they were."""
    wall, cpu = time.perf_counter(), time.process_time()
    answers: list[Any] = []
    for texts in batches:
        answers += vispa.respond_many([Request(text, k=k) for text in texts], max_new_tokens=tokens)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    count = sum(comment.tokens for answer in answers for comment in answer.comments)
    return answers, Speed(count / wall, count / cpu)


def _said(answer: dict[str, Any]) -> tuple[Any, ...]:
    record = OvertonResponse.model_validate_json(json.dumps(answer))
    return (record.text, record.response, *((comment.value, comment.text) for comment in record.comments))


if __name__ == "__main__":
    main()
