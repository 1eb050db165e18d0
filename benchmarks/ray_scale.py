"""What workers over Ray cost beside one process, and whether they lose or change anything when they are killed.

    python -m benchmarks.ray_scale [--items 500] [--workers 4] [--kill 2] [--rounds 1]

Items like VITAL's on the embedded model. Both sides of a round run one after the other, on the same cores: one
process with a thread a core, then workers over a local cluster, as many at a time as `--workers`, the cores shared
among them; wall clock, once all have loaded the model (loading is told beside). In a last run `--kill` workers are
killed at random moments (SIGKILL). All files are compared byte by byte. Ratios: median (lowest..highest) of the rounds.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Spread
from vispa.items.answering import answered_file, batch_settings, responder
from vispa.items.asking import item_request
from vispa.items.item import Item
from vispa.items.workers import Work, Workers
from vispa.readers.base import Failure
from vispa.records import Response
from vispa.request import Sampling

_SUBJECTS = ("a friend", "my boss", "the state", "a neighbour", "my son", "a stranger", "the church", "an old rival")
_DEEDS = ("Lying to", "Helping", "Stealing bread from", "Forgiving", "Reporting", "Paying", "Ignoring", "Teaching")
_ENDS = ("to save a life", "out of pity", "for money", "because it is the law", "to keep a promise", "in anger",
         "although nobody would know", "when asked to")  # fmt: skip


def make(folder: Path, k: int, tokens: int, threads: int) -> Work[Response | Failure]:
    """A pipeline that leaves the number of its process in a folder."""
    from vispa.pipeline import Vispa

    vispa, sampling = Vispa.from_pretrained("embedded", threads=threads), Sampling(tokens)
    respond = responder(vispa, sampling)
    (folder / str(os.getpid())).touch()
    return Work(batch_settings(vispa, {"k": k}, sampling), lambda _, asked: respond(asked))


def items_like_vital(count: int) -> list[Item]:
    """Situations in a line each, no two the same in the first 512."""
    texts = [f"{deed} {subject} {end}" for deed in _DEEDS for subject in _SUBJECTS for end in _ENDS]
    return [Item(id=number, text=texts[number % len(texts)]) for number in range(count)]


def killer(folder: Path, kills: int, seconds: float, seed: int) -> Callable[[], None]:
    """Kills workers at random moments of so many seconds, each another one."""
    draw = random.Random(seed)
    moments = sorted(draw.uniform(0.1, 0.7) * seconds for _ in range(kills))

    def run() -> None:
        begun, gone = time.perf_counter(), set[str]()
        for moment in moments:
            time.sleep(max(0.0, begun + moment - time.perf_counter()))
            alive = sorted({path.name for path in folder.iterdir()} - gone)
            victim = draw.choice(alive)
            gone.add(victim)
            os.kill(int(victim), signal.SIGKILL)
            print(f"killed a worker after {time.perf_counter() - begun:.1f} s", flush=True)

    return run


def timed(responding: Any, items: Sequence[Item], k: int, output: Path, settings: dict[str, Any]) -> float:
    """Seconds of a batch, the file written."""
    begun = time.perf_counter()
    requests = {item.id: item_request(item, {"k": k}) for item in items}
    found = answered_file(responding, items, requests, output, settings)
    assert found.failed == 0 and found.answered_now == len(items)
    return time.perf_counter() - begun


def over_ray(
    items: Sequence[Item], k: int, tokens: int, count: int, output: Path, kill: Callable[[Path], Callable[[], None]]
) -> tuple[float, float]:
    """Seconds that workers took to get ready, and to answer."""
    begun = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        Workers(partial(make, Path(folder), k, tokens), "local", count, Failure) as workers,
    ):
        settings, _ = workers.about(ready=count)
        ready = time.perf_counter() - begun
        threading.Thread(target=kill(Path(folder)), daemon=True).start()
        return ready, timed(partial(workers.answers, ""), items, k, output, settings)


def main(arguments: Sequence[str] | None = None) -> dict[str, Spread]:
    """Print the ratios; gives them by name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kill", type=int, default=2, help="workers that are killed in the last run; 0 for none")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--k", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and of who is killed")
    given = parser.parse_args(arguments)
    # Ray lets workers stand back behind other programs, of which a busy machine has many.
    os.environ.setdefault("RAY_worker_niceness", "0")
    items, same = items_like_vital(given.items), True
    ratios: dict[str, list[float]] = {"ray / one process": [], "ray / one process, killed": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "one").mkdir()
        begun = time.perf_counter()
        own = make(folder / "one", given.k, given.tokens, os.cpu_count() or 1)
        print(f"one process: ready in {time.perf_counter() - begun:.1f} s", flush=True)
        for number in range(given.rounds + (given.kill > 0)):
            killing = number == given.rounds
            if not killing:
                one = timed(partial(map, partial(own.answer, "")), items, given.k, folder / f"one{number}", own.about)
                print(f"one process: {one:.1f} s", flush=True)
            kill = partial(killer, kills=given.kill if killing else 0, seconds=one, seed=given.seed)
            output = folder / f"ray{number}"
            ready, seconds = over_ray(items, given.k, given.tokens, given.workers, output, kill)
            print(f"{given.workers} workers: ready in {ready:.1f} s, {seconds:.1f} s", flush=True)
            ratios[list(ratios)[killing]].append(seconds / one)
            same = same and output.read_bytes() == (folder / "one0").read_bytes()
    found = {name: Spread.of(all_) for name, all_ in ratios.items() if all_}
    print(*(f"{name}: {ratio}" for name, ratio in found.items()), sep="\n")
    print(f"{given.items} items, each once, {'the same bytes' if same else 'NOT the same bytes'}")
    return found


if __name__ == "__main__":
    main()
