"""Seconds that llama.cpp takes for a batch, by the wheel `xllamacpp`; run by `yardsticks` in that wheel's environment.

Reads a JSON object from standard input and writes the seconds of each round as the last line of standard output.
Imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    """Run the rounds, after one that is not timed."""
    import xllamacpp  # type: ignore[import-not-found]

    job = json.load(sys.stdin)
    rows, longest = len(job["prompts"]), max(map(len, job["prompts"])) + job["new_tokens"]
    parameters = xllamacpp.CommonParams()
    parameters.model.path = job["model"]
    parameters.n_parallel, parameters.n_ctx = rows, rows * (longest + 8)
    parameters.n_batch = parameters.n_ubatch = 512
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = job["threads"]
    server = xllamacpp.Server(parameters)
    request = {"prompt": job["prompts"], "max_tokens": job["new_tokens"], "temperature": 0.0, "ignore_eos": True}
    # No prompt is kept from one round to the next.
    request["cache_prompt"] = False
    seconds = []
    for _ in range(job["rounds"] + 1):
        started = time.perf_counter()
        reply = server.handle_completions(request)
        seconds.append(time.perf_counter() - started)
        if len(reply["choices"]) != rows:
            raise RuntimeError(f"{len(reply['choices'])} of {rows} rows came back")
    print(json.dumps(seconds[1:]))


if __name__ == "__main__":
    main()
