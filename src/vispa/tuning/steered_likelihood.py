"""What a model says of comments while vectors are added to its residual stream that gradients reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from vispa.models.batching import pad_left
from vispa.models.encoding import common, continued
from vispa.models.loading import LoadedModel
from vispa.models.tokenization import Span
from vispa.steering.activations import hooks_on
from vispa.study.fluency import continuation
from vispa.tuning.examples import Example


@dataclass(frozen=True)
class EncodedComment:
    """A comment as tokens.

    Attributes:
        value: place of the value that it is steered toward.
        ids: tokens of prompt and comment.
        count: how many of them, the last ones, are the comment's.
        subject: from and to which of them the prompt writes what it is about.
    """

    value: int
    ids: tuple[int, ...]
    count: int
    subject: Span

    @classmethod
    def of(cls, loaded: LoadedModel, example: Example) -> EncodedComment:
        """An example's, prompt and text encoded side by side, and parted by white space as the model parts them."""
        ids = continued(loaded, example.prompt, continuation(example.prompt.text, example.text))
        return cls(example.value, ids, max(1, len(ids) - common(example.prompt.ids, ids)), example.prompt.subject)


def comment_logits(
    loaded: LoadedModel,
    vectors: torch.Tensor,
    blocks: Sequence[int],
    batch: Sequence[EncodedComment],
    *,
    subject_share: float,
    remains: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the steered model expects at the tokens of B comments.

    Args:
        loaded: the model.
        vectors: [V, blocks, H] that are added after these blocks.
        blocks: numbers of the blocks.
        batch: the comments.
        subject_share: see `Recipe`.
        remains: see `Recipe.remains`.

    Returns:
        Logits [B, T, vocabulary] before each of the last T tokens; the tokens [B, T]; and [B, T] which of them are
        comments' own.
    """
    ids, mask, positions = pad_left(loaded, [one.ids for one in batch])
    values = torch.tensor([one.value for one in batch], device=vectors.device)
    place = {block: number for number, block in enumerate(blocks)}
    share = torch.ones(*ids.shape, 1, device=vectors.device)
    for row, one in enumerate(batch):
        begin, end = (ids.shape[1] - len(one.ids) + at for at in one.subject)
        share[row, begin:end] = subject_share
        share[row, -one.count :, 0] = remains ** torch.arange(1.0, one.count + 1, device=vectors.device)

    def shifted(block: int, hidden: torch.Tensor) -> torch.Tensor:
        shift = vectors[values, place[block]][:, None] * share
        return hidden + shift.to(hidden.device, hidden.dtype)

    most = max(one.count for one in batch)
    with hooks_on(loaded.blocks, shifted, blocks):
        logits = loaded.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=most + 1
        ).logits
    counts = torch.tensor([one.count for one in batch], device=logits.device)
    own = torch.arange(most, 0, -1, device=logits.device) <= counts[:, None]
    return logits[:, :-1], ids[:, -most:].to(logits.device), own


@contextmanager
def frozen(loaded: LoadedModel) -> Iterator[None]:
    """No gradients of the model's weights while the context lasts."""
    asked = [weight for weight in loaded.model.parameters() if weight.requires_grad]
    for weight in asked:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in asked:
            weight.requires_grad_(True)
