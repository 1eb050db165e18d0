"""Reading the residual stream after every decoder block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from vispa.errors import NumericalError, TextError
from vispa.files.reading import shortened
from vispa.models.batching import pad_right, reading_budget, token_batches
from vispa.models.context import context_length
from vispa.models.encoding import raw_prompt
from vispa.models.loading import LoadedModel
from vispa.steering.readings import READINGS, Reading
from vispa.versions import versions

MAX_TOKENS = 256


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


class _Done(Exception):
    """A forward pass has come as far as it is needed."""


@contextmanager
def ending_after(blocks: nn.ModuleList, number: int) -> Iterator[None]:
    """End a forward pass, and with it the context, after block `number`; hooks set on it before still see its output.

    Example:
        >>> with hooks_on(blocks, read, (3,)), ending_after(blocks, 3):
        ...     model(input_ids=ids)
    """

    def end(_block: int, _hidden: torch.Tensor) -> None:
        raise _Done

    with suppress(_Done), hooks_on(blocks, end, (number,)):
        yield


def read_activations(
    loaded: LoadedModel,
    texts: Sequence[str],
    *,
    readings: Sequence[Reading] = ("last",),
    blocks: Sequence[int] | None = None,
    max_tokens: int = MAX_TOKENS,
    unpadded: bool = False,
    progress: Callable[[int], None] | None = None,
) -> dict[Reading, torch.Tensor]:
    """Residual stream after every block, or those asked for, one vector a text and reading.

    Texts go in as they are (no chat template), cut after `max_tokens`, in length-sorted batches
    padded on the right, so that no text's position depends on its neighbours.

    Args:
        loaded: the model.
        texts: N non-empty texts.
        readings: which vectors to read; see `vispa.steering.readings`.
        blocks: numbers of those to read, rising; by default all. Nothing runs beyond the last one.
        max_tokens: longest text in tokens (the paper: 256), at most the model's context.
        unpadded: only texts of as many tokens share a batch; with padding, what a model in 16 bits rounds differs.
        progress: called with the number of texts just finished.

    Returns:
        Per reading a float32 tensor [N, L, H] on the CPU, L being the number of blocks read.

    Raises:
        NumericalError: an activation is NaN or infinite; names text and block.
        TextError: a text of which the tokenizer makes no token.
    """
    numbers = range(len(loaded.blocks)) if blocks is None else blocks
    max_tokens = _most_tokens(loaded, max_tokens)
    encoded = [raw_prompt(loaded, text, max_tokens=max_tokens).ids for text in texts]
    for text, ids in zip(texts, encoded, strict=True):
        if not ids:
            raise TextError(f"The model's tokenizer makes no token of {shortened(text)}: there is nothing to read.")
    out = {reading: torch.empty(len(texts), len(numbers), loaded.hidden_size) for reading in readings}
    lengths, budget = [len(ids) for ids in encoded], reading_budget(loaded.device)
    for batch in token_batches(lengths, budget, unpadded=unpadded):
        padded = pad_right(loaded, [encoded[place] for place in batch])
        reader = _reader(out, torch.tensor(batch), padded.mask, {block: place for place, block in enumerate(numbers)})
        with (
            loaded.passes(),
            hooks_on(loaded.blocks, reader, numbers),
            ending_after(loaded.blocks, numbers[-1]),
        ):
            # The base model leaves out the output head, which nobody reads here.
            loaded.model.base_model(input_ids=padded.ids, attention_mask=padded.mask, use_cache=False)
        if progress is not None:
            progress(len(batch))
    for states in out.values():
        check_finite(states, texts, numbers)
    return out


def reads_to_the_end(loaded: LoadedModel, texts: Sequence[str], max_tokens: int = MAX_TOKENS) -> list[bool]:
    """Whether `read_activations` reads each of N texts to its end, and does not cut it."""
    most = _most_tokens(loaded, max_tokens)
    return [len(raw_prompt(loaded, text).ids) <= most for text in texts]


def _most_tokens(loaded: LoadedModel, max_tokens: int) -> int:
    return min(max_tokens, context_length(loaded.model.config) or max_tokens)


class ActivationSource(Protocol):
    """What reads the residual stream of sentences for fitting: a model in some engine."""

    @property
    def engine(self) -> str:
        """The package that runs the model, for the record."""
        ...

    @property
    def facts(self) -> Mapping[str, object]:
        """What the last bits of its readings depend on beside model and text, as JSON can say it."""
        ...

    def read(
        self, texts: Sequence[str], *, readings: Sequence[Reading], progress: Callable[[int], None] | None = None
    ) -> dict[Reading, torch.Tensor]:
        """What `read_activations` gives of N texts at all L blocks: a reading → float32 [N, L, H] on the CPU.

        Raises:
            NumericalError: an activation is NaN or infinite.
        """
        ...


@dataclass(frozen=True)
class TransformersActivations:
    """See `ActivationSource`: `read_activations` of a model that transformers has loaded.

    Attributes:
        loaded: the model.
    """

    loaded: LoadedModel

    @property
    def engine(self) -> str:
        """See `ActivationSource`."""
        return "transformers"

    @property
    def facts(self) -> Mapping[str, object]:
        """See `ActivationSource`."""
        return {
            "device": self.loaded.device.type,
            "dtype": str(self.loaded.model.dtype),
            "threads": torch.get_num_threads(),
            "versions": versions(),
        }

    def read(
        self, texts: Sequence[str], *, readings: Sequence[Reading], progress: Callable[[int], None] | None = None
    ) -> dict[Reading, torch.Tensor]:
        """See `ActivationSource.read`."""
        return read_activations(self.loaded, texts, readings=readings, progress=progress)


def _reader(
    out: Mapping[Reading, torch.Tensor], rows: torch.Tensor, mask: torch.Tensor, places: Mapping[int, int]
) -> Callable[[int, torch.Tensor], None]:
    """A hook that writes what it reads of a batch, padded on the right, into `out`.

    Args:
        out: reading → [N, L, H].
        rows: [B] places of the batch's texts in `out`.
        mask: [B, T], 1 where a token is.
        places: block number → place on the second axis of `out`.
    """
    tokens = mask.bool()

    def read(block: int, hidden: torch.Tensor) -> None:
        for reading, states in out.items():
            states[rows, places[block]] = READINGS[reading](hidden, tokens.to(hidden.device)).cpu()

    return read


def check_finite(states: torch.Tensor, texts: Sequence[str], blocks: Sequence[int]) -> None:
    """Raise `NumericalError` for the first NaN or infinity in [N, L, H], the second axis being these blocks."""
    bad = ~torch.isfinite(states).all(-1)
    if bad.any():
        text, place = (int(number) for number in bad.nonzero()[0])
        raise NumericalError(
            f"The activation of text {text} ({texts[text][:60]!r}) after block {blocks[place]} is not finite; "
            "load the model in float32 or bfloat16."
        )
