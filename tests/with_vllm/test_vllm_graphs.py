"""Captured graphs leave Python out: tables hold what is added there, and prompts that are measured go round them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from graphs import capture
from pairs import Pair, made_pair, mixed
from small import CALIBRATED, RESIDUAL, VALUES
from transformers import PreTrainedTokenizerFast

from vispa.errors import EngineError, ModelError
from vispa.generation.rows import Row, Sampling
from vispa.generation.vllm import hooks, runners, worker
from vispa.generation.vllm.passes import Step
from vispa.generation.vllm.steps import Steps
from vispa.models.encoding import Prompt
from vispa.steering.recipe import Recipe, Steer

BLOCK = 32


@pytest.fixture(scope="module")
def captured(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pytest.MonkeyPatch.context() as patch:
        capture(patch)
        yield made_pair("llama", tokenizer, tmp_path_factory.mktemp("captured"), block_size=BLOCK)


@pytest.mark.parametrize(
    "recipe", [RESIDUAL, replace(RESIDUAL, scope="generated"), replace(RESIDUAL, half_life=3.0), CALIBRATED],
    ids=["all", "generated", "fading", "measured"],
)  # fmt: skip
def test_graphs_without_a_compiler_steer(captured: Pair, recipe: Recipe) -> None:
    captured.agree(captured.rows_of(mixed(recipe)[:9]))


@pytest.mark.parametrize("count", [1, 2, BLOCK, BLOCK + 1, 2 * BLOCK + 1])
@pytest.mark.parametrize("beside", [0, 3])
def test_prompts_that_are_measured_are_measured_again(captured: Pair, count: int, beside: int) -> None:
    """Of all but its last token there are keys and values; it could count as one more generated token."""
    ids = captured.vllm.raw_prompt("A text that is long enough for all of this. " * 3).ids[:count]
    assert len(ids) == count
    rows = [Row(Prompt("", ids), (Steer(value, recipe=CALIBRATED),)) for value in VALUES[: 1 + beside]]
    first = captured.agree(rows)
    assert first == captured.agree(rows)
    # In the same pass as tokens that are generated.
    captured.agree([*captured.rows_of(mixed(RESIDUAL)[:2]), *rows], Sampling(6))


def test_prompts_that_are_measured_are_read_whole(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    (workers,) = pair.vllm.running.engine.collective_rpc(lambda self: [self])
    runner, scheduled = workers[0].model_runner, list[list[int]]()
    prepare = runner._prepare_inputs

    def prepared(output: Any, counts: Any, *others: Any, **named: Any) -> Any:
        scheduled.append(counts.tolist())
        return prepare(output, counts, *others, **named)

    monkeypatch.setattr(runner, "_prepare_inputs", prepared)
    ids = pair.vllm.raw_prompt("It is read once and once more, whole. " * 2).ids[: BLOCK + 1]
    for recipe, again in ((RESIDUAL, [1]), (CALIBRATED, [BLOCK + 1])):
        row = Row(Prompt("", ids), (Steer(VALUES[5], recipe=recipe),))
        pair.agree([row], Sampling(1))
        scheduled.clear()
        pair.agree([row], Sampling(1))
        assert scheduled == [again]


@pytest.mark.parametrize("what", ["generate", "options", "likelihoods"])
def test_what_was_not_measured_is_an_error(pair: Pair, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(Steps, "_measure", lambda *_: None)
    rows = pair.rows_of([(Steer(VALUES[0], recipe=CALIBRATED),)], "An unmeasured text.")
    ask = {
        "generate": lambda: pair.vllm.generate(rows, Sampling(4)),
        "options": lambda: pair.vllm.options(rows, [2]),
        "likelihoods": lambda: pair.vllm.likelihoods(rows, [[" Yes"]]),
    }[what]
    with pytest.raises(EngineError, match="not measured"):
        ask()
    assert pair.vllm.generate(pair.rows_of([(Steer(VALUES[0]),)]), Sampling(4))[0].tokens


def deaf_to(generated: bool, patch: pytest.MonkeyPatch, blocks: Sequence[int]) -> None:
    """Blocks whose shift does not arrive in one of the two kinds of steps, as if another graph ran there."""
    steps: list[Step] = []
    follow, install = worker.follow, hooks.install

    def following(runner: Any, told: Any, *others: Any) -> str:
        return follow(runner, lambda step: (steps.append(step), told(step)), *others)

    def installing(layers: Any, shift: Any, context: Any) -> None:
        def deaf(block: int, hidden: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
            now = bool(steps) and max(steps[-1].scheduled) == 1
            return hidden if now is generated and block in blocks else shift(block, hidden, residual)

        install(layers, deaf, context)

    patch.setattr(worker, "follow", following)
    patch.setattr(worker, "install", installing)


@pytest.mark.parametrize("blocks", [[0, 1, 2, 3], [1], [3]])
@pytest.mark.parametrize(
    ("generated", "message"),
    [(True, "reaches prompts, but not generated tokens from block"), (False, "does not reach the model's output")],
)
@pytest.mark.parametrize("few", [False, True])
def test_shifts_that_arrive_in_one_kind_of_step_only_are_refused(
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    blocks: list[int],
    generated: bool,
    message: str,
    few: bool,
) -> None:
    deaf_to(generated, monkeypatch, blocks)
    with pytest.raises(ModelError, match=f"{message}.*{', '.join(map(str, blocks))}:"):
        made_pair("llama", tokenizer, tmp_path, **({"max_num_seqs": 1} if few else {}))


# ---------------------------------------------------------------- runners


def test_the_first_runner_takes_no_graph_where_somebody_looks() -> None:
    from vllm.config import CUDAGraphMode
    from vllm.v1.cudagraph_dispatcher import CudagraphDispatcher

    mode = CUDAGraphMode.FULL_DECODE_ONLY
    config = SimpleNamespace(
        compilation_config=SimpleNamespace(
            cudagraph_mode=mode, max_cudagraph_capture_size=8, cudagraph_capture_sizes=[1, 2, 4, 8], compile_sizes=[],
            is_attention_compiled_piecewise=lambda: False,
        ),
        num_speculative_tokens=0, lora_config=None, scheduler_config=SimpleNamespace(max_num_seqs=8),
    )  # fmt: skip
    dispatcher = CudagraphDispatcher(config)
    dispatcher.initialize_cudagraph_keys(mode)
    kind = type("Runner", (), {"__module__": "vllm.v1.worker.gpu_model_runner", "_prepare_inputs": lambda _: None})
    runner: Any = kind()
    runner.cudagraph_dispatcher = dispatcher
    looks: list[bool] = []
    assert runners.follow(runner, lambda _: None, lambda: bool(looks)) == "V1"
    assert dispatcher.dispatch(num_tokens=3, uniform_decode=True)[0] == CUDAGraphMode.FULL
    looks.append(True)
    for invalid in (None, {CUDAGraphMode.FULL}):
        found, shape = dispatcher.dispatch(num_tokens=3, uniform_decode=True, invalid_modes=invalid)
        assert (found, shape.num_tokens) == (CUDAGraphMode.NONE, 3)


def test_the_second_runner_takes_no_graph_where_somebody_looks() -> None:
    from vllm.config import CUDAGraphMode
    from vllm.v1.worker.gpu.cudagraph_utils import BatchExecutionDescriptor

    def manager() -> Any:
        full = BatchExecutionDescriptor(CUDAGraphMode.FULL, 8, 8, uniform_token_count=1, num_active_loras=2)
        return SimpleNamespace(dispatch=lambda *_, **__: full)

    kind = type(
        "Runner", (),
        {
            "__module__": "vllm.v1.worker.gpu.model_runner", "cudagraph_manager": None,
            "prepare_inputs": lambda _: None, "gather_batch_req_state": lambda _, *asked: asked,
        },
    )  # fmt: skip
    runner: Any = kind()
    looks: list[bool] = []
    assert runners.follow(runner, lambda _: None, lambda: bool(looks)) == "V2"
    assert runner.gather_batch_req_state(1, 2) == (1, 2)
    # Made after the model is loaded, and made anew.
    for _ in range(2):
        runner.cudagraph_manager = manager()
        for _ in range(2):
            looks.clear()
            runner.gather_batch_req_state(1, 2)
            assert runner.cudagraph_manager.dispatch(5, 5, 1, num_active_loras=2).cg_mode == CUDAGraphMode.FULL
            looks.append(True)
            expected = BatchExecutionDescriptor(CUDAGraphMode.NONE, 5, 5, num_active_loras=2)
            assert runner.cudagraph_manager.dispatch(5, 5, 1, num_active_loras=2, max_query_len=1) == expected
