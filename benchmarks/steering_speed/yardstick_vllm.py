"""Seconds that vLLM takes for a batch, unsteered; run by `yardsticks` in an environment that holds vLLM.

Reads a JSON object from standard input and writes the seconds of each round as the last line of standard output.
Imports nothing of this project.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    """Run the rounds, after one that is not timed."""
    job = json.load(sys.stdin)
    # In this very process, so that threads are those of the comparison.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["OMP_NUM_THREADS"] = str(job["threads"])
    # Of this distribution's own modules alone: a plug-in might change what is measured.
    os.environ["VLLM_PLUGINS"] = ""
    from vllm import LLM, SamplingParams

    rows, longest = len(job["prompts"]), max(map(len, job["prompts"])) + job["new_tokens"]
    engine = LLM(
        job["model"], dtype=job["dtype"], max_model_len=longest + 8, max_num_seqs=rows,
        enforce_eager=True, disable_log_stats=True,
        # Of the machine's memory: enough for these rows, with room for what runs beside.
        gpu_memory_utilization=0.4,
    )  # fmt: skip
    sampling = SamplingParams(temperature=0.0, max_tokens=job["new_tokens"], ignore_eos=True)
    prompts = [{"prompt_token_ids": ids} for ids in job["prompts"]]
    seconds = []
    for _ in range(job["rounds"] + 1):
        # Rows of one round share their prompts' beginnings, as they do here; no round finds those of another.
        if not engine.reset_prefix_cache():
            raise RuntimeError("the prefix cache cannot be emptied")
        started = time.perf_counter()
        found = engine.generate(prompts, sampling, use_tqdm=False)
        seconds.append(time.perf_counter() - started)
        short = [one for one in found if len(one.outputs[0].token_ids) != job["new_tokens"]]
        if len(found) != rows or short:
            raise RuntimeError(f"{len(found)} of {rows} rows came back, {len(short)} of them short")
    print(json.dumps(seconds[1:]))


if __name__ == "__main__":
    main()
