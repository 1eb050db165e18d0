"""What each value's vectors have of their own, lengthened."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_banks import CALIBRATED, COEFFICIENT, RESIDUAL, random_bank

from training import own_part
from training.own_part import lengthened
from vispa.steering.bank import VectorBank
from vispa.tuning.search import fixed_vectors


@given(factor=st.floats(0, 4), seed=st.integers(0, 99))
def test_only_differences_from_the_mean_grow(factor, seed):
    vectors = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(seed))
    found = lengthened(vectors, factor)
    torch.testing.assert_close(found.mean(0), vectors.mean(0), atol=1e-5, rtol=0)
    for one in range(5):
        for other in range(5):
            wanted = factor * (vectors[one] - vectors[other])
            torch.testing.assert_close(found[one] - found[other], wanted, atol=1e-5, rtol=1e-5)


def test_kept_vectors_stay():
    vectors = torch.randn(4, 2, 3)
    found = lengthened(vectors, 2.0, [1, 3])
    assert torch.equal(found[[1, 3]], vectors[[1, 3]])
    assert not torch.allclose(found[[0, 2]], vectors[[0, 2]])


@pytest.mark.parametrize(
    "recipe",
    [COEFFICIENT, replace(COEFFICIENT, amount=0.3), replace(COEFFICIENT, amounts={"thrift": 0.7}), RESIDUAL],
)
def test_a_bank_adds_what_was_lengthened(tmp_path, monkeypatch, recipe):
    bank = random_bank(recipe)
    path, output = tmp_path / "bank.safetensors", tmp_path / "longer.safetensors"
    bank.with_tuned(recipe, {"reasons": ["Given."]}).save(path)
    monkeypatch.setattr(sys, "argv", ["own_part", str(path), str(output), "--factor", "1.5", "--keep", "calm"])
    own_part.main()
    longer = VectorBank.load(output)
    assert longer.recipe.amount == (recipe.amount if recipe.magnitude == "coefficient" else 1.0)
    assert longer.tuning["reasons"] == [
        "Given.",
        "What is a value's own in its vectors was made 1.5 times as long (training/own_part.py), but for calm.",
    ]
    wanted = lengthened(fixed_vectors(bank, recipe), 1.5, [0])
    torch.testing.assert_close(fixed_vectors(longer, longer.recipe), wanted, atol=1e-5, rtol=1e-5)


def test_a_recipe_that_measures_amounts_is_refused(tmp_path, monkeypatch, capsys):
    path = tmp_path / "bank.safetensors"
    random_bank().with_tuned(CALIBRATED, {}).save(path)
    monkeypatch.setattr(sys, "argv", ["own_part", str(path), str(tmp_path / "longer.safetensors"), "--keep", ""])
    with pytest.raises(SystemExit):
        own_part.main()
    assert "its recipe measures amounts (calibrated)" in capsys.readouterr().err
    assert not (tmp_path / "longer.safetensors").exists()
