"""The unit of generation."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One prompt, one value or none, one seed."""

    prompt: str
    value: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Sampling:
    """How texts are decoded.

    Attributes:
        max_new_tokens: longest text.
        temperature: 0 is greedy.
    """

    max_new_tokens: int = 200
    temperature: float = 0.0


@dataclass(frozen=True)
class Generated:
    """A row's text, with what was done to get it.

    Attributes:
        text: without the prompt and special tokens.
        tokens: generated tokens, the end-of-sequence token included.
        shift: block number → length of the shift added to the residual stream.
    """

    text: str
    tokens: int
    shift: dict[int, float] = field(default_factory=dict)
