"""Passes hold what takes a short time, on whatever machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vispa.generation.pace import Pace
from vispa.models.batching import Budget


@pytest.mark.parametrize(
    ("tokens_a_second", "expected"), [(100_000, 1024), (10_000, 1024), (2_000, 300), (1_000, 150), (300, 128)]
)
def test_a_pass_takes_its_time(tokens_a_second: float, expected: int) -> None:
    pace = Pace(Budget(tokens=1024), 0.15)
    assert pace.budget == Budget(tokens=1024)
    for _ in range(40):
        tokens = pace.budget.tokens or 0
        pace.took(tokens, tokens / tokens_a_second)
    assert pace.budget.tokens == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("most", [None, 10, 1024])
def test_where_time_does_not_count_the_budget_does(most: int | None) -> None:
    pace = Pace(Budget(most, rows=3), float("inf"))
    pace.took(128, 50.0)
    assert pace.budget == Budget(most, rows=3)


@pytest.mark.parametrize("slow", [1, 3])
def test_a_slow_beginning_is_forgotten(slow: int) -> None:
    pace = Pace(Budget(tokens=1024), 0.15)
    for number in range(slow + 30):
        pace.took(128, 5.0 if number < slow else 128 / 4_000)
    assert 590 <= (pace.budget.tokens or 0) <= 600


def test_a_pass_that_failed_at_once_says_little() -> None:
    pace = Pace(Budget(tokens=1024), 0.15)
    for number in range(20):
        pace.took(128, 0.0 if number == 10 else 128 / 2_000)
    assert 300 <= (pace.budget.tokens or 0) <= 310


@given(st.lists(st.tuples(st.integers(1, 10**6), st.floats(0, 1e4)), max_size=20), st.integers(128, 10**5))
def test_no_pass_is_less_than_little_or_more_than_its_budget(passes: list[tuple[int, float]], most: int) -> None:
    pace, unlimited = Pace(Budget(most, rows=7)), Pace(Budget())
    for tokens, seconds in passes:
        pace.took(tokens, seconds)
        unlimited.took(tokens, seconds)
    assert 128 <= (pace.budget.tokens or 0) <= most
    assert pace.budget.rows == 7
    assert (unlimited.budget.tokens is None) == (not passes)
