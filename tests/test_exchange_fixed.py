"""The fixed vectors that stand for a recipe in other programs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from random_banks import CALIBRATED, COEFFICIENT, RESIDUAL, random_bank

from vispa.errors import InputError, NumericalError
from vispa.models.loading import LoadedModel
from vispa.steering.activations import hooks_on
from vispa.steering.exchange.fixed import fixed_vectors, untold
from vispa.steering.intervention import steering
from vispa.steering.recipe import Recipe, Steer


def test_coefficient_is_the_recipes_amount() -> None:
    bank = random_bank()
    vectors = fixed_vectors(bank, "thrift")
    assert list(vectors) == [1, 2, 3]
    for block, vector in vectors.items():
        torch.testing.assert_close(vector, 1.5 * bank.entries["mean"].directions.vectors[1, block])


def test_residual_is_a_share_of_the_residual_norm() -> None:
    vectors = fixed_vectors(random_bank(RESIDUAL), "thrift")
    assert [float(vector.norm()) for vector in vectors.values()] == pytest.approx([0.4 * n for n in (4, 8, 16)])


def test_calibrated_reaches_the_target_from_an_undecided_prompt() -> None:
    bank = random_bank(CALIBRATED)
    directions = bank.entries["probe"].directions
    for block, vector in fixed_vectors(bank, "candor").items():
        weight = directions.vectors[2, block] * directions.weight_norm[2, block]
        bias = directions.bias[2, block]
        undecided = -bias * weight / weight.square().sum()
        assert float(weight @ undecided + bias) == pytest.approx(0.0, abs=1e-5)
        assert float(torch.sigmoid(weight @ (undecided + vector) + bias)) == pytest.approx(0.9, abs=1e-5)


def test_calibrated_pushes_down_only_if_both_ways() -> None:
    low = replace(CALIBRATED, amount=0.3)
    directions = random_bank(low).entries["probe"].directions
    for vector in fixed_vectors(random_bank(low), "candor").values():
        assert float(vector.norm()) == 0.0
    for block, vector in fixed_vectors(random_bank(replace(low, both_ways=True)), "candor").items():
        weight = directions.vectors[2, block] * directions.weight_norm[2, block]
        assert float(torch.sigmoid(weight @ vector)) == pytest.approx(0.3, abs=1e-5)


def test_probe_that_learned_nothing_has_no_vector() -> None:
    bank = random_bank(CALIBRATED)
    directions = bank.entries["probe"].directions
    directions.weight_norm[0, 2] = 0.0
    with pytest.raises(NumericalError, match="toward calm at block 2 is not finite"):
        fixed_vectors(bank, "calm")
    assert list(fixed_vectors(bank, "calm", blocks=(1, 3))) == [1, 3]
    directions.vectors[0, 2] = 0.0
    assert list(fixed_vectors(bank, "calm")) == [1, 3]


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (COEFFICIENT, {}),
        (replace(COEFFICIENT, half_life=16.0, subject_share=0.5), {"half_life": 16.0, "subject_share": 0.5}),
        (replace(CALIBRATED, scope="generated", gate=0.9), {"scope": "generated", "gate": 0.9}),
    ],
)
def test_what_a_file_cannot_hold_of_a_recipe_is_told(recipe: Recipe, said: dict[str, Any]) -> None:
    assert untold(recipe) == {**untold(COEFFICIENT), **untold(CALIBRATED), **said} == said


def test_cap_cuts_the_magnitude() -> None:
    capped = fixed_vectors(random_bank(replace(CALIBRATED, cap=0.05)), "candor")
    free = fixed_vectors(random_bank(CALIBRATED), "candor")
    for block, norm in ((1, 4), (2, 8), (3, 16)):
        assert float(capped[block].norm()) == pytest.approx(min(0.05 * norm, float(free[block].norm())))


def test_a_number_as_scale_multiplies_the_fitted_vectors() -> None:
    for recipe in (COEFFICIENT, RESIDUAL, CALIBRATED, replace(CALIBRATED, cap=0.01)):
        bank = random_bank(recipe)
        for block, vector in fixed_vectors(bank, "calm", estimator="mean", scale=-2.0).items():
            torch.testing.assert_close(vector, -2 * bank.entries["mean"].directions.vectors[0, block])


@pytest.mark.parametrize("recipe", [COEFFICIENT, RESIDUAL])
def test_vectors_steer_as_the_bank_does(recipe: Recipe, llama: LoadedModel) -> None:
    bank = random_bank(recipe)
    ids = torch.tensor([llama.tokenizer("Should I tell her?")["input_ids"]])
    vectors = fixed_vectors(bank, "calm")
    with torch.no_grad():
        plain = llama.model(ids).logits
        with steering(llama, bank.plan(["calm"]), [[Steer("calm")]]):
            expected = llama.model(ids).logits
        with hooks_on(llama.blocks, lambda block, hidden: hidden + vectors[block] if block in vectors else None):
            found = llama.model(ids).logits
    assert (expected - plain).abs().max() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_blocks_that_do_not_separate_are_left_out_unless_named() -> None:
    bank = random_bank(replace(COEFFICIENT, minimal_quality=1.0))
    with pytest.raises(InputError, match="calm: no block of the recipe separates it"):
        fixed_vectors(bank, "calm")
    assert list(fixed_vectors(bank, "calm", blocks=(3, 0))) == [0, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"value": "greed"}, "'greed' is not in the bank"),
        ({"value": "calm", "estimator": "pca"}, "'pca' is not in the bank"),
        ({"value": "calm", "blocks": (4,)}, "4 is not a block"),
        ({"value": "calm", "estimator": "mean"}, "mean has no probability to calibrate. Give a number"),
    ],
)
def test_vectors_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fixed_vectors(random_bank(CALIBRATED), **options)
