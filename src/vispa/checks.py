"""Checks of what a caller asks for; cheap, so that bad input is refused before a model is loaded."""

from __future__ import annotations

from typing import Literal

from vispa.errors import InputError

#: Number of values kept in the paper (section 3.1).
DEFAULT_K = 6
#: How many values to choose: that many, or as many as the scores call for.
Count = int | Literal["auto"]
#: What may become of the comments.
MODES = ("overton", "steerable", "distributional")
#: Longest text that is taken, in characters.
MAX_CHARACTERS = 20_000


def check_text(text: str) -> None:
    """Refuse a text that cannot be answered.

    Raises:
        InputError: empty, too long, or not valid Unicode.
    """
    if not text.strip():
        raise InputError("text", "is empty.", "Give a situation or a question.")
    if len(text) > MAX_CHARACTERS:
        raise InputError("text", f"has {len(text):,} characters.", f"Give at most {MAX_CHARACTERS:,}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError("text", "is not valid UTF-8.", "Save or send it with UTF-8 encoding.") from error


def check_count(k: Count, values: int) -> None:
    """Refuse a number of values that is neither `auto` nor from 1 to the taxonomy's size."""
    if k == "auto":
        return
    if not isinstance(k, int):
        raise InputError("k", f"is {k!r}.", f"Choose from 1 to {values} values, or auto.")
    if not 1 <= k <= values:
        raise InputError("k", f"is {k}.", f"Choose from 1 to {values} values.")


def check_diversity(diversity: float) -> None:
    """Refuse a diversity outside [0, 1]."""
    if not 0 <= diversity <= 1:
        raise InputError("diversity", f"is {diversity}.", "Give a number from 0 to 1.")


def check_threshold(threshold: float) -> None:
    """Refuse a least relevance outside [0, 1]."""
    if not 0 <= threshold <= 1:
        raise InputError("threshold", f"is {threshold}.", "Give a number from 0 to 1.")


def check_max_new_tokens(count: int) -> None:
    """Refuse a length of comments that cannot be."""
    if not 1 <= count <= 4096:
        raise InputError("max-new-tokens", f"is {count}.", "Give a number from 1 to 4096.")


def check_choice(field: str, given: str, allowed: tuple[str, ...]) -> None:
    """Refuse a word that is not one of those allowed."""
    if given not in allowed:
        raise InputError(field, f"is {given!r}.", f"Choose {' or '.join(allowed)}.")
