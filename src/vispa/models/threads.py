"""How many threads of the processor may be asked for; apart from what loads models, which loads slowly."""

from __future__ import annotations

import os

from vispa.errors import ModelError


def check_threads(count: int | None, field: str = "threads") -> None:
    """Refuse a number of threads that no work is done faster with: far too many take minutes to begin.

    Args:
        count: threads of the processor; None for as many as torch takes.
        field: what the caller named it in.

    Raises:
        ModelError: it is no whole number, below 1, or more than this machine's processor runs at once.
    """
    if count is None:
        return
    most = os.cpu_count() or 1
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most:
        advice = f"Give a whole number from 1 to {most}, which this machine's processor runs at once."
        raise ModelError(field, f"is {count!r}.", advice)
