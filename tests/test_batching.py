"""Batches of rows of similar length, and their padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vispa.errors import InputError
from vispa.models.batching import Budget, pad_left, pad_right, reading_budget, token_batches
from vispa.models.loading import LoadedModel


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 100), st.booleans())
def test_batches_hold_every_row_once(lengths: list[int], tokens: int, longest_first: bool) -> None:
    found = list(token_batches(lengths, Budget(tokens), longest_first=longest_first))
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= tokens


@pytest.mark.parametrize("limits", [{"tokens": 0}, {"rows": -1}])
def test_a_batch_that_holds_nothing_is_refused(limits: dict[str, int]) -> None:
    with pytest.raises(InputError) as caught:
        Budget(**limits)
    assert caught.value.field == next(iter(limits))


@pytest.mark.parametrize("longest_first", [False, True])
@pytest.mark.parametrize("budget", [Budget(64), Budget(64, 3), Budget(rows=5), Budget(1), Budget()])
def test_a_batch_keeps_to_its_budget(budget: Budget, longest_first: bool) -> None:
    lengths = [int(length) for length in np.random.default_rng(0).integers(0, 40, 200)]
    found = list(token_batches(lengths, budget, longest_first=longest_first))
    assert sorted(place for batch in found for place in batch) == list(range(200))
    for batch in found:
        padded = len(batch) * max(lengths[place] for place in batch)
        assert len(batch) == 1 or padded <= (budget.tokens or padded)
        assert len(batch) <= (budget.rows or 200)
    flat = [lengths[place] for batch in found for place in batch]
    assert flat == sorted(lengths, reverse=longest_first)


def test_batches_are_as_large_as_the_budget_lets_them_be() -> None:
    assert list(token_batches([4] * 6, Budget(tokens=12))) == [[0, 1, 2], [3, 4, 5]]
    assert list(token_batches([2, 9, 2, 1], Budget(tokens=9), longest_first=True)) == [[1], [0, 2, 3]]


@pytest.mark.parametrize("longest_first", [False, True])
@pytest.mark.parametrize("budget", [Budget(64), Budget(64, 3), Budget(rows=5), Budget(1), Budget()])
def test_rows_of_other_lengths_are_apart_where_none_may_be_padded(budget: Budget, longest_first: bool) -> None:
    lengths = [int(length) for length in np.random.default_rng(1).integers(1, 20, 200)]
    found = list(token_batches(lengths, budget, longest_first=longest_first, unpadded=True))
    assert sorted(place for batch in found for place in batch) == list(range(200))
    for batch in found:
        assert len({lengths[place] for place in batch}) == 1
        assert len(batch) == 1 or budget.holds(len(batch), lengths[batch[0]])
    if budget == Budget():
        assert len(found) == len(set(lengths))


def test_no_row_makes_no_batch() -> None:
    assert list(token_batches([], Budget(tokens=12, rows=2))) == []


def test_padding_is_masked_and_counts_no_position(llama: LoadedModel) -> None:
    padding = int(llama.tokenizer.pad_token_id)
    left, right = pad_left(llama, [(5, 6, 7), (8,)]), pad_right(llama, [(5, 6, 7), (8,)])
    assert left.ids.tolist() == [[5, 6, 7], [padding, padding, 8]]
    assert left.mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert left.positions.tolist() == [[0, 1, 2], [0, 0, 0]]
    assert right.ids.tolist() == [[5, 6, 7], [8, padding, padding]]
    assert right.mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert right.positions[:, 0].tolist() == [0, 0]


def test_small_batches_are_read_where_caches_are_small() -> None:
    on_cpu, on_gpu = reading_budget(torch.device("cpu")).tokens, reading_budget(torch.device("cuda")).tokens
    assert on_cpu is not None and on_gpu is not None and on_cpu < on_gpu
