"""Whether shifts arrive: a known prompt is read and gone on with, with and without them, before anyone is served."""

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

_ADVICE = "vLLM would answer unsteered. Use another version of vLLM or of vispa, or `enforce_eager`."


def check_shifts(runner: Any, execute: Any, sample: Any, steps: Steps, tables: Tables, norms: torch.Tensor) -> None:
    """Refuse to go on where a shift after any block does not reach the end of the model.

    Two requests with one prompt are shifted after a block, one along a direction and one against it, far enough to
    drown the rest. The norm at the model's end makes opposite vectors of them. It goes the whole way of a request:
    through the runner's batch, compiled code and captured graphs. So do two whose prompt is left alone, and whose
    first generated token is shifted: where graphs are captured, prompts and generated tokens go different ways.

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
    test = _Test(runner, execute, sample, steps, tables, norms)
    if lost := test.lost(generated=False):
        blocks = ", ".join(map(str, lost))
        raise RuntimeError(
            f"Steering does not reach the model's output from block {blocks}: its layers are not where vispa adds to "
            f"them. {_ADVICE}"
        )
    if lost := test.lost(generated=True):
        blocks = ", ".join(map(str, lost))
        raise RuntimeError(f"Steering reaches prompts, but not generated tokens from block {blocks}: {_ADVICE}")


class _Test:
    """See `check_shifts`."""

    def __init__(
        self, runner: Any, execute: Any, sample: Any, steps: Steps, tables: Tables, norms: torch.Tensor
    ) -> None:
        self._runner, self._execute, self._sample = runner, execute, sample
        self._steps, self._tables, self._norms = steps, tables, norms

    def lost(self, *, generated: bool) -> list[int]:
        """Blocks whose shift does not arrive, at prompts or at generated tokens."""
        blocks, room = range(len(self._norms)), self._room
        asked = [(block, sign) for block in blocks for sign in (1, -1)]
        ends: dict[tuple[int, int], torch.Tensor] = {}
        for start in range(0, len(asked), room):
            ends |= self._ends(asked[start : start + room], generated=generated)
        cosines = [float(torch.cosine_similarity(ends[block, 1], ends[block, -1], dim=0)) for block in blocks]
        return [block for block, cosine in zip(blocks, cosines, strict=True) if not cosine <= _OPPOSITE]

    @property
    def _room(self) -> int:
        """Requests of a pass, few enough that graphs were captured for so many."""
        runner = self._runner
        most: int = runner.max_num_tokens
        tokens = min(most, runner.compilation_config.max_cudagraph_capture_size or most)
        room: int = min(runner.max_num_reqs, tokens // _TOKENS, runner.kv_cache_config.num_blocks - 1)
        return max(1, room)

    def _ends(self, asked: Sequence[tuple[int, int]], *, generated: bool) -> dict[tuple[int, int], torch.Tensor]:
        """What the last norm gives for the last token of requests that are shifted after a block along a sign."""
        names = {one: f"vispa-self-test-{one[0]}-{one[1]:+d}" for one in asked}
        for (block, sign), name in names.items():
            row = self._tables.row()
            rows = Rows(0, 0, 0, row) if generated else Rows(row, row, row, 0)
            self._tables.write(block, self._tables.places([rows]), self._known_shift(block, sign))
            self._steps.hold(name, rows)
        try:
            ends = self._passed(names, _first_step(self._runner, list(names.values())))
            if generated:
                ends = self._passed(names, _next_step(list(names.values())))
        finally:
            self._execute(_last_step(set(names.values())))
        return ends

    def _passed(self, names: dict[tuple[int, int], str], step: Any) -> dict[tuple[int, int], torch.Tensor]:
        self._execute(step)
        last = self._runner.execute_model_state.hidden_states
        # What graphs put out lies where the next pass writes.
        ends = {one: last[self._steps.last_places[name]].float().clone() for one, name in names.items()}
        self._sample(None)
        return ends

    def _known_shift(self, block: int, sign: int) -> Shifts:
        """As long as it should be, or as the type of the model's numbers allows."""
        length = min(_STRENGTH * float(self._norms[block]), float(torch.finfo(self._tables.dtype).max) / 64)
        direction = torch.randn(self._tables.width, generator=torch.Generator().manual_seed(0))
        vector = (direction / direction.norm() * sign * length)[None, None]
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
            sampling_params=SamplingParams(max_tokens=3, temperature=0.0), lora_request=None, prefill_token_ids=ids,
            # Block 0 stands for none; one has room for the prompt and what is generated.
            block_ids=tuple([1 + place] for _ in range(groups)),
        )
        for place, name in enumerate(names)
    ]  # fmt: skip
    step.num_scheduled_tokens = dict.fromkeys(names, _TOKENS)
    step.total_num_scheduled_tokens = _TOKENS * len(names)
    return step


def _next_step(names: Sequence[str]) -> Any:
    """A step in which the token that each of the requests got first is read."""
    from vllm.v1.core.sched.output import CachedRequestData, SchedulerOutput

    step = SchedulerOutput.make_empty()
    cached = step.scheduled_cached_reqs = CachedRequestData.make_empty()
    cached.req_ids, cached.new_block_ids = list(names), [None] * len(names)
    cached.num_computed_tokens, cached.num_output_tokens = [_TOKENS] * len(names), [1] * len(names)
    step.num_scheduled_tokens = dict.fromkeys(names, 1)
    step.total_num_scheduled_tokens = len(names)
    return step


def _last_step(names: set[str]) -> Any:
    from vllm.v1.core.sched.output import SchedulerOutput

    step = SchedulerOutput.make_empty()
    step.finished_req_ids = names
    return step
