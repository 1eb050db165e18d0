"""Tries of a request that may work another time: what is known of one that failed, and how long to wait."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

# Longest pause between two tries that is chosen here, in seconds.
_LONGEST_BACKOFF = 30.0
#: Longest that a server may ask to wait in all, in seconds.
LONGEST_RETRY_AFTER = 120.0
# From here on what a server asks for is nonsense.
_WEEK = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Passing:
    """Why a try failed, where another may work; `wait` is what the server asks for, in seconds."""

    problem: str
    advice: str
    wait: float = 0.0


def pause_before(attempt: int, backoff: float, wait: float) -> float:
    """Seconds before the next try: at least what the server asks for, and never the same in all threads.

    Args:
        attempt: number of tries so far, from 1.
        backoff: pause before the second try, in seconds; doubles with every try.
        wait: what the server asks for, in seconds.
    """
    return wait + random.uniform(0.5, 1) * min(backoff * 2.0 ** (attempt - 1), _LONGEST_BACKOFF)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of a Retry-After header, which is a number or a date (RFC 9110, section 10.2.3).

    0 without one, and for what is neither, or lies in the past or more than a week ahead.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        seconds = float(value)
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return seconds if 0 < seconds <= _WEEK else 0.0
