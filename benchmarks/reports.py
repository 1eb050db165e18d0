"""What the benchmarks' reports share: how they are written, and how their figures look in tables and drawings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vispa.evaluation.intervals import Interval
from vispa.files.writing import replacing

#: Limits of an axis for shares and other figures from 0 to 1: a little above 1, so that a mark there is seen whole.
SHARE = (0.0, 1.02)
# Where figures go and what is kept says nothing of what is measured.
_PLACES = ("--json", "--output", "--figure", "--resume")


def command_line(module: str, given: Sequence[str]) -> str:
    """The command that gives the same figures, without where they are written.

    Args:
        module: of the benchmark.
        given: its arguments.
    """
    kept, words = [], iter(given)
    for word in words:
        if word in _PLACES:
            next(words, None)
        elif word.partition("=")[0] not in _PLACES:
            kept.append(word)
    return " ".join([f"python -m {module}", *kept])


def write_report(path: Path | None, report: Mapping[str, Any]) -> None:
    """Write a report, whole or not at all; nowhere without a path."""
    if path is not None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def told(interval: Interval) -> dict[str, float]:
    """What a report has of an interval."""
    found = interval.model_dump()
    return {name: found[name] for name in ("estimate", "low", "high", "n")}


def shown(one: Mapping[str, float] | None, digits: int = 2) -> str:
    """`0.36 [0.31, 0.41]`, of an estimate or a difference; a dash where there is none."""
    if one is None:
        return "–"
    middle = one["estimate"] if "estimate" in one else one["difference"]
    return f"{middle:.{digits}f} [{one['low']:.{digits}f}, {one['high']:.{digits}f}]"


def percent(one: Mapping[str, float], digits: int = 1) -> str:
    """`2.9 % [0.6, 8.4]`, of a share."""
    middle, low, high = (100 * one[name] for name in ("estimate", "low", "high"))
    return f"{middle:.{digits}f} % [{low:.{digits}f}, {high:.{digits}f}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))


def reach(ones: Sequence[Mapping[str, float]]) -> list[list[float]]:
    """How far intervals reach below and above their estimates, as error bars want it."""
    below = [one["estimate"] - one["low"] for one in ones]
    return [below, [one["high"] - one["estimate"] for one in ones]]
