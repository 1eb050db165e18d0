"""What is asked of the pipeline, its limits, and the checks that are cheap enough to come before any model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from vispa.errors import InputError

#: Number of values kept in the paper (section 3.1).
DEFAULT_K = 6
#: How many values to choose: that many, or as many as the scores call for.
Count = int | Literal["auto"]
#: What becomes of the comments.
Mode = Literal["overton", "steerable", "distributional"]
MODES: tuple[Mode, ...] = get_args(Mode)
#: Longest text that is taken, in characters.
MAX_CHARACTERS = 20_000


#: The letters that options go by, in their order.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Where the question is whether something is supported or opposed.
STANCE_OPTIONS = ("Support", "Oppose", "Either")


@dataclass(frozen=True)
class Request:
    """One text to answer.

    Attributes:
        text: the situation or question; options may stand in it, as in the data sets.
        values: names of values to use instead of selecting.
        k: how many values to select, or `auto`.
        threshold: least relevance of a selected value.
        diversity: how much selected values must differ, 0 to 1.
        prompt: what to ask the steered model, where a data set has its own wording.
        mode: what becomes of the comments.
        toward: target of steerable mode: a value, a right or duty in words, or a group such as
            `POLPARTY_Democrat`.
        question: the question to answer with options; the text itself by default.
        options: what may be answered; Support, Oppose, Either by default.
        country: whose people are asked (distributional mode).
        passages: distributional mode reads comments as passages; False reads the steered model's
            own option probabilities.
    """

    text: str
    values: tuple[str, ...] = ()
    k: Count = DEFAULT_K
    threshold: float = 0.0
    diversity: float = 0.0
    prompt: str | None = None
    mode: Mode = "overton"
    toward: str | None = None
    question: str | None = None
    options: tuple[str, ...] = ()
    country: str | None = None
    passages: bool = True


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
