"""Activations that are read while vLLM reads prompts, for fitting."""

from __future__ import annotations

import numpy as np
import torch

from vispa.steering.readings import READINGS, Reading


class Readout:
    """What prompts' residual streams are after each block: one vector a prompt and reading.

    Attributes:
        readings: that are wanted.
        found: number of a prompt → block number → [R, H] float32, in the order of the readings.
    """

    def __init__(self) -> None:
        self.readings: tuple[Reading, ...] = ("last",)
        self.found: dict[int, dict[int, np.ndarray]] = {}
        self._expected: list[tuple[int, int, int]] = []
        self._places: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def expects(self) -> bool:
        """Whether any prompt of the pass is read."""
        return bool(self._expected)

    def expect(self, number: int, start: int, count: int) -> None:
        """A prompt stands whole in the pass.

        Args:
            number: of the prompt.
            start: place of its first token.
            count: of its tokens.
        """
        self._expected.append((number, start, count))

    def end(self) -> None:
        """The pass is over."""
        self._expected, self._places = [], None

    def read(self, block: int, stream: torch.Tensor) -> None:
        """Read the residual stream [T, H] after a block."""
        if self._places is None:
            longest = max(count for _, _, count in self._expected)
            within = torch.arange(longest, device=stream.device)
            starts = torch.tensor([start for _, start, _ in self._expected], device=stream.device)[:, None]
            counts = torch.tensor([count for _, _, count in self._expected], device=stream.device)[:, None]
            self._places = starts + torch.minimum(within, counts - 1), within < counts
        places, mask = self._places
        hidden = stream[places]
        vectors = torch.stack([READINGS[reading](hidden, mask) for reading in self.readings], dim=1).cpu().numpy()
        for (number, _, _), own in zip(self._expected, vectors, strict=True):
            self.found.setdefault(number, {})[block] = own
