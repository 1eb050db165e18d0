"""What rows carry while they write: what nobody needs any longer is not carried on."""

from __future__ import annotations

import random

import pytest
import torch

from vispa.steering.carried import CarriedShifts, Fading

WIDTH = 5


def shifts_of(rows: int, seed: int, terms: dict[int, tuple[float, ...]]) -> dict[int, Fading]:
    """Random shifts of so many rows: block → how much of each is left to the next token."""
    random_numbers = torch.Generator().manual_seed(seed)
    return {
        block: {remains: torch.randn(rows, 1, WIDTH, generator=random_numbers) for remains in told}
        for block, told in terms.items()
    }


def terms_of(carried: CarriedShifts) -> set[tuple[int, float]]:
    return {(block, remains) for block, one in carried._shifts.items() for remains in one}


def added(carried: CarriedShifts, rows: int, block: int) -> torch.Tensor:
    """What is added at a block, none of it where the block is not named."""
    nothing = torch.zeros(rows, 1, WIDTH)
    return carried.apply(block, nothing) if block in carried.blocks else nothing


def batch() -> CarriedShifts:
    """Row 0 and 1 with two terms, row 2 with other ones at another block too, row 3 with none."""
    found = CarriedShifts(2, shifts_of(2, 0, {0: (1.0, 0.5)}))
    found.advance()
    found.join(CarriedShifts(1, shifts_of(1, 1, {0: (0.5, 0.9), 3: (0.8,)})))
    found.join(CarriedShifts(1, {}))
    found.advance()
    return found


@pytest.mark.parametrize(
    ("order", "terms"),
    [
        ([0, 1, 2, 3], {(0, 1.0), (0, 0.5), (0, 0.9), (3, 0.8)}),
        ([1], {(0, 1.0), (0, 0.5)}),
        ([3, 1], {(0, 1.0), (0, 0.5)}),
        ([2], {(0, 0.5), (0, 0.9), (3, 0.8)}),
        ([3, 2], {(0, 0.5), (0, 0.9), (3, 0.8)}),
        ([3], set()),
    ],
)
def test_rows_that_stay_keep_their_shifts_and_no_others(order: list[int], terms: set[tuple[int, float]]) -> None:
    carried = batch()
    before = {block: added(carried, 4, block)[order] for block in (0, 3)}
    carried.keep(order)
    assert terms_of(carried) == terms
    assert set(carried.blocks) == {block for block, _ in terms}
    for block, expected in before.items():
        assert torch.equal(added(carried, len(order), block), expected)
    # Who comes later stands beside them as before.
    carried.join(CarriedShifts(1, shifts_of(1, 7, {3: (0.8,), 4: (1.0,)})))
    assert terms_of(carried) == terms | {(3, 0.8), (4, 1.0)}
    assert torch.equal(added(carried, len(order) + 1, 3)[:-1], before[3])
    assert added(carried, len(order) + 1, 3)[-1].any() and not added(carried, len(order) + 1, 4)[:-1].any()


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_that_many_join_and_leave_carries_what_its_rows_need(seed: int) -> None:
    """150 rows, each of its own half-life, beside one that stays; compared with each row alone."""
    chosen = random.Random(seed)
    own = {0: {0: (1.0,), 1: (1.0,)}}
    carried = CarriedShifts(1, shifts_of(1, 0, own[0]))
    alone = {0: CarriedShifts(1, shifts_of(1, 0, own[0]))}
    rows = [0]
    for number in range(1, 151):
        own[number] = {chosen.randrange(4): (0.5 + number / 400,), 5: (chosen.choice((1.0, 0.25)),)}
        carried.join(CarriedShifts(1, shifts_of(1, number, own[number])))
        alone[number] = CarriedShifts(1, shifts_of(1, number, own[number]))
        rows.append(number)
        for one in (carried, *(alone[row] for row in rows)):
            one.advance()
        order = [place for place, row in enumerate(rows) if row == 0 or chosen.random() < 0.5]
        chosen.shuffle(order)
        carried.keep(order)
        rows = [rows[place] for place in order]
        assert terms_of(carried) == {
            (block, remains) for row in rows for block, told in own[row].items() for remains in told
        }
        for block in range(6):
            expected = torch.cat([added(alone[row], 1, block) for row in rows])
            assert torch.equal(added(carried, len(rows), block), expected)
