"""What steering costs in vLLM at a model's size, on a GPU too: random weights, so that nothing has to be fetched.

    python -m benchmarks.vllm_sizes smollm2 [--rows 256] [--rounds 5] [--eager] [--json FILE]
    python -m benchmarks.vllm_sizes llama-8b

All sides run in one engine, one after the other within each round; ratios are taken within each round: median
(lowest..highest). Throughput ratios: 1 is as fast as unsteered. Prompts have no common beginning, prefixes are not
cached, no row stops early. `VLLM_USE_V2_MODEL_RUNNER` chooses vLLM's model runner.

unsteered    vLLM with vispa in it, no row steered
named        rows in turn toward 31 values, fixed amounts
distinct     every row its own value and weight: as many distinct steers as rows
measured     rows in turn toward 31 values, each amount measured on its prompt
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.measure import Timer
from vispa.generation.vllm.asked import ARGUMENT, Asked
from vispa.generation.vllm.plugin import register
from vispa.generation.vllm.settings import Settings
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import BankInfo, Entry
from vispa.steering.estimators.base import Directions
from vispa.steering.recipe import Recipe, Steer

_VALUES = tuple(f"value{number}" for number in range(31))
_FIXED = Recipe("probe", magnitude="residual", amount=0.1, minimal_quality=0.0)
_MEASURED = replace(_FIXED, magnitude="calibrated", amount=0.9)
_SIDES = ("unsteered", "named", "distinct", "measured")

#: Llama models by name: depth, width, heads, heads of keys and values, width of the feed-forward, tokens known.
SIZES = {
    "tiny": (4, 128, 4, 2, 160, 1000),
    "smollm2": (30, 576, 9, 3, 1536, 49152),
    "llama-8b": (32, 4096, 32, 8, 14336, 128256),
}


def write_config(size: str, folder: Path) -> None:
    """The configuration of a Llama of that size, as vLLM reads it."""
    from transformers import LlamaConfig

    blocks, width, heads, few, wide, tokens = SIZES[size]
    LlamaConfig(
        architectures=["LlamaForCausalLM"], num_hidden_layers=blocks, hidden_size=width, num_attention_heads=heads,
        num_key_value_heads=few, intermediate_size=wide, vocab_size=tokens, max_position_embeddings=2048,
    ).save_pretrained(folder)  # fmt: skip


def random_bank(size: str) -> VectorBank:
    """Random unit vectors for 31 values that pass for probes."""
    blocks, width, *_ = SIZES[size]
    vectors = torch.randn(len(_VALUES), blocks, width, generator=torch.Generator().manual_seed(0))
    ones = torch.ones(vectors.shape[:2])
    directions = Directions(
        vectors=vectors / vectors.norm(dim=-1, keepdim=True), quality=ones, separation=ones.clone(),
        bias=torch.zeros_like(ones), weight_norm=ones.clone(),
    )  # fmt: skip
    info = BankInfo(size, "0" * 64, "0" * 64, _VALUES, {})
    return VectorBank(info, {"probe": Entry(directions, "last", "pairs")}, torch.ones(blocks), _FIXED)


def steers(side: str, row: int) -> Asked | None:
    """How a row of a side is steered."""
    value = _VALUES[row % len(_VALUES)]
    if side == "unsteered":
        return None
    if side == "measured":
        return Asked((Steer(value, recipe=_MEASURED),), whole=True)
    return Asked((Steer(value, 1 + row / 1000 if side == "distinct" else 1.0),))


def started(size: str, folder: Path, arguments: dict[str, Any]) -> Any:
    """An engine of vLLM on a model of a size, steered by a random bank; it has tested itself."""
    from vllm import EngineArgs, LLMEngine

    register()
    write_config(size, folder)
    bank = folder / "bank.safetensors"
    random_bank(size).save(bank)
    given: dict[str, Any] = {
        "model": str(folder), "load_format": "dummy", "skip_tokenizer_init": True, "enable_prefix_caching": False,
        "max_model_len": 1024, "disable_log_stats": True,
        "additional_config": {ARGUMENT: vars(Settings(str(bank), checked=True))},
    }  # fmt: skip
    return LLMEngine.from_engine_args(EngineArgs(**given | arguments))


def side_of(engine: Any, side: str, size: str, rows: int, prompt: int, tokens: int) -> Callable[[], int]:
    """Runs all rows of a side; gives how many tokens they wrote."""
    from vllm import SamplingParams

    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, SIZES[size][-1], (rows, prompt), generator=generator).tolist()
    turn = [0]

    def run() -> int:
        turn[0] += 1
        for row, own in enumerate(ids):
            asked = steers(side, row)
            extra = None if asked is None else {ARGUMENT: asked.as_argument()}
            params = SamplingParams(
                temperature=0, max_tokens=tokens, ignore_eos=True, detokenize=False, extra_args=extra
            )
            engine.add_request(f"{side}-{turn[0]}-{row}", {"prompt_token_ids": own}, params)
        written = 0
        while engine.has_unfinished_requests():
            for output in engine.step():
                if output.finished:
                    written += len(output.outputs[0].token_ids)
        if written != rows * tokens:
            raise RuntimeError(f"{side}: {written} tokens were written, not {rows * tokens}: some rows failed")
        return written

    return run


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--prompt", type=int, default=64, help="tokens of each prompt")
    parser.add_argument("--tokens", type=int, default=128, help="written by each row")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--eager", action="store_true", help="neither compiled layers nor captured graphs")
    parser.add_argument("--arguments", type=json.loads, default={}, help="more of vLLM's engine, as JSON")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="vispa-") as folder:
        own = {"dtype": given.dtype, "enforce_eager": given.eager} | given.arguments
        engine = started(given.size, Path(folder), own)
        sizes = (given.size, given.rows, given.prompt, given.tokens)
        run = {side: side_of(engine, side, *sizes) for side in _SIDES}
        # Tokens come to the processor at every step, so that its clock is right for a GPU too.
        times, results = Timer(given.rounds, torch.device("cpu"), "wall").alternate(run)
    for side, written in results.items():
        print(f"{side}: {times.of(side)} s, {written / times.of(side).median:,.0f} tokens a second")
    ratios = {f"{side} / unsteered": times.ratio("unsteered", side) for side in _SIDES[1:]}
    print(*(f"{name}: {ratio}" for name, ratio in ratios.items()), sep="\n")
    if given.json is not None:
        figures = {"seconds": times.seconds, **{name: asdict(one) for name, one in ratios.items()}}
        given.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
