"""The unit of generation."""

from __future__ import annotations

from dataclasses import dataclass, field

from vispa.errors import InputError
from vispa.models.encoding import Prompt
from vispa.steering.recipe import Steer


@dataclass(frozen=True)
class Row:
    """One prompt with its steers and seed.

    Attributes:
        prompt: what the model continues.
        steers: toward which values and how; none for the plain model. Several add up.
        seed: of sampling; the same seed gives the same text whatever else is in the batch.
        orthogonal: a later steer loses what it shares with the earlier ones.
    """

    prompt: Prompt
    steers: tuple[Steer, ...] = ()
    seed: int = 0
    orthogonal: bool = False


@dataclass(frozen=True)
class Sampling:
    """How texts are decoded.

    Attributes:
        max_new_tokens: longest text.
        temperature: 0 is greedy.
        top_p: share of the probability that the likeliest tokens sampled from must hold.
    """

    max_new_tokens: int = 200
    temperature: float = 0.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise InputError("temperature", f"is {self.temperature}.", "Give 0 for greedy decoding, or more.")
        if not 0 < self.top_p <= 1:
            raise InputError("top-p", f"is {self.top_p}.", "Give a share above 0, at most 1.")


@dataclass(frozen=True)
class Generated:
    """A row's text, with what was done to get it.

    Attributes:
        text: without the prompt and special tokens.
        tokens: generated tokens, the end-of-sequence token included.
        shift: block number → length of the shift added to the residual stream; negative
            where it went against the direction.
    """

    text: str
    tokens: int
    shift: dict[int, float] = field(default_factory=dict)
