"""Recipes: every field of its type, and none that steers nothing under many values' names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_taxonomy
from random_banks import COEFFICIENT, VALUES, WIDTH, random_bank

from vispa.cli.setup import recipe_file
from vispa.errors import InputError
from vispa.models.loading import LoadedModel
from vispa.pipeline import Vispa
from vispa.steering.bank import VectorBank
from vispa.steering.exchange.merging import with_vectors
from vispa.steering.fitting import fit_bank
from vispa.steering.recipe import MOST_BLOCKS, Recipe, Steer
from vispa.steering.separating import separation
from vispa.taxonomy import Taxonomy

STRONG = Recipe("one_versus_others", (1, 2), magnitude="coefficient", amount=3.0, minimal_quality=0.0)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('blocks = "a"', "blocks"),
        ("blocks = [1.5]", "blocks[0]"),
        ("blocks = [true]", "blocks[0]"),
        ("blocks = 3", "blocks"),
        ("blocks = [[1]]", "blocks[0]"),
        ("blocks = [1000000000000]", "blocks"),
        ("blocks = [-1]", "blocks"),
        ("depth = [0.3]", "depth"),
        ("depth = [0.1, 0.2, 0.3]", "depth"),
        ("depth = [0.8, 0.2]", "depth"),
        ("depth = [nan, 1.0]", "depth[0]"),
        ('depth = ["0.1", "0.9"]', "depth[0]"),
        ("best = 1.5", "best"),
        ("best = 0", "best"),
        ("best = true", "best"),
        ("minimal_quality = nan", "minimal_quality"),
        ("minimal_quality = -0.1", "minimal_quality"),
        ('minimal_quality = "high"', "minimal_quality"),
        ("amount = inf", "amount"),
        ("amount = true", "amount"),
        ("amount = 1" + "0" * 400, "amount"),
        ('amount = "0.9"', "amount"),
        ("cap = inf", "cap"),
        ("cap = -1", "cap"),
        ("gate = 1.0", "gate"),
        ("both_ways = 1", "both_ways"),
        ('both_ways = "yes"', "both_ways"),
        ('magnitude = "huge"', "magnitude"),
        ("magnitude = []", "magnitude"),
        ('scope = "some"', "scope"),
        ("estimator = 5", "estimator"),
        ('table = "nowhere"', "table"),
        ("table = 1979-05-27", "table"),
        ("[table]", "table"),
        ("strength = 1", "strength"),
        # These would steer nothing.
        ("blocks = []", "blocks"),
        ("minimal_quality = 2", "minimal_quality"),
        ('magnitude = "coefficient"\namount = 0', "amount"),
        ('magnitude = "residual"\namount = -0.0', "amount"),
    ],
)
def test_a_file_s_mistakes_are_named(text: str, field: str, tmp_path: Path) -> None:
    path = tmp_path / "steer.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        recipe_file(path)
    assert caught.value.field.startswith(f"{path} field {field}")
    assert caught.value.advice
    assert len(str(caught.value)) < 500


def test_what_a_file_may_say(tmp_path: Path) -> None:
    path = tmp_path / "steer.toml"
    path.write_text(
        'blocks = [3, 1]\ndepth = [0, 1]\namount = 2\nmagnitude = "coefficient"\ncap = 1\nminimal_quality = 1'
    )
    found = recipe_file(path)
    assert found == Recipe(blocks=(3, 1), depth=(0, 1), amount=2, magnitude="coefficient", cap=1, minimal_quality=1)
    assert json.loads(json.dumps(vars(found)))["blocks"] == [3, 1]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"blocks": "a"}, "blocks"),
        ({"blocks": (1, "2")}, "blocks"),
        ({"depth": (0.3,)}, "depth"),
        ({"best": 1.5}, "best"),
        ({"minimal_quality": float("nan")}, "minimal_quality"),
        ({"amount": None}, "amount"),
        ({"amount": torch.ones(2)}, "amount"),
        ({"cap": date(2020, 1, 1)}, "cap"),
        ({"magnitude": ["coefficient"]}, "magnitude"),
        ({"blocks": (MOST_BLOCKS,)}, "blocks"),
    ],
)
def test_types_are_checked_in_python_too(fields: dict[str, object], name: str) -> None:
    with pytest.raises(InputError, match=name):
        Recipe(**fields)
    with pytest.raises(InputError, match=name):
        replace(COEFFICIENT, **fields)


def test_weights_are_finite() -> None:
    for weight in (float("nan"), float("inf"), 1e39, -(10**400)):
        with pytest.raises(InputError, match="weight"):
            Steer("calm", weight)


# ---------------------------------------------------------------- nothing steered


class Fixed:
    """Finds all values equally relevant."""

    name = "fixed"

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy

    def scores(self, texts: list[str], progress: object = None) -> np.ndarray:
        return np.full((len(texts), len(VALUES)), 0.5, dtype=np.float32)


def vispa(llama: LoadedModel, bank: VectorBank, taxonomy: Taxonomy, recipe: Recipe | None = None) -> Vispa:
    return Vispa(llama, bank, Fixed(taxonomy), taxonomy=taxonomy, recipe=recipe)


@pytest.fixture(scope="module")
def bank(llama: LoadedModel, small_taxonomy: Taxonomy) -> VectorBank:
    return fit_bank(llama, small_taxonomy, recipe=STRONG)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"blocks": ()}, "blocks"),
        ({"minimal_quality": 2.0}, "minimal_quality"),
        ({"amount": 0.0}, "amount"),
        ({"blocks": (9,)}, "blocks"),
        ({"estimator": "lasso"}, "estimator"),
    ],
)
def test_a_recipe_that_steers_nothing_is_refused(
    change: dict[str, object], field: str, llama: LoadedModel, small_taxonomy: Taxonomy, bank: VectorBank
) -> None:
    with pytest.raises(InputError, match=field):
        vispa(llama, bank, small_taxonomy, replace(STRONG, **change))
    with pytest.raises(InputError, match=field):
        vispa(llama, replace(bank, recipe=replace(STRONG, **change)), small_taxonomy)


def without_quality(bank: VectorBank, values: tuple[str, ...]) -> VectorBank:
    """The bank with directions that separate nothing for some values."""
    entry = bank.entries["one_versus_others"]
    quality = torch.ones_like(entry.directions.quality)
    for value in values:
        quality[bank.row(value)] = 0.1
    directions = replace(entry.directions, quality=quality)
    return replace(bank, entries={**bank.entries, "one_versus_others": replace(entry, directions=directions)})


def test_left_out_everywhere_is_refused(llama: LoadedModel, small_taxonomy: Taxonomy, bank: VectorBank) -> None:
    recipe = replace(STRONG, minimal_quality=0.7)
    with pytest.raises(InputError, match=r"minimal_quality: is 0.7, but no direction .* better than 0.10"):
        vispa(llama, without_quality(bank, VALUES), small_taxonomy, recipe)


def test_a_comment_that_was_not_steered_says_so(llama: LoadedModel, small_taxonomy: Taxonomy, bank: VectorBank) -> None:
    part = without_quality(bank, ("calm", "candor"))
    recipe = replace(STRONG, minimal_quality=0.7)
    answer = vispa(llama, part, small_taxonomy, recipe).respond("The dog next door barks.", k=3, max_new_tokens=6)
    assert {comment.value: comment.steered for comment in answer.comments} == {
        "calm": False,
        "candor": False,
        "thrift": True,
    }
    own = vispa(llama, part, small_taxonomy, recipe).respond(
        "The dog next door barks.", k=3, mode="distributional", options=("yes", "no"), passages=False
    )
    assert sorted(own.unsteered) == ["calm", "candor"]
    steered = vispa(llama, bank, small_taxonomy).respond("The dog next door barks.", k=3, max_new_tokens=6)
    assert all(comment.steered for comment in steered.comments)


def test_values_without_an_imported_vector_are_not_steered(
    llama: LoadedModel, small_taxonomy: Taxonomy, bank: VectorBank
) -> None:
    """Also with a recipe that asks for no quality, and where a vector is zero."""
    recipe = Recipe("ours", (1,), magnitude="coefficient", amount=2.0, minimal_quality=0.0)
    given = with_vectors(bank, "ours", {"calm": {1: torch.ones(WIDTH)}, "thrift": {1: torch.zeros(WIDTH)}})
    answer = vispa(llama, given, small_taxonomy, recipe).respond("Rain on the roof.", k=3, max_new_tokens=4)
    assert {comment.value for comment in answer.comments if comment.steered} == {"calm"}
    nothing = with_vectors(bank, "ours", {"calm": {3: torch.ones(WIDTH)}})
    with pytest.raises(InputError, match="nothing would be steered"):
        vispa(llama, nothing, small_taxonomy, recipe)


@pytest.mark.parametrize("words", [["calm"], ["calm", "rest"]])
def test_values_that_nothing_tells_apart_are_refused_rather_than_left_unsteered(
    llama: LoadedModel, tmp_path: Path, words: list[str]
) -> None:
    """One value, or several with the same sentences."""
    folder = write_taxonomy(tmp_path)
    pairs = (folder / "pairs" / "calm.csv").read_text()
    entries = [f'[{name}]\nlabel = "{name}"\nfamily = "test"\ndefinition = "The value of {name}."\n' for name in words]
    (folder / "values.toml").write_text("\n".join(entries))
    for file in (folder / "pairs").iterdir():
        file.unlink()
    for name in words:
        (folder / "pairs" / f"{name}.csv").write_text(pairs)
    own = fit_bank(llama, Taxonomy.load(folder))
    beside = Recipe("one_versus_others", (1, 2), magnitude="residual", amount=0.2, minimal_quality=0.0)
    with pytest.raises(InputError, match="has no direction at the recipe's blocks"):
        own.check_steers(beside)
    assert not any(own.steers(name, beside) for name in words)
    own.check_steers(replace(beside, estimator="mean_difference"))


def test_a_random_bank_is_refused_alike(make_model: Callable[..., LoadedModel]) -> None:
    bank = random_bank(replace(COEFFICIENT, minimal_quality=1.0))
    with pytest.raises(InputError, match="Lower it"):
        bank.check_steers(bank.recipe)
    assert not any(bank.steers(value) for value in VALUES)
    random_bank().check_steers(COEFFICIENT)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe("refined", (1, 2), magnitude="coefficient", amount=1.25, subject_share=0.5, minimal_quality=0.0),
        Recipe(depth=(0.2, 0.4), best=2, amounts={"karma": 0.8}, gate=0.9, cap=0.5, both_ways=True),
    ],
)
def test_what_is_not_as_by_default_makes_the_same_recipe_again(recipe: Recipe) -> None:
    found = recipe.as_mapping()
    assert Recipe.from_mapping(json.loads(json.dumps(found))) == recipe
    assert not any(found[name] == getattr(Recipe, name) for name in found)


@pytest.mark.parametrize("magnitude", ["residual", "coefficient"])
@pytest.mark.parametrize(("amount", "amounts"), [(0.0, {VALUES[0]: 0.4}), (0.4, dict.fromkeys(VALUES[1:], 0.0))])
def test_an_amount_of_nothing_steers_nothing(magnitude: str, amount: float, amounts: dict[str, float]) -> None:
    bank = random_bank()
    recipe = Recipe("mean", (1, 2), magnitude=magnitude, amount=amount, amounts=amounts, minimal_quality=0.0)
    bank.check_steers(recipe)
    assert [bank.steers(value, recipe) for value in VALUES] == [True, *[False] * (len(VALUES) - 1)]
    # The directions are as good as ever.
    assert separation(bank, recipe) == separation(bank, replace(recipe, amount=0.4, amounts={}))
    with pytest.raises(InputError, match="amounts: are 0 for every value of the bank"):
        bank.check_steers(replace(recipe, amount=0.4, amounts=dict.fromkeys(VALUES, 0.0)))
