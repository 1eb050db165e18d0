"""What the bank's probes read off a steered model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from vispa.errors import InputError
from vispa.generation.rows import Row
from vispa.generation.transformers import TransformersEngine
from vispa.models.batching import DECODING, pad_left, token_batches
from vispa.models.context import check_context
from vispa.steering.activations import ending_after, hooks_on
from vispa.steering.bank import VectorBank
from vispa.steering.plan import SteeringPlan
from vispa.steering.recipe import Recipe

#: Name of the bank's entry whose logits are read.
PROBE = "probe"


def last_steered_block(bank: VectorBank, rows: Sequence[Row], recipe: Recipe) -> int:
    """The highest block that any row is shifted after; the recipe's highest where none is."""
    steers = [steer for row in rows for steer in row.steers]
    blocks = bank.plan(steers, recipe).blocks if steers else {}
    return max(blocks, default=max(recipe.chosen_blocks(len(bank.residual_norm))))


def probe_logits(
    engine: TransformersEngine,
    rows: Sequence[Row],
    block: int,
    progress: Callable[[int], None] | None = None,
) -> npt.NDArray[np.float64]:
    """The logit of every value's probe at each row's last prompt token, read after a block.

    Rows are steered by their steers and read in batches of many, in one pass over the prompt; a
    shift at the block itself is in what is read. Scope `generated` shifts no prompt, so that
    such a row reads like an unsteered one.

    Args:
        engine: with a bank that has an entry `probe` of V values.
        rows: N prompts as the model continues them, with their steers.
        block: after which to read.
        progress: called with the number of rows just read.

    Returns:
        [N, V] w·h + b; its logistic function is the probability.

    Raises:
        ContextError: a prompt is longer than the model's context.
        InputError: there is no row, or the bank has no probe.
        NumericalError: an activation or shift is not finite.
    """
    if not rows:
        raise InputError("prompts", "are none.", "Give at least one.")
    directions = bank_of(engine).entry(PROBE).directions
    if directions.bias is None or directions.weight_norm is None:
        raise InputError("estimator", f"{PROBE!r} of the bank has no probability.", "Fit the bank with `Probe`.")
    weight = directions.vectors[:, block] * directions.weight_norm[:, block, None]
    for row in rows:
        check_context(engine.loaded, len(row.prompt.ids))
    plan = engine.plan(rows)
    out = np.empty((len(rows), len(weight)))
    for batch in token_batches([len(row.prompt.ids) for row in rows], DECODING):
        last = _last_states(engine, [rows[i] for i in batch], plan, block)
        out[batch] = (last @ weight.T + directions.bias[:, block]).double().numpy()
        if progress is not None:
            progress(len(batch))
    return out


def _last_states(engine: TransformersEngine, rows: Sequence[Row], plan: SteeringPlan, block: int) -> torch.Tensor:
    """Residual stream [B, H] after a block at the last token of prompts, float32 on the CPU."""
    ids, mask, positions = pad_left(engine.loaded, [row.prompt.ids for row in rows])
    states: list[torch.Tensor] = []
    with (
        engine.steered(rows, plan),
        # Set after the steering's hooks, so that it sees what they made.
        hooks_on(engine.loaded.blocks, lambda _block, hidden: states.append(hidden[:, -1].float().cpu()), (block,)),
        ending_after(engine.loaded.blocks, block),
    ):
        engine.loaded.model.base_model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
    return states[0]


def bank_of(engine: TransformersEngine) -> VectorBank:
    """The bank that an engine steers by.

    Raises:
        InputError: it has none.
    """
    if engine.bank is None:
        raise InputError("bank", "is missing.", "Give the engine the model's bank.")
    return engine.bank
