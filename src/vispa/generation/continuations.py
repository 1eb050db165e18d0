"""What a model thinks of texts that are given to it as continuations, nothing being decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import torch

from vispa.generation.cache import kept_in, new_cache
from vispa.generation.prefill import check_logits, prefill
from vispa.generation.rows import Row
from vispa.models.batching import DECODING, LOGITS_PER_TOKEN, pad_right, token_batches
from vispa.models.encoding import Prompt, common, continued
from vispa.models.loading import LoadedModel
from vispa.steering.intervention import ActiveSteering

#: Steers a batch of rows while its context lasts.
Steered = Callable[[Sequence[Row]], AbstractContextManager[ActiveSteering]]


def continuation_ids(loaded: LoadedModel, prompt: Prompt, text: str) -> tuple[int, ...]:
    """A text's tokens after a prompt: as the two are side by side, where the prompt's own tokens stay as they are."""
    ids = continued(loaded, prompt, text)
    if common(prompt.ids, ids) == len(prompt.ids) < len(ids):
        return ids[len(prompt.ids) :]
    return tuple(loaded.tokenization.encode(text, ((0, len(text)),)))


def log_probabilities(
    loaded: LoadedModel, rows: Sequence[Row], ids: Sequence[tuple[int, ...]], steered: Steered
) -> Iterator[tuple[int, torch.Tensor]]:
    """Place of each row with its log-probabilities [C, vocabulary], float32; in batches, of which none is kept.

    Rows with one prompt, one after the other, read it once.

    Args:
        loaded: the model.
        rows: N prompts.
        ids: C tokens that continue each, at least one.
        steered: of a batch.

    Raises:
        NumericalError: a logit, activation or shift is not finite.
    """
    entries = len(loaded.tokenizer) // LOGITS_PER_TOKEN
    costs = [len(row.prompt.ids) + len(own) * (1 + entries) for row, own in zip(rows, ids, strict=True)]
    # In their order, whatever their lengths: rows that are steered alike share what their prompts begin with.
    for batch in token_batches([max(costs, default=0)] * len(costs), DECODING):
        own = [rows[i] for i in batch]
        with steered(own) as active:
            first, rest = _logits(loaded, own, [ids[i] for i in batch], active)
        for place, row in enumerate(batch):
            logits = torch.cat([first[place, None], rest[place, : len(ids[row]) - 1]])
            check_logits(logits)
            yield row, logits.float().log_softmax(-1)


def _logits(
    loaded: LoadedModel, rows: Sequence[Row], texts: Sequence[tuple[int, ...]], active: ActiveSteering
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits after B prompts [B, vocabulary], and after each token of their texts but the last [B, T, vocabulary].

    The text is a pass of its own, as in decoding: what a shift adds to a prompt may differ from what it adds to what
    is said.
    """
    cache = new_cache(loaded.model.config)
    said = [text[:-1] for text in texts]
    first, mask, last = prefill(loaded, rows, active, cache, max(map(len, said)))
    if not any(said):
        return first, first[:, None][:, :0]
    after = pad_right(loaded, said)
    rest = loaded.model(
        input_ids=after.ids,
        attention_mask=torch.cat([mask, after.mask], dim=1),
        position_ids=last + 1 + after.positions,
        **kept_in(loaded.model, cache),
    ).logits
    return first, rest
