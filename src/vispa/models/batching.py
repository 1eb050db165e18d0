"""Batches of rows of similar length under a budget, and their padding: one way for all that runs a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vispa.errors import InputError

if TYPE_CHECKING:
    import torch

    from vispa.models.loading import LoadedModel


@dataclass(frozen=True)
class Budget:
    """What one batch may hold; None sets no limit.

    Attributes:
        tokens: most tokens, padding included. A longer row is a batch of its own.
        rows: most rows.
    """

    tokens: int | None = None
    rows: int | None = None

    def __post_init__(self) -> None:
        """Refuse a batch that can hold nothing.

        Raises:
            InputError: a limit under 1.
        """
        for name, most in (("tokens", self.tokens), ("rows", self.rows)):
            if most is not None and most < 1:
                raise InputError(name, f"are {most} a batch.", "Give at least 1.")

    def holds(self, rows: int, longest: int) -> bool:
        """Whether so many rows fit, the longest of `longest` tokens."""
        within = self.tokens is None or rows * longest <= self.tokens
        return within and (self.rows is None or rows <= self.rows)


#: Of prompts that a language model continues.
DECODING = Budget(tokens=16384, rows=256)
#: Of logits that are kept, so many entries weigh as much in a batch as one token: they are what fills memory.
LOGITS_PER_TOKEN = 4096
#: Of pairs that a classifier judges.
CLASSIFYING = Budget(tokens=8192, rows=256)
#: Of texts that are given to a sentence encoder together.
ENCODING = Budget(rows=64)
# Of texts that are read in one pass and not continued: on a CPU larger batches outgrow its caches, on a GPU smaller
# ones leave it idle.
_READING = {"cpu": Budget(tokens=1024)}
_READING_ELSEWHERE = Budget(tokens=8192)


def reading_budget(device: torch.device) -> Budget:
    """The budget of texts that a model reads and does not continue, on a kind of device."""
    return _READING.get(device.type, _READING_ELSEWHERE)


def token_batches(
    lengths: Sequence[int], budget: Budget, *, longest_first: bool = False, unpadded: bool = False
) -> Iterator[list[int]]:
    """Positions of N rows in batches of similar length; rows of one length keep their order.

    Args:
        lengths: tokens of each row, or any other measure of what a row costs, [N].
        budget: of a batch.
        longest_first: begin with the longest rows, so that memory that does not suffice shows at the start.
        unpadded: only rows of one length share a batch, so that none is padded.

    Example:
        >>> list(token_batches([3, 1, 2, 9], Budget(tokens=6)))
        [[1, 2], [0], [3]]
    """
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place] if longest_first else lengths[place])
    batch: list[int] = []
    for place in order:
        width = lengths[batch[0] if longest_first and batch else place]
        is_padded = bool(batch) and lengths[place] != lengths[batch[0]]
        if batch and (not budget.holds(len(batch) + 1, width) or (unpadded and is_padded)):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


class Padded(NamedTuple):
    """Rows of token ids, brought to one length T.

    Attributes:
        ids: [B, T] int64.
        mask: [B, T] int64, 1 where a token is and 0 where padding is.
        positions: [B, T] int64, each token's place in its own row.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor


def pad_left(loaded: LoadedModel, rows: Sequence[Sequence[int]]) -> Padded:
    """B rows of token ids that end together, on the model's device: the next token follows at the last place."""
    return _padded(loaded, rows, left=True)


def pad_right(loaded: LoadedModel, rows: Sequence[Sequence[int]]) -> Padded:
    """B rows of token ids that begin together, on the model's device: no position depends on the neighbours."""
    return _padded(loaded, rows, left=False)


def _padded(loaded: LoadedModel, rows: Sequence[Sequence[int]], *, left: bool) -> Padded:
    import torch

    width = max(map(len, rows))
    ids = torch.full((len(rows), width), int(loaded.tokenizer.pad_token_id))
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        place = slice(width - len(row), None) if left else slice(len(row))
        ids[number, place] = torch.tensor(row, dtype=ids.dtype)
        mask[number, place] = 1
    mask = mask.to(loaded.device)
    return Padded(ids.to(loaded.device), mask, (mask.cumsum(-1) - 1).clamp_min(0))
