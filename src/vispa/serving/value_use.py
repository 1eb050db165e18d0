"""Whether the values of recent answers drift away from those of earlier ones."""

from __future__ import annotations

import logging
import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from threading import Lock

import numpy as np

from vispa.study.value_use import Used, chance_level, check_window, distances, uses_matrix

_logger = logging.getLogger(__name__)

# Windows that overlap are looked at again and again, so that chance must seldom raise an alarm.
_LEVEL = 0.001
# Values that a warning names.
_NAMED = 3


def check_windows(window: int, reference: Sequence[Sequence[Used]] | None = None) -> None:
    """Refuse what no monitor can compare; see `UseMonitor` for what is given.

    Raises:
        InputError: fewer than `vispa.study.value_use.LEAST` answers in a window.
    """
    check_window("drift-window", window)
    if reference is not None:
        check_window("drift-reference", len(reference))


class UseMonitor:
    """Compares the last answers' value use with a reference: the first answers, or those of a file.

    Args:
        window: number of the last answers, and of the first ones where these are the reference.
        reference: what each answer of the reference uses; by default the first `window` answers are it.

    Raises:
        InputError: fewer than `vispa.study.value_use.LEAST` answers in a window.
    """

    def __init__(self, window: int, reference: Sequence[Sequence[Used]] | None = None) -> None:
        check_windows(window, reference)
        self._lock = Lock()
        self._window = window
        self._first = [frozenset(one.value for one in uses) for uses in reference or ()]
        self._recent: deque[frozenset[str]] = deque(maxlen=window)
        self._before: Counter[str] = Counter()
        self._after: Counter[str] = Counter()
        self._alarm_level, self._told, self._calm = math.nan, False, 0
        if self._first:
            self._begin()

    @property
    def alarm_level(self) -> float:
        """Distance that chance exceeds once in a thousand windows; NaN before the reference is there."""
        return self._alarm_level

    @property
    def distance(self) -> float:
        """Of the last answers' value use from the reference's, 0 to 1; NaN before both are there."""
        with self._lock:
            return self._distance()

    def add(self, values: Iterable[str]) -> None:
        """Count the values of an answer; warn when the distance exceeds the alarm level.

        One warning stands until the distance has not exceeded the level for a whole window of answers; the next excess
        warns again.
        """
        uses = frozenset(values)
        with self._lock:
            if math.isnan(self._alarm_level):
                self._first.append(uses)
                if len(self._first) == self._window:
                    self._begin()
                return
            if len(self._recent) == self._window:
                self._after.subtract(self._recent[0])
            self._recent.append(uses)
            self._after.update(uses)
            distance = self._distance()
            self._calm = 0 if distance > self._alarm_level else self._calm + 1
            if self._calm == self._window and self._told:
                self._told = False
                _logger.info("value use: for %d answers the distance did not exceed the alarm level", self._window)
            if distance > self._alarm_level and not self._told:
                self._told = True
                _logger.warning(
                    "value use of the last %d answers is %.3f from the reference, alarm level %.3f; most moved: %s",
                    self._window, distance, self._alarm_level, ", ".join(self._moved()),
                )  # fmt: skip

    def _begin(self) -> None:
        """The reference is there."""
        values = sorted(frozenset().union(*self._first))
        matrix = uses_matrix([[Used(value, 0.0) for value in uses] for uses in self._first], values)
        self._before = Counter(value for uses in self._first for value in uses)
        self._alarm_level = chance_level(matrix, self._window, level=_LEVEL)
        _logger.info(
            "value use: %d answers are the reference; alarm level of the last %d: %.3f",
            len(self._first), self._window, self._alarm_level,
        )  # fmt: skip

    def _distance(self) -> float:
        if len(self._recent) < self._window:
            return math.nan
        values = sorted({*self._before, *self._after})
        before, after = (np.array([float(one[value]) for value in values]) for one in (self._before, self._after))
        return float(distances(before, after))

    def _moved(self) -> list[str]:
        """The values whose share of answers moved most."""

        def moved(value: str) -> float:
            return abs(self._after[value] / len(self._recent) - self._before[value] / len(self._first))

        return sorted({*self._before, *self._after}, key=moved, reverse=True)[:_NAMED]
