"""Reading the residual stream after every decoder block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from vispa.errors import NumericalError
from vispa.models.context import context_length
from vispa.models.encoding import raw_prompt
from vispa.models.loading import LoadedModel

#: How one vector is read from a sentence's tokens: the last one (the paper) or the mean.
Reading = Literal["last", "mean"]

MAX_TOKENS = 256
# Padded tokens a batch: on a CPU larger ones outgrow its caches, on a GPU smaller ones leave it idle.
_TOKENS_PER_BATCH = {"cpu": 1024}
_TOKENS_PER_BATCH_ELSEWHERE = 8192


def block_output(output: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The hidden states [B, T, H] in a block's output, which some architectures wrap in a tuple."""
    return output[0] if isinstance(output, tuple) else output


@contextmanager
def hooks_on(
    blocks: nn.ModuleList,
    hook: Callable[[int, torch.Tensor], torch.Tensor | None],
    numbers: Sequence[int] | None = None,
) -> Iterator[None]:
    """Call `hook(block number, hidden states)` after every block, or those with `numbers`.

    A tensor that the hook returns replaces the hidden states.

    The hooks come off when the context ends, however it ends.
    """

    def make(number: int) -> Callable[..., torch.Tensor | tuple[torch.Tensor, ...] | None]:
        def call(_module: nn.Module, _inputs: object, output: torch.Tensor | tuple[torch.Tensor, ...]) -> object:
            replaced = hook(number, block_output(output))
            if replaced is None:
                return None
            return (replaced, *output[1:]) if isinstance(output, tuple) else replaced

        return call  # type: ignore[return-value]

    handles = []
    try:
        for number in range(len(blocks)) if numbers is None else numbers:
            handles.append(blocks[number].register_forward_hook(make(number)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def read_activations(
    loaded: LoadedModel,
    texts: Sequence[str],
    *,
    readings: Sequence[Reading] = ("last",),
    max_tokens: int = MAX_TOKENS,
    progress: Callable[[int], None] | None = None,
) -> dict[Reading, torch.Tensor]:
    """Residual stream after every block, one vector a text and reading.

    Texts go in as they are (no chat template), cut after `max_tokens`, in length-sorted batches
    padded on the right, so that no text's position depends on its neighbours.

    Args:
        loaded: the model.
        texts: N non-empty texts.
        readings: which vectors to read.
        max_tokens: longest text in tokens (the paper: 256), at most the model's context.
        progress: called with the number of texts just finished.

    Returns:
        Per reading a float32 tensor [N, L, H] on the CPU, L being the number of blocks.

    Raises:
        NumericalError: an activation is NaN or infinite; names text and block.
    """
    tokenizer, blocks = loaded.tokenizer, loaded.blocks
    max_tokens = min(max_tokens, context_length(loaded.model.config) or max_tokens)
    encoded = [raw_prompt(loaded, text, max_tokens=max_tokens).ids for text in texts]
    out = {reading: torch.empty(len(texts), len(blocks), loaded.hidden_size) for reading in readings}
    order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
    budget = _TOKENS_PER_BATCH.get(loaded.device.type, _TOKENS_PER_BATCH_ELSEWHERE)
    for batch in _budgeted(order, [len(ids) for ids in encoded], budget):
        lengths = torch.tensor([len(encoded[index]) for index in batch])
        width = int(lengths.max())
        ids = torch.full((len(batch), width), int(tokenizer.pad_token_id))
        for row, index in enumerate(batch):
            ids[row, : len(encoded[index])] = torch.tensor(encoded[index])
        mask = torch.arange(width)[None, :] < lengths[:, None]
        rows = torch.tensor(batch)
        device = loaded.device
        last, weights = (lengths - 1).to(device), (mask / lengths[:, None]).to(device, torch.float32)

        def read(
            number: int,
            hidden: torch.Tensor,
            rows: torch.Tensor = rows,
            last: torch.Tensor = last,
            weights: torch.Tensor = weights,
        ) -> None:
            if "last" in out:
                place = last.to(hidden.device)
                out["last"][rows, number] = hidden[torch.arange(len(rows), device=hidden.device), place].float().cpu()
            if "mean" in out:
                out["mean"][rows, number] = torch.einsum("bth,bt->bh", hidden.float(), weights.to(hidden.device)).cpu()

        with loaded.passes(), hooks_on(blocks, read):
            # The base model leaves out the output head, which nobody reads here.
            loaded.model.base_model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
        if progress is not None:
            progress(len(batch))
    for states in out.values():
        check_finite(states, texts)
    return out


def check_finite(states: torch.Tensor, texts: Sequence[str]) -> None:
    """Raise `NumericalError` for the first NaN or infinity in [N, L, H]."""
    bad = ~torch.isfinite(states).all(-1)
    if bad.any():
        text, block = (int(number) for number in bad.nonzero()[0])
        raise NumericalError(
            f"The activation of text {text} ({texts[text][:60]!r}) after block {block} is not finite; "
            "load the model in float32 or bfloat16."
        )


def _budgeted(order: Sequence[int], lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Cut length-sorted indices into batches of at most `budget` padded tokens."""
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * lengths[index] > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
