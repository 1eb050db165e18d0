"""Following the steps of vLLM's model runners, of which it has two: which tokens of which requests they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vispa.generation.vllm.passes import Step

Told = Callable[[Step], None]
Looks = Callable[[], bool]


def follow(runner: Any, told: Told, looks: Looks) -> str:
    """Be told of every step's tokens just before a runner's model reads them, and keep graphs out of some steps.

    Args:
        runner: of a worker.
        told: is called with each step.
        looks: whether something is measured or read in the step that begins, which captured graphs would leave out.

    Returns:
        Name of the runner.

    Raises:
        RuntimeError: a runner that is not known, whose steps nobody could follow.
    """
    modules = {kind.__module__ for kind in type(runner).__mro__}
    for module, (name, adapt) in _RUNNERS.items():
        if module in modules:
            adapt(runner, told, looks)
            return name
    raise RuntimeError(f"vispa does not know the model runner {type(runner).__module__}.{type(runner).__name__}")


def _follow_first(runner: Any, told: Told, looks: Looks) -> None:
    """The runner of vLLM's V1 engine, which processors use.

    To it any pass with one token of each request is one of generated tokens, also where that is a prompt's.
    """
    from vllm.config import CUDAGraphMode

    prepare, dispatch = runner._prepare_inputs, runner.cudagraph_dispatcher.dispatch

    def prepared(scheduler_output: Any, scheduled: Any, *others: Any, **named: Any) -> Any:
        found = prepare(scheduler_output, scheduled, *others, **named)
        batch = runner.input_batch
        count = batch.num_reqs
        computed, prompts = batch.num_computed_tokens_cpu[:count], batch.num_prompt_tokens[:count]
        told(Step(batch.req_ids[:count], scheduled[:count].tolist(), computed.tolist(), prompts.tolist()))
        return found

    def dispatched(*arguments: Any, **named: Any) -> Any:
        if looks():
            named |= {"valid_modes": {CUDAGraphMode.NONE}, "invalid_modes": None}
        return dispatch(*arguments, **named)

    runner._prepare_inputs, runner.cudagraph_dispatcher.dispatch = prepared, dispatched


def _follow_second(runner: Any, told: Told, looks: Looks) -> None:
    """The runner that GPUs have by default since vLLM 0.3x."""
    prepare, gather = runner.prepare_inputs, runner.gather_batch_req_state

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

    def gathered(*arguments: Any, **named: Any) -> Any:
        # What chooses graphs is made after the model is loaded, and perhaps anew.
        manager = runner.cudagraph_manager
        if manager is not None and not hasattr(manager.dispatch, "vispa"):
            manager.dispatch = _without_graphs(manager.dispatch, looks)
        return gather(*arguments, **named)

    runner.prepare_inputs, runner.gather_batch_req_state = prepared, gathered


def _without_graphs(dispatch: Callable[..., Any], looks: Looks) -> Callable[..., Any]:
    """The second runner's choice of a graph; none, which it takes where no graph fits, where somebody looks."""
    from vllm.config import CUDAGraphMode

    def dispatched(num_reqs: int, num_tokens: int, *arguments: Any, **named: Any) -> Any:
        found = dispatch(num_reqs, num_tokens, *arguments, **named)
        if not looks():
            return found
        # As many tokens as there are: padding belongs to graphs.
        bare = {"cg_mode": CUDAGraphMode.NONE, "num_tokens": num_tokens, "num_reqs": num_reqs}
        return type(found)(**bare, num_active_loras=found.num_active_loras, num_ubatches=found.num_ubatches)

    dispatched.vispa = True  # type: ignore[attr-defined]
    return dispatched


# Module of the runner's class → its name, and how it is followed.
_RUNNERS: dict[str, tuple[str, Callable[[Any, Told, Looks], None]]] = {
    "vllm.v1.worker.gpu_model_runner": ("V1", _follow_first),
    "vllm.v1.worker.gpu.model_runner": ("V2", _follow_second),
}
