"""What values' vectors have in common and what is each one's own, weighed anew."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_banks import CALIBRATED, COEFFICIENT, RESIDUAL, random_bank

from training import reweighted_vectors
from training.reweighted_vectors import reweighted
from vispa.steering.bank import VectorBank
from vispa.tuning.refining import fixed_vectors


@given(own=st.floats(0, 4), common=st.floats(-2, 4), seed=st.integers(0, 99))
def test_the_mean_and_the_differences_are_weighed_apart(own, common, seed):
    vectors = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(seed))
    found = reweighted(vectors, own, common)
    torch.testing.assert_close(found.mean(0), common * vectors.mean(0), atol=1e-5, rtol=0)
    for one in range(5):
        for other in range(5):
            wanted = own * (vectors[one] - vectors[other])
            torch.testing.assert_close(found[one] - found[other], wanted, atol=1e-5, rtol=1e-5)


def test_kept_vectors_stay():
    vectors = torch.randn(4, 2, 3)
    found = reweighted(vectors, 2.0, 0.5, [1, 3])
    assert torch.equal(found[[1, 3]], vectors[[1, 3]])
    assert not torch.allclose(found[[0, 2]], vectors[[0, 2]])


@pytest.mark.parametrize(
    "recipe",
    [COEFFICIENT, replace(COEFFICIENT, amount=0.3), replace(COEFFICIENT, amounts={"thrift": 0.7}), RESIDUAL],
)
def test_a_bank_adds_what_was_weighed_anew(tmp_path, monkeypatch, recipe):
    bank = random_bank(recipe)
    path, output = tmp_path / "bank.safetensors", tmp_path / "longer.safetensors"
    bank.with_tuned(recipe, {"reasons": ["Given."]}).save(path)
    options = ["--own", "1.5", "--common", "0.5", "--half-life", "12", "--keep", "calm"]
    monkeypatch.setattr(sys, "argv", ["reweighted_vectors", str(path), str(output), *options])
    reweighted_vectors.main()
    found = VectorBank.load(output)
    assert found.recipe.amount == (recipe.amount if recipe.magnitude == "coefficient" else 1.0)
    assert found.recipe.half_life == 12
    assert found.tuning["reasons"] == [
        "Given.",
        "What is a value's own in its vectors was made 1.5 times as long, what all have in common 0.5 times, and "
        "shifts halve in 12 tokens (training/reweighted_vectors.py); the vectors of calm stayed.",
    ]
    wanted = reweighted(fixed_vectors(bank, recipe), 1.5, 0.5, [0])
    torch.testing.assert_close(fixed_vectors(found, found.recipe), wanted, atol=1e-5, rtol=1e-5)


def test_a_recipe_that_measures_amounts_is_refused(tmp_path, monkeypatch, capsys):
    path, output = tmp_path / "bank.safetensors", tmp_path / "longer.safetensors"
    random_bank().with_tuned(CALIBRATED, {}).save(path)
    monkeypatch.setattr(sys, "argv", ["reweighted_vectors", str(path), str(output), "--keep", ""])
    with pytest.raises(SystemExit):
        reweighted_vectors.main()
    assert "its recipe measures amounts (calibrated)" in capsys.readouterr().err
    assert not output.exists()
