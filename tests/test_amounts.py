"""Amounts of single values, and those that a bank has measured."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from random_banks import RESIDUAL, WIDTH, random_bank

from vispa.errors import BankError, InputError
from vispa.files.reading import read_toml
from vispa.steering.amounts import Amounts
from vispa.steering.bank import VectorBank
from vispa.steering.exchange.merging import with_vectors
from vispa.steering.recipe import Recipe
from vispa.study.dose import at_magnitude

KL = replace(RESIDUAL, magnitude="kl", amount=1.0)
FRACTIONS = {"calm": 0.1, "thrift": 0.2, "candor": 0.4}


def lengths(bank: VectorBank, value: str, recipe: Recipe) -> dict[int, float]:
    """Block → length of what is added toward a value."""
    return {
        block: float(shift.amount[0] * shift.direction[0].norm())
        for block, shift in bank.plan([value], recipe).blocks.items()
    }


def test_a_value_has_its_own_amount_before_the_tables_and_the_recipes(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('magnitude = "coefficient"\ntable = "alpha"\n[amounts]\nkarma = 0.75\nhedonism = 2\n')
    recipe = Recipe.from_mapping(read_toml(path), str(path))
    assert [recipe.amount_for(value) for value in ("karma", "hedonism", "benevolence", "honor")] == [0.75, 2, 0.08, 0.5]
    assert replace(recipe, table=None, amount=3.0).amount_for("honor") == 3.0
    other = replace(recipe, amounts={"hedonism": 2.0, "karma": 0.75})
    assert other == recipe and len({other, recipe, replace(recipe, amounts={"karma": 0.75})}) == 2
    assert at_magnitude(recipe, "karma", 2.0).amount_for("karma") == 1.5


def test_the_shift_follows_the_values_own_amount() -> None:
    bank = random_bank()
    own = replace(RESIDUAL, amounts={"thrift": 0.8})
    assert lengths(bank, "calm", own) == lengths(bank, "calm", RESIDUAL)
    doubled = {block: 2 * length for block, length in lengths(bank, "thrift", RESIDUAL).items()}
    assert lengths(bank, "thrift", own) == pytest.approx(doubled)


def test_amounts_cannot_be_changed_but_copied() -> None:
    recipe = Recipe(amounts={"karma": 0.5})
    assert copy.deepcopy(recipe) == pickle.loads(pickle.dumps(recipe)) == recipe
    for change in (lambda held: held.update(karma=1.0), lambda held: held.pop("karma"), lambda held: held.clear()):
        with pytest.raises(TypeError, match="cannot be changed"):
            change(recipe.amounts)
    assert recipe.amounts == Amounts(karma=0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"amounts": {"karma": "much"}}, "amounts.karma: is 'much'"),
        ({"amounts": {"karma": float("nan")}}, "amounts.karma: is no finite number"),
        ({"amounts": {"karma": 1.5}}, "amounts.karma: is 1.5. A target confidence"),
        ({"amounts": {"../karma": 0.5}}, "amounts: '../karma' is not a name"),
        ({"amounts": [0.5]}, "amounts: is"),
        ({"magnitude": "kl", "amount": 0.0}, "amount: is 0.0. A target divergence is above 0 nats"),
        ({"magnitude": "kl", "amount": -1.0}, "amount: is -1.0"),
        ({"magnitude": "kl", "amount": float("inf")}, "amount: is no finite number"),
        ({"magnitude": "kl", "amount": 1.0, "amounts": {"karma": 0}}, "amounts.karma: is 0"),
        ({"magnitude": "residual", "amount": 0.0, "amounts": {"karma": 0.0}}, "amount: is 0: nothing would be"),
    ],
)
def test_amounts_that_cannot_be_are_refused_by_name(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Recipe.from_mapping(given, "mine.toml")
    assert f"mine.toml field {message}" in str(caught.value)


def test_amounts_of_values_that_the_bank_lacks_are_refused() -> None:
    bank = random_bank()
    for use in (bank.check_steers, lambda recipe: bank.plan(["calm"], recipe)):
        with pytest.raises(InputError, match=r"'clam' is not a value of the bank. It has calm, thrift, candor"):
            use(replace(RESIDUAL, amounts={"clam": 0.1}))


def test_a_measured_recipe_steers_by_the_banks_fractions(tmp_path: Path) -> None:
    bank = random_bank(KL)
    for use in (bank.check_steers, bank.in_fractions, lambda recipe: bank.plan(["calm"], recipe)):
        with pytest.raises(InputError, match=r"magnitude: kl is not measured on this model for calm.*measured_bank"):
            use(KL)
    bank.with_strengths(KL, FRACTIONS).save(tmp_path / "bank.safetensors")
    known = VectorBank.load(tmp_path / "bank.safetensors")
    known.check_steers(KL)
    assert known.fingerprint == bank.fingerprint
    for value, fraction in FRACTIONS.items():
        expected = lengths(bank, value, replace(RESIDUAL, amount=fraction))
        assert lengths(known, value, KL) == pytest.approx(expected)
        assert lengths(known, value, known.in_fractions(KL)) == pytest.approx(expected)
    assert known.in_fractions(RESIDUAL) is RESIDUAL


def test_what_was_measured_holds_for_what_it_was_measured_with() -> None:
    bank = random_bank(KL).with_strengths(KL, FRACTIONS)
    # These fields do not count with this magnitude, or say the same.
    own = replace(KL, amount=2.0, amounts={"calm": 1.0})
    for same in (own, replace(KL, both_ways=True), replace(KL, blocks=(3, 2, 1))):
        assert bank.amount("calm", same) == 0.1
    for other in (
        replace(KL, amount=2.0), replace(KL, blocks=(1, 2)), replace(KL, scope="last"), replace(KL, cap=0.5),
        replace(KL, estimator="probe"), replace(KL, amounts={"calm": 2.0}),
    ):  # fmt: skip
        with pytest.raises(InputError, match="is not measured"):
            bank.amount("calm", other)


def test_fractions_go_with_the_vectors_they_were_measured_with() -> None:
    ours = {"calm": {1: torch.ones(WIDTH)}}
    with_ours = replace(KL, estimator="ours")
    bank = with_vectors(random_bank(), "ours", ours)
    bank = bank.with_strengths(with_ours, FRACTIONS).with_strengths(KL, FRACTIONS)
    assert list(with_vectors(bank, "ours", ours).strengths) == [KL]


def test_fractions_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    random_bank(KL).with_strengths(KL, {"calm": -0.1}).save(path)
    with pytest.raises(BankError, match=r"strengths\[0\].fractions.calm"):
        VectorBank.load(path)
