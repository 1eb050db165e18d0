"""Comparison with engines that cannot steer, each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import torch

from benchmarks.measure import Spread, Timer
from benchmarks.steering_speed.report import Part
from benchmarks.steering_speed.rows import rows_for, rows_text
from benchmarks.steering_speed.setting import Setting
from vispa.generation.rows import Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.taxonomy import Taxonomy

#: Engine → its script, the variable with its interpreter, and the variable with its model file.
YARDSTICKS = {
    "llama.cpp": ("yardstick_llama_cpp.py", "LLAMA_CPP_PYTHON", "LLAMA_CPP_MODEL"),
    "vLLM": ("yardstick_vllm.py", "VLLM_PYTHON", "VLLM_MODEL"),
}


def compare_yardsticks(setting: Setting, timer: Timer) -> Part:
    """Unsteered rows by this engine and by others that the environment names, by the wall's clock."""
    sizes = setting.sizes
    rows = [replace(row, steers=()) for row in rows_for(setting, tuple(Taxonomy.built_in())[: sizes.values])]
    engine, part = TransformersEngine(setting.loaded), Part([rows_text(setting)])
    wall = replace(timer, clock="wall")
    times, _ = wall.alternate({"ours": lambda: engine.generate(rows, Sampling(sizes.new_tokens))})
    tokens = len(rows) * sizes.new_tokens
    part.add_times(times, tokens)
    missing: dict[str, str] = {}
    job = {
        "prompts": [list(row.prompt.ids) for row in rows],
        "new_tokens": sizes.new_tokens,
        "rounds": timer.rounds,
        "threads": torch.get_num_threads(),
        "dtype": str(setting.loaded.model.dtype).removeprefix("torch."),
    }
    for name, (script, interpreter, model) in YARDSTICKS.items():
        try:
            seconds = _seconds(script, interpreter, model, job)
        except _Missing as error:
            missing[name] = str(error)
            continue
        taken, ours = Spread.of(seconds), times.of("ours")
        part.lines.append(f"{name} ({Path(os.environ[model]).name}): {taken} s, {tokens / taken.median:,.0f} tokens/s")
        part.lines.append(f"{name} / ours: {taken.median / ours.median:.3g}, of medians: they ran one after the other")
        part.figures[name] = {"seconds": seconds, **asdict(taken)}
    part.lines += [f"{name}: {reason}" for name, reason in missing.items()]
    part.figures["not measured"] = missing
    return part


class _Missing(Exception):
    """Why an engine is not measured."""


def _seconds(script: str, interpreter: str, model: str, job: dict[str, object]) -> list[float]:
    """Seconds of every round of another engine, in a process of its own.

    Raises:
        _Missing: the environment does not name it, or it does not run here.
    """
    if not (os.environ.get(interpreter) and os.environ.get(model)):
        raise _Missing(f"not measured: set {interpreter} to its interpreter and {model} to its model")
    job = {"model": os.environ[model], **job}
    command = [os.environ[interpreter], str(Path(__file__).parent / script)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, env=environment)
    except OSError as error:
        raise _Missing(f"does not run here ({error})") from error
    if done.returncode:
        raise _Missing(f"does not run here ({(done.stderr.strip().splitlines() or ['no message'])[-1][:200]})")
    found: list[float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
