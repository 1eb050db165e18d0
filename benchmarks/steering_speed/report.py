"""What a comparison found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.measure import Spread, Times

#: Largest difference of ε, and of directions' cosines from 1, between the two sides.
TOLERANCE = 1e-4


@dataclass
class Part:
    """What one comparison found.

    Attributes:
        lines: for reading.
        figures: for machines: times and ratios by name, and numbers.
        checks: claims that both sides give the same, and whether they hold.
    """

    lines: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)

    def add_times(self, times: Times, tokens: int | None = None) -> None:
        """Note every side's seconds, and what they come to a second."""
        for side, numbers in times.seconds.items():
            spread = Spread.of(numbers)
            rate = "" if tokens is None else f", {tokens / spread.median:,.0f} tokens a second"
            self.lines.append(f"{side}: {spread} s{rate}")
            self.figures[side] = {"seconds": list(numbers)}

    def add_ratio(self, times: Times, numerator: str, denominator: str) -> None:
        """Note how many times as long one side took as the other."""
        ratio = times.ratio(numerator, denominator)
        self.lines.append(f"{numerator} / {denominator}: {ratio}")
        self.figures[f"{numerator} / {denominator}"] = asdict(ratio)

    def add_same_texts(self, claim: str, one: Sequence[str], other: Sequence[str]) -> None:
        """Note how many of two sides' texts are the same; all are to be."""
        same = sum(a == b for a, b in zip(one, other, strict=True))
        self.lines.append(f"same texts, {claim}: {same} of {len(one)}")
        self.figures[f"same texts, {claim}"] = same
        self.checks[f"same texts, {claim}"] = same == len(one)
