"""Memory that requests have let go of: the C library keeps what is free between what is not, unless it is told."""

from __future__ import annotations

import asyncio
import ctypes
import time
from collections.abc import Callable

# Seconds from one time to the next: while nothing is being answered, and under load.
_IDLE, _BUSY = 1.0, 20.0


class Memory:
    """Gives free memory back to the operating system, after requests and where the C library can."""

    def __init__(self) -> None:
        self._trim = _trimming()
        self._used, self._last = False, 0.0

    def use(self) -> None:
        """A request has ended."""
        self._used = True

    def tidy(self, *, busy: bool) -> None:
        """Give back what is free, in a thread, if requests have ended since and it is time; called often by the loop.

        Args:
            busy: whether requests are being answered.
        """
        now = time.monotonic()
        if self._used and self._trim is not None and now - self._last >= (_BUSY if busy else _IDLE):
            self._used, self._last = False, now
            asyncio.get_running_loop().run_in_executor(None, self._trim, 0)


def _trimming() -> Callable[[int], int] | None:
    """`malloc_trim` of glibc; None elsewhere."""
    try:
        found = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    found.argtypes, found.restype = [ctypes.c_size_t], ctypes.c_int
    return found
