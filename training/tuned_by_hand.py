"""What the steps that make a shipped bank have in common: which recipes they take, and how they say what was done."""

from __future__ import annotations

import argparse
from typing import Any

from vispa.steering.bank import VectorBank
from vispa.steering.recipe import Recipe

#: Magnitudes of recipes whose amounts are no matter of the text.
FIXED = frozenset({"coefficient", "residual"})


def fixed_recipe(bank: VectorBank, parser: argparse.ArgumentParser) -> Recipe:
    """A bank's recipe; the command ends with an error where its amounts are measured on the text."""
    magnitude = bank.recipe.magnitude
    if magnitude not in FIXED:
        parser.error(f"BANK: its recipe measures amounts ({magnitude}); give one of {', '.join(sorted(FIXED))}.")
    return bank.recipe


def record_with(bank: VectorBank, words: str) -> dict[str, Any]:
    """How a bank's recipe was found, and one thing more that was done."""
    record = bank.tuning or {}
    return {**record, "reasons": [*record.get("reasons", ()), words]}
