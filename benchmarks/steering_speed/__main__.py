"""The command line of the steering benchmarks; see the package."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast, get_args

import benchmarks.steering_speed
from benchmarks.measure import Clock, Timer, machine_facts
from benchmarks.steering_speed.fitting import compare_fitting
from benchmarks.steering_speed.generation import (
    compare_libraries,
    compare_many_vectors,
    compare_published,
    compare_unsteered,
)
from benchmarks.steering_speed.memory import measure_memory
from benchmarks.steering_speed.report import Part
from benchmarks.steering_speed.setting import ModelName, Setting, Sizes
from benchmarks.steering_speed.yardsticks import compare_yardsticks
from vispa.errors import ModelError

PARTS: dict[str, Callable[[Setting, Timer], Part]] = {
    "a": compare_published,
    "b": compare_unsteered,
    "c": compare_fitting,
    "d": measure_memory,
    "e": compare_many_vectors,
    "f": compare_libraries,
    "g": compare_yardsticks,
}


def run(setting: Setting, names: Sequence[str], timer: Timer) -> dict[str, Part]:
    """Run parts and print each as it is done."""
    parts = {}
    for name in names:
        part = parts[name] = PARTS[name](setting, timer)
        description = (PARTS[name].__doc__ or "").splitlines()[0]
        print(f"\n({name}) {description}", *part.lines, sep="\n    ", flush=True)
        for claim in (claim for claim, holds in part.checks.items() if not holds):
            print(f"    DIFFERS: {claim}", flush=True)
    return parts


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the comparisons; 1 if, in float32, two sides that ought to agree do not."""
    parser = argparse.ArgumentParser(
        description=benchmarks.steering_speed.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="some of %(default)s")
    parser.add_argument("--model", choices=get_args(ModelName), default="embedded")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--clock", choices=get_args(Clock), default="wall", help="cpu: processor time, for busy machines"
    )
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args(arguments)
    names = [name for name in given.parts.split(",") if name]
    if unknown := sorted(set(names) - set(PARTS)):
        parser.error(f"--parts: {unknown[0]!r} is unknown; choose from {','.join(PARTS)}.")
    if given.rounds < 1:
        parser.error("--rounds: give a number from 1.")
    if given.clock == "cpu" and given.device != "cpu":
        parser.error("--clock: processor time says nothing of a GPU; use wall.")
    sizes = Sizes.small() if given.small else Sizes()
    try:
        setting = Setting.load(cast(ModelName, given.model), sizes, given.device, given.dtype)
    except ModelError as error:
        print(f"not measured: {error}")
        return 0
    shape = f"{len(setting.loaded.blocks)} blocks × {setting.loaded.hidden_size}"
    facts = {
        "model": f"{given.model}, {shape}",
        "clock": given.clock,
        "rounds": given.rounds,
        **machine_facts(setting.loaded.model),
    }
    print(", ".join(f"{name} {fact}" for name, fact in facts.items()), flush=True)
    parts = run(setting, names, Timer(given.rounds, setting.loaded.device, given.clock))
    if given.json:
        report = {
            "machine": facts,
            "parts": {name: {"figures": p.figures, "checks": p.checks} for name, p in parts.items()},
        }
        given.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    agreed = all(holds for part in parts.values() for holds in part.checks.values())
    return 0 if agreed or not setting.is_exact else 1


if __name__ == "__main__":
    raise SystemExit(main())
