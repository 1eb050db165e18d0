"""The unit of generation."""

from __future__ import annotations

from dataclasses import dataclass, field

from vispa.models.encoding import Prompt
from vispa.request import Sampling
from vispa.steering.recipe import Steer

__all__ = ["Generated", "Row", "Sampling"]


@dataclass(frozen=True)
class Row:
    """One prompt with its steers.

    Sampled, a row draws random numbers of its own, made from the seeds, its prompt and its values:
    the same row gives the same text whatever else is in the batch, but for near ties in numbers coarser than float32.

    Attributes:
        prompt: what the model continues.
        steers: toward which values and how; none for the plain model. Several add up.
        seed: of the row beside the sampling's; tells rows apart that are the same otherwise.
        orthogonal: a later steer loses what it shares with the earlier ones.
    """

    prompt: Prompt
    steers: tuple[Steer, ...] = ()
    seed: int = 0
    orthogonal: bool = False


@dataclass(frozen=True)
class Generated:
    """A row's text, with what was done to get it.

    Attributes:
        text: without the prompt, special tokens, and what a reasoning model thinks before its answer.
        tokens: number of generated tokens, the end-of-sequence token included.
        shift: block number → length of the shift added to the residual stream; negative
            where it went against the direction.
        left_out: blocks of the recipe that were left alone, because the value's direction does not separate there.
        unfinished: the model was still thinking when its tokens ran out; there is no text.
        ids: the generated tokens.
        limited: the limit of tokens stopped the model, not its own end.
    """

    text: str
    tokens: int
    shift: dict[int, float] = field(default_factory=dict)
    left_out: tuple[int, ...] = ()
    unfinished: bool = False
    ids: tuple[int, ...] = ()
    limited: bool = False
