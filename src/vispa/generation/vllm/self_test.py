"""Whether shifts arrive: a known prompt is read with and without them, before anyone is served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vispa.generation.vllm.steps import Steps
from vispa.generation.vllm.tables import Rows, Tables
from vispa.steering.intervention import Shifts

#: Length of the shift, in typical lengths of the residual stream: nothing beside it is left of the stream's direction.
_STRENGTH = 1000.0
#: Cosine of what the last norm makes of two opposite shifts; -1 where they arrive whole, 1 where not at all.
_OPPOSITE = -0.8
_TOKENS = 4


def check_shifts(runner: Any, execute: Any, sample: Any, steps: Steps, tables: Tables, norms: torch.Tensor) -> None:
    """Refuse to go on where a shift after any block does not reach the end of the model.

    Two requests with one prompt are shifted after a block, one along a direction and one against it, far enough to
    drown the rest. The norm at the model's end makes opposite vectors of them. It goes the whole way of a request:
    through the runner's batch, compiled code and captured graphs.

    Args:
        runner: of the worker.
        execute: runs a step of the worker.
        sample: ends it.
        steps: of the worker.
        tables: that its tokens gather from.
        norms: [L] typical length of the residual stream after each block.

    Raises:
        RuntimeError: a shift did not arrive; names the blocks.
    """
    blocks = list(range(len(norms)))
    room = min(runner.max_num_reqs, runner.max_num_tokens // _TOKENS, runner.kv_cache_config.num_blocks - 1) // 2
    lost = []
    for start in range(0, len(blocks), max(room, 1)):
        part = blocks[start : start + max(room, 1)]
        cosines = _cosines(part, runner, execute, sample, steps, tables, norms)
        lost += [block for block, cosine in cosines if not cosine <= _OPPOSITE]
    if lost:
        raise RuntimeError(
            f"Steering does not reach the model's output from block {', '.join(map(str, lost))}: vLLM would answer "
            "unsteered. Its layers are not where vispa adds to them; use another version of vLLM or of vispa."
        )


def _cosines(
    blocks: Sequence[int], runner: Any, execute: Any, sample: Any, steps: Steps, tables: Tables, norms: torch.Tensor
) -> list[tuple[int, float]]:
    names = {(block, sign): f"vispa-self-test-{block}-{sign:+d}" for block in blocks for sign in (1, -1)}
    taken: list[Rows] = []
    for (block, sign), name in names.items():
        row = tables.row()
        taken.append(Rows(row, row, row, row))
        tables.write(block, [taken[-1]], _known_shift(sign * _length(tables, norms, block), tables))
        steps.hold(name, taken[-1])
    try:
        execute(_first_step(runner, list(names.values())))
        last = runner.execute_model_state.hidden_states
        ends = {key: last[steps.last_places[name]].float() for key, name in names.items()}
        sample(None)
    finally:
        execute(_last_step(set(names.values())))
    return [(block, float(torch.cosine_similarity(ends[block, 1], ends[block, -1], dim=0))) for block in blocks]


def _length(tables: Tables, norms: torch.Tensor, block: int) -> float:
    """As long as it should be, or as the type of the model's numbers allows."""
    return min(_STRENGTH * float(norms[block]), float(torch.finfo(tables.dtype).max) / 64)


def _known_shift(length: float, tables: Tables) -> Shifts:
    direction = torch.randn(tables.width, generator=torch.Generator().manual_seed(0))
    vector = (direction / direction.norm() * length)[None, None]
    return Shifts(vector, None, None, {1.0: vector})


def _first_step(runner: Any, names: Sequence[str]) -> Any:
    """A step in which requests with one known prompt begin, as vLLM's scheduler would give it."""
    from vllm import SamplingParams
    from vllm.v1.core.sched.output import NewRequestData, SchedulerOutput

    ids = list(range(1, _TOKENS + 1))
    groups = len(runner.kv_cache_config.kv_cache_groups)
    step = SchedulerOutput.make_empty()
    step.scheduled_new_reqs = [
        NewRequestData(
            req_id=name, prompt_token_ids=ids, mm_features=[], pooling_params=None, num_computed_tokens=0,
            sampling_params=SamplingParams(max_tokens=2, temperature=0.0), lora_request=None, prefill_token_ids=ids,
            # Block 0 stands for none.
            block_ids=tuple([1 + place] for _ in range(groups)),
        )
        for place, name in enumerate(names)
    ]  # fmt: skip
    step.num_scheduled_tokens = dict.fromkeys(names, _TOKENS)
    step.total_num_scheduled_tokens = _TOKENS * len(names)
    return step


def _last_step(names: set[str]) -> Any:
    from vllm.v1.core.sched.output import SchedulerOutput

    step = SchedulerOutput.make_empty()
    step.finished_req_ids = names
    return step
