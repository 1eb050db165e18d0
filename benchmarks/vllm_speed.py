"""What steering costs in vLLM, and how vLLM stands beside this package's own engine.

    .venv/with-vllm/bin/python -m benchmarks.vllm_speed [--model embedded|smollm2] [--rows 256] [--rounds 5]
                                                        [--dtype float32|bfloat16] [--mixed 9]
                                                        [--sides named,transformers]

`.ci/vllm` makes the environment. All sides run in one process on one model; the sides of a round run one
after the other, and ratios are taken within each round: median (lowest..highest). Throughput ratios: 1 is as fast as
unsteered. Prompts have no common beginning, prefixes are not cached, no row stops early. The texts of the sides that
steer the same rows are compared: whole, and token by token up to the first that differs, of the first 16.

unsteered    vLLM with vispa in it, no row steered
named        rows in turn toward 31 values, fixed amounts
distinct     every row its own value and weight: as many distinct steers as rows
measured     rows in turn toward 31 values, each amount measured on its prompt
transformers the rows of `named` in this package's own engine
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Timer, machine_facts
from benchmarks.steering_speed.setting import Setting, Sizes
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.steering.recipe import Recipe, Steer

_VALUES = 31
_STEERED = ("named", "distinct", "measured")
# Tokens at the beginning of a text that are compared one by one.
_BEGINNING = 16


def sides(setting: Setting, tokens: int, mixed: int = 1) -> dict[str, Callable[[], list[Generated]]]:
    """What each side runs; prompts hold one to `mixed` situations."""
    from vispa.generation.vllm.engine import VllmEngine

    bank = setting.synthetic_bank(_VALUES)
    # As far as real directions go; random ones that go farther make texts of nothing but noise.
    fixed = Recipe("probe", magnitude="residual", amount=0.1, minimal_quality=0.0)
    measured = replace(fixed, magnitude="calibrated", amount=0.9)
    bank = replace(bank, recipe=fixed, info=replace(bank.info, taxonomy_fingerprint="0" * 64))
    ours, theirs = VllmEngine(setting.loaded, bank), TransformersEngine(setting.loaded, bank)
    prompts, sampling = setting.bare_prompts(setting.sizes.rows, mixed), Sampling(tokens)
    values = [f"value{number % _VALUES}" for number in range(len(prompts))]
    steers: dict[str, list[tuple[Steer, ...]]] = {
        "unsteered": [()] * len(prompts),
        "named": [(Steer(value),) for value in values],
        "distinct": [(Steer(value, 1 + number / 1000),) for number, value in enumerate(values)],
        "measured": [(Steer(value, recipe=measured),) for value in values],
    }
    rows = {side: [Row(*both) for both in zip(prompts, own, strict=True)] for side, own in steers.items()}
    found: dict[str, Callable[[], list[Generated]]] = {
        side: lambda own=own: ours.generate(own, sampling)  # type: ignore[misc]
        for side, own in rows.items()
    }
    return found | {"transformers": lambda: theirs.generate(rows["named"], sampling)}


def _common_beginning(one: Sequence[int], other: Sequence[int]) -> int:
    """How many of the first tokens are the same, up to the first that is not."""
    ahead = list(zip(one[:_BEGINNING], other[:_BEGINNING], strict=False))
    return next((place for place, (left, right) in enumerate(ahead) if left != right), len(ahead))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("embedded", "smollm2"), default="embedded")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mixed", type=int, default=1, help="prompts of one to so many situations, in turn")
    parser.add_argument("--sides", help="some of them, separated by commas; by default all")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: for busy machines")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args(arguments)
    os.environ.setdefault("VISPA_VLLM", json.dumps({"enable_prefix_caching": False, "max_model_len": 1024}))
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    setting = Setting.load(given.model, replace(Sizes(), rows=given.rows), dtype=given.dtype)
    facts = machine_facts(setting.loaded.model)
    print(*(f"{name}: {fact}" for name, fact in facts.items()), sep="\n")
    run = sides(setting, given.tokens, given.mixed)
    if given.sides:
        run = {side: run[side] for side in given.sides.split(",")}
    times, results = Timer(given.rounds, torch.device("cpu"), given.clock).alternate(run)
    for side, texts in results.items():
        total = sum(one.tokens for one in texts)
        print(f"{side}: {times.of(side)} s, {total / times.of(side).median:,.0f} tokens a second")
    compared = {f"{side} / unsteered": ("unsteered", side) for side in _STEERED}
    compared["vllm / transformers"] = ("transformers", "named")
    ratios = {name: times.ratio(*two) for name, two in compared.items() if run.keys() >= set(two)}
    print(*(f"{name}: {ratio}" for name, ratio in ratios.items()), sep="\n")
    figures: dict[str, Any] = {
        "facts": facts,
        "seconds": times.seconds,
        **{name: asdict(one) for name, one in ratios.items()},
    }
    if run.keys() >= {"named", "transformers"}:
        figures |= _same(results["named"], results["transformers"])
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1))


def _same(ours: Sequence[Generated], theirs: Sequence[Generated]) -> dict[str, float]:
    """How far the texts of two engines are the same, printed too."""
    both = list(zip(ours, theirs, strict=True))
    same = sum(one.ids == other.ids for one, other in both)
    begun = [_common_beginning(one.ids, other.ids) for one, other in both]
    beginnings = sum(begun) / sum(min(_BEGINNING, other.tokens) for _, other in both)
    print(f"{same} of {len(both)} texts the same in both engines; {beginnings:.1%} of the first {_BEGINNING} tokens")
    return {"same": same, "beginnings": beginnings}


if __name__ == "__main__":
    main()
