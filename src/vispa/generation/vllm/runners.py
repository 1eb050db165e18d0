"""Following the steps of vLLM's model runners, of which it has two: which tokens of which requests they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vispa.generation.vllm.steps import Step

Told = Callable[[Step], None]


def follow(runner: Any, told: Told) -> str:
    """Be told of every step's tokens just before a runner's model reads them.

    Args:
        runner: of a worker.
        told: is called with each step.

    Returns:
        Name of the runner.

    Raises:
        RuntimeError: a runner that is not known, whose steps nobody could follow.
    """
    modules = {kind.__module__ for kind in type(runner).__mro__}
    for module, (name, adapt) in _RUNNERS.items():
        if module in modules:
            adapt(runner, told)
            return name
    raise RuntimeError(f"vispa does not know the model runner {type(runner).__module__}.{type(runner).__name__}")


def _follow_first(runner: Any, told: Told) -> None:
    """The runner of vLLM's V1 engine, which processors use."""
    prepare = runner._prepare_inputs

    def prepared(scheduler_output: Any, scheduled: Any, *others: Any, **named: Any) -> Any:
        found = prepare(scheduler_output, scheduled, *others, **named)
        batch = runner.input_batch
        count = batch.num_reqs
        computed, prompts = batch.num_computed_tokens_cpu[:count], batch.num_prompt_tokens[:count]
        told(Step(batch.req_ids[:count], scheduled[:count].tolist(), computed.tolist(), prompts.tolist()))
        return found

    runner._prepare_inputs = prepared


def _follow_second(runner: Any, told: Told) -> None:
    """The runner that GPUs have by default since vLLM 0.3x."""
    prepare = runner.prepare_inputs

    def prepared(*arguments: Any, **named: Any) -> Any:
        batch = prepare(*arguments, **named)
        prompts = runner.req_states.prompt_len.np[batch.idx_mapping_np]
        told(
            Step(
                batch.req_ids, batch.num_scheduled_tokens.tolist(), batch.num_computed_tokens_np.tolist(),
                prompts.tolist(),
            )
        )  # fmt: skip
        return batch

    runner.prepare_inputs = prepared


# Module of the runner's class → its name, and how it is followed.
_RUNNERS: dict[str, tuple[str, Callable[[Any, Told], None]]] = {
    "vllm.v1.worker.gpu_model_runner": ("V1", _follow_first),
    "vllm.v1.worker.gpu.model_runner": ("V2", _follow_second),
}
