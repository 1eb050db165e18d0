"""All three modes on the first items of every VITAL and Modular Pluralism file, on the embedded model.

    python -m benchmarks.modes --data DIR --limit 200

Prints for each file the mode, items, failures, seconds, and generated tokens a second.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from vispa.evaluation.tasks import available, is_shipped
from vispa.items.asking import item_request
from vispa.items.reading import read_items
from vispa.pipeline import Vispa
from vispa.readers.base import Failure

_CHUNK = 32


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    vispa = Vispa.embedded()
    vispa.respond("Feeding ducks", k=1)
    figures = []
    for status in available(arguments.data):
        if is_shipped(status.task):
            continue
        if status.path is None:
            print(f"{status.task.name}: not there")
            continue
        items = read_items(Path(status.path), status.task.mode)[: arguments.limit]
        requests = [item_request(item, {"k": 6}, own_stances=True) for item in items]
        started, tokens, failures, answered = time.perf_counter(), 0, 0, 0
        for first in range(0, len(requests), _CHUNK):
            for answer in vispa.respond_many(requests[first : first + _CHUNK]):
                failures += isinstance(answer, Failure)
                answered += not isinstance(answer, Failure) and bool(answer.response.strip())
                tokens += sum(comment.tokens for comment in getattr(answer, "comments", ()))
        seconds = time.perf_counter() - started
        row = {
            "task": status.task.name,
            "mode": status.task.mode,
            "items": len(items),
            "answered": answered,
            "failures": failures,
            "seconds": round(seconds, 1),
            "tokens_per_second": round(tokens / seconds),
        }
        figures.append(row)
        print("  ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.items()), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
