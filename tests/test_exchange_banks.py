"""Vectors from elsewhere in a bank, and what is wrong with a bank."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from random_banks import BLOCKS, COEFFICIENT, WIDTH, random_bank, same

from vispa.errors import InputError
from vispa.steering.exchange.fixed import fixed_vectors
from vispa.steering.exchange.merging import with_vectors
from vispa.steering.exchange.plain import export_vectors, import_vectors
from vispa.steering.recipe import Recipe
from vispa.steering.soundness import bank_problems


def test_vectors_taken_in_steer_as_they_did(tmp_path: Path) -> None:
    source, target = random_bank(), random_bank(seed=1)
    export_vectors(source, tmp_path / "v.safetensors", values=["thrift"], blocks=(1, 3))
    bank = with_vectors(target, "imported", import_vectors(tmp_path / "v.safetensors").vectors)
    assert not bank_problems(bank)
    recipe = Recipe("imported", (0, 1, 2, 3), magnitude="coefficient", amount=1.0)
    assert same(fixed_vectors(replace(bank, recipe=recipe), "thrift"), fixed_vectors(source, "thrift", blocks=(1, 3)))
    with pytest.raises(InputError, match="calm: no block"):
        fixed_vectors(replace(bank, recipe=recipe), "calm")
    assert set(target.entries) == {"mean", "probe"}


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ({"greed": {1: torch.ones(WIDTH)}}, "'greed' is not in the bank"),
        ({"calm": {4: torch.ones(WIDTH)}}, "4 is not a block of the bank"),
        ({"calm": {1: torch.ones(WIDTH + 1)}}, "has 33 elements, the bank's model is 32 wide"),
        ({"calm": {1: torch.full((WIDTH,), math.nan)}}, "calm.layer_1: is not finite"),
    ],
)
def test_vectors_that_do_not_fit(vectors: dict[str, dict[int, torch.Tensor]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_vectors(random_bank(), "imported", vectors)


def test_a_bank_without_entries_takes_no_vectors() -> None:
    with pytest.raises(InputError, match="bank: has no directions that tell how wide its model is"):
        with_vectors(replace(random_bank(), entries={}), "imported", {"calm": {1: torch.ones(WIDTH)}})


def test_problems_of_a_bank_are_named() -> None:
    bank = random_bank(replace(COEFFICIENT, estimator="pca", blocks=(9,)))
    bank.residual_norm[1] = math.inf
    bank.entries["mean"].directions.vectors[0, 0, :2] = math.nan
    bank.entries["probe"].directions.quality[0, 0] = 1.5
    bank.entries["probe"] = replace(
        bank.entries["probe"], directions=replace(bank.entries["probe"].directions, bias=torch.zeros(3, 5))
    )
    problems = "\n".join(bank_problems(bank))
    for expected in (
        "residual_norm: has entries that are not finite",
        f"mean.vectors: 2 of {3 * BLOCKS * WIDTH} numbers are not finite",
        "probe.quality: is not between 0 and 1",
        "probe.bias: is [3, 5] for 3 values and 4 blocks",
        "recipe: its estimator pca is not in the bank",
        "recipe: blocks: 9 is not a block",
    ):
        assert expected in problems
    assert bank_problems(random_bank()) == []


@pytest.mark.parametrize("name", ["refined", "probe", "one_versus_others_last"])
def test_names_that_fitting_and_tuning_use_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"directions are called\. Choose another name"):
        with_vectors(random_bank(), name, {"calm": {1: torch.ones(WIDTH)}})
