"""What continuous batching costs: rows that arrive in small requests against the same rows in one offline batch.

    python -m benchmarks.serving [--model embedded] [--rows 128] [--each 2] [--clients 64] [--tokens 48] [--rounds 5]

Each client hands over a request, waits for its texts, and hands over the next one until all rows are written. Rows are
steered toward all values in turn, by the bank's own recipe; texts end where the model ends them. Throughput is tokens
a second; its ratio to the offline batch is taken within each round and printed as median (lowest..highest). Medians of
the seconds to a row's first piece of text stand beside it. Texts of the two sides are compared once.
Where other programs run beside it, `OMP_NUM_THREADS=1` and `--clock cpu` give steadier ratios: processor seconds
instead of the wall's.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import cast, get_args

from benchmarks.measure import Clock, Spread, Timer, machine_facts
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.scheduler import Scheduler
from vispa.generation.transformers import TransformersEngine
from vispa.models.loading import load_model
from vispa.modes.prompts import built_in_prompts
from vispa.steering.bank_cache import cached_bank
from vispa.steering.recipe import Steer
from vispa.taxonomy import Taxonomy

SITUATIONS = Path(__file__).parent / "data" / "unseen_situations.csv"


def steered_rows(engine: TransformersEngine, count: int) -> list[Row]:
    """Rows for the situations and the bank's values in turn."""
    assert engine.bank is not None
    with SITUATIONS.open(encoding="utf-8", newline="") as file:
        texts = [row["situation"] for row in csv.DictReader(file)]
    wording, values = built_in_prompts(engine.name).comment, engine.bank.info.values
    asked = [wording.format(text=texts[number % len(texts)]) for number in range(count)]
    return [
        Row(engine.chat_prompt(text), (Steer(values[number % len(values)]),), number)
        for number, text in enumerate(asked)
    ]


class Clients:
    """Clients that hand over requests of a few rows, one after the other.

    Args:
        scheduler: takes them.
        engine: of the rows.
        requests: all of them, in their order.
        sampling: how they are decoded.
    """

    def __init__(
        self, scheduler: Scheduler, engine: TransformersEngine, requests: Sequence[Sequence[Row]], sampling: Sampling
    ) -> None:
        self._scheduler, self._engine, self._requests, self._sampling = scheduler, engine, requests, sampling
        self._left = deque(range(len(requests)))
        self._texts: dict[int, list[Generated]] = {}
        self._ended = threading.Event()
        self.first: list[float] = []  #: Seconds to the first piece of text of each row.

    def run(self, clients: int) -> list[Generated]:
        """The texts of all rows, in their order."""
        for _ in range(min(clients, len(self._left))):
            self._next()
        self._ended.wait()
        return [text for number in range(len(self._requests)) for text in self._texts[number]]

    def _next(self) -> None:
        if not self._left:
            return
        number, started, seen = self._left.popleft(), time.perf_counter(), set[int]()

        def said(row: int, _text: str) -> None:
            if row not in seen:
                seen.add(row)
                self.first.append(time.perf_counter() - started)

        def ended(future: Future[list[Generated]]) -> None:
            self._texts[number] = future.result()
            if len(self._texts) == len(self._requests):
                self._ended.set()
            self._next()

        rows = self._requests[number]
        self._scheduler.submit(self._engine, rows, self._sampling, on_text=said).add_done_callback(ended)


def main(arguments: Sequence[str] | None = None) -> Spread:
    """Measure and print; the ratio of throughputs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    for name, default in (("rows", 128), ("each", 2), ("clients", 64), ("tokens", 48), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--clock", choices=get_args(Clock), default="wall")
    given = parser.parse_args(arguments)
    loaded = load_model(given.model)
    engine = TransformersEngine(loaded, cached_bank(loaded, Taxonomy.built_in()))
    rows, sampling = steered_rows(engine, given.rows), Sampling(given.tokens, temperature=given.temperature)
    requests = [rows[start : start + given.each] for start in range(0, len(rows), given.each)]
    first: list[float] = []
    with Scheduler(loaded) as scheduler:

        def served(clients: int) -> list[Generated]:
            asking = Clients(scheduler, engine, requests, sampling)
            texts = asking.run(clients)
            first.extend(asking.first if clients > 1 else [])
            return texts

        alone = Clients(scheduler, engine, requests[:1], sampling)
        alone.run(1)
        timer = Timer(given.rounds, loaded.device, cast(Clock, given.clock))
        times, texts = timer.alternate(
            {"offline": lambda: engine.generate(rows, sampling), "served": lambda: served(given.clients)}
        )
    ratio = times.ratio("offline", "served")
    tokens = sum(text.tokens for text in texts["offline"])
    same = sum(one.ids == other.ids for one, other in zip(*texts.values(), strict=True))
    print(", ".join(f"{name} {fact}" for name, fact in machine_facts(loaded.model).items()))
    print(
        f"{len(rows)} rows in requests of {given.each}, {given.clients} clients, {tokens:,} tokens, {given.clock} clock"
    )
    for side in times.seconds:
        print(f"{side}: {tokens / times.of(side).median:,.0f} tokens a second")
    print(f"served to offline: {ratio}; {same} of {len(rows)} texts the same")
    median = statistics.median
    print(f"to a row's first text: {median(first):.3g} s, of one client alone {median(alone.first):.3g} s")
    return ratio


if __name__ == "__main__":
    main()
