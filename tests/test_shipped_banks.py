"""Banks that ship with the package: what is in them, when they are taken; recipes tuned on a user's own bank."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import write_taxonomy
from safetensors import safe_open
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.errors import InputError
from vispa.models.loading import LoadedModel
from vispa.models.sources.named import named_models
from vispa.request import DEFAULT_MODEL
from vispa.steering import bank_cache, shipped_banks
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import bank_path, cached_bank
from vispa.steering.bank_parts import REFINED
from vispa.steering.estimators import ESTIMATORS
from vispa.steering.fitting import default_recipe, fit_bank
from vispa.steering.recipe import Recipe, portable_recipe
from vispa.steering.shipped_banks import SHIPPED
from vispa.steering.soundness import bank_problems
from vispa.taxonomy import Taxonomy

FITTED = [estimator.name for estimator in ESTIMATORS]
TUNED = Recipe("mean_difference", blocks=(1, 2), magnitude="residual", amount=0.2, minimal_quality=0.0)
RECORD = {"chosen": "blocks 1, 2", "reasons": ["it speaks"], "frontier": [[0.5, 1.25], [0.75, None]]}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def whole(llama: LoadedModel, small_taxonomy: Taxonomy) -> VectorBank:
    return fit_bank(llama, small_taxonomy).with_tuned(TUNED, RECORD)


@pytest.fixture
def shipped(whole: VectorBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that ships a bank for the small random model, with two of the estimators."""
    path = tmp_path / "shipped" / "small.safetensors"
    path.parent.mkdir()
    some = {name: whole.entries[name] for name in ("mean_difference", "probe")}
    replace(whole, entries=some).save(path, half=True)
    monkeypatch.setattr(shipped_banks, "SHIPPED", path.parent)
    shipped_banks.shipped_headers.cache_clear()
    yield path
    shipped_banks.shipped_headers.cache_clear()


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Names of the estimators of each fit."""
    done: list[list[str]] = []

    def counted(*arguments: object, **options: object) -> VectorBank:
        done.append([one.name for one in options["estimators"]])  # type: ignore[attr-defined]
        return fit_bank(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(bank_cache, "fit_bank", counted)
    return done


# ---------------------------------------------------------------- the package's own


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*")), ids=lambda path: path.name)
def test_what_ships_is_whole_small_and_for_the_built_in_values(path: Path) -> None:
    assert path.stem in named_models() and path.suffix == ".safetensors"
    assert path.stat().st_size < 5_000_000
    bank = VectorBank.load(path)
    assert bank_problems(bank) == []
    assert bank.info.taxonomy_fingerprint == Taxonomy.built_in().fingerprint
    assert set(bank.entries) == {bank.recipe.estimator, Recipe().estimator}
    assert bank.tuning is not None and bank.recipe != portable_recipe()
    bank.check_steers(bank.recipe)
    bank.check_steers(Recipe())
    with safe_open(path, "pt") as file:
        stored = {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    for name, dtype in stored.items():
        assert dtype == (torch.float16 if name.endswith(".vectors") else torch.float32), name


def test_the_default_model_ships_its_bank() -> None:
    assert (SHIPPED / f"{DEFAULT_MODEL}.safetensors").is_file()


# ---------------------------------------------------------------- half precision


def test_half_precision_keeps_length_and_direction(whole: VectorBank, tmp_path: Path) -> None:
    whole.save(tmp_path / "half.safetensors", half=True)
    whole.save(tmp_path / "full.safetensors")
    half, full = (VectorBank.load(tmp_path / f"{name}.safetensors") for name in ("half", "full"))
    assert full.fingerprint == whole.fingerprint != half.fingerprint
    for name, entry in whole.entries.items():
        found, vectors = half.entries[name].directions, entry.directions.vectors
        assert found.vectors.dtype is full.entries[name].directions.vectors.dtype is torch.float32
        assert torch.equal(found.quality, entry.directions.quality)
        assert torch.equal(full.entries[name].directions.vectors, vectors)
        torch.testing.assert_close(found.vectors.norm(dim=-1), vectors.norm(dim=-1), rtol=1e-3, atol=0)
        assert torch.cosine_similarity(found.vectors, vectors, dim=-1).min() > 1 - 1e-3


# ---------------------------------------------------------------- which bank is taken


def test_a_shipped_bank_needs_no_fitting(
    shipped: Path, llama: LoadedModel, small_taxonomy: Taxonomy, fits: list[list[str]]
) -> None:
    for estimators in ((), ("probe",), ("probe", "mean_difference")):
        bank = cached_bank(llama, small_taxonomy, estimators=estimators)
        assert list(bank.entries) == ["mean_difference", "probe"] and bank.recipe == TUNED
        assert bank.tuning is None
    assert fits == [] and not bank_path(llama, small_taxonomy).exists()


def test_what_it_lacks_is_fitted_in_one_pass_when_it_is_asked_for(
    shipped: Path, llama: LoadedModel, small_taxonomy: Taxonomy, fits: list[list[str]]
) -> None:
    bank = cached_bank(llama, small_taxonomy, estimators=["projection"])
    missing = [name for name in FITTED if name not in ("mean_difference", "probe")]
    assert fits == [missing] and list(bank.entries) == FITTED
    kept = VectorBank.load(bank_path(llama, small_taxonomy))
    assert kept.fingerprint == bank.fingerprint
    # It is advice of the package, which a later release may change, and was not tuned here.
    assert kept.recipe == TUNED and kept.tuning is None
    assert cached_bank(llama, small_taxonomy).fingerprint == kept.fingerprint
    assert len(fits) == 1


def test_a_name_that_nothing_fits_costs_no_fit(
    shipped: Path, llama: LoadedModel, small_taxonomy: Taxonomy, fits: list[list[str]]
) -> None:
    bank = cached_bank(llama, small_taxonomy, estimators=["imported"])
    assert fits == []
    with pytest.raises(InputError, match=r"'imported' is not in the bank\. It has mean_difference, probe; `vispa fit`"):
        bank.entry("imported")


def test_the_users_own_bank_goes_first_where_it_has_all_that_is_needed(
    shipped: Path, whole: VectorBank, llama: LoadedModel, small_taxonomy: Taxonomy, fits: list[list[str]]
) -> None:
    path = bank_path(llama, small_taxonomy)
    own = replace(whole, entries={"mean_difference": whole.entries["mean_difference"]}, tuning=None)
    own.save(path)
    assert cached_bank(llama, small_taxonomy, estimators=()).fingerprint == own.fingerprint
    both = cached_bank(llama, small_taxonomy, estimators=["probe"])
    assert both.fingerprint == VectorBank.load(shipped).fingerprint
    assert fits == []
    assert list(cached_bank(llama, small_taxonomy, force=True).entries) == FITTED
    assert fits == [FITTED]


def test_on_other_values_the_recipe_that_ships_holds_and_all_is_fitted(
    shipped: Path, llama: LoadedModel, small_taxonomy: Taxonomy, fits: list[list[str]], tmp_path: Path
) -> None:
    folder = write_taxonomy(tmp_path)
    values = folder / "values.toml"
    values.write_text(values.read_text(encoding="utf-8").replace("The value of", "Something else than"))
    other = Taxonomy.load(folder)
    assert other.fingerprint != small_taxonomy.fingerprint
    bank = cached_bank(llama, other, estimators=())
    assert bank.recipe == default_recipe(llama) == TUNED
    assert fits == [FITTED]


# ---------------------------------------------------------------- what an earlier release shipped


def with_refined(bank: VectorBank, factor: float) -> VectorBank:
    """The bank with directions that no fit gives, and a recipe and a measured strength for them."""
    entry = bank.entries["mean_difference"]
    vectors = factor * entry.directions.vectors.half().float()
    refined = replace(entry, directions=replace(entry.directions, vectors=vectors), imported=True)
    recipe = replace(TUNED, estimator=REFINED, amount=factor)
    changed = replace(bank, entries={**bank.entries, REFINED: refined}, recipe=recipe, tuning=None)
    return changed.with_strengths(replace(recipe, magnitude="kl"), dict.fromkeys(bank.info.values, factor))


def ship(bank: VectorBank, path: Path) -> None:
    """Make a release that ships a bank's refined directions."""
    kept = {name: bank.entries[name] for name in ("probe", REFINED)}
    replace(bank, entries=kept, strengths={}, tuning=RECORD).save(path, half=True)
    shipped_banks.shipped_headers.cache_clear()


@pytest.mark.parametrize("asked", [(), ("probe",), ("mean_difference", "projection")])
@pytest.mark.parametrize("tuned", [False, True])
def test_an_upgrade_replaces_what_the_package_shipped_before(
    asked: tuple[str, ...], tuned: bool, shipped: Path, whole: VectorBank, llama: LoadedModel, small_taxonomy: Taxonomy
) -> None:
    newer, older = with_refined(whole, 4.0), with_refined(whole, 2.0)
    ship(newer, shipped)
    path = bank_path(llama, small_taxonomy)
    some = {name: older.entries[name] for name in ("mean_difference", REFINED)}
    replace(older, entries=some, tuning=RECORD if tuned else None).save(path)
    expected = older if tuned else newer
    for _ in range(2):
        bank = cached_bank(llama, small_taxonomy, estimators=asked)
        assert bank.recipe == expected.recipe
        found = bank.entry(REFINED).directions.vectors
        assert torch.equal(found, expected.entries[REFINED].directions.vectors)
        assert [one for one in bank.strengths if one.amount == 2.0] == ([] if not tuned else [*older.strengths])
        assert set(asked) <= bank.entries.keys()


def test_strengths_are_kept_with_the_directions_that_they_were_measured_with(
    shipped: Path, whole: VectorBank, llama: LoadedModel, small_taxonomy: Taxonomy
) -> None:
    newer, older = with_refined(whole, 4.0), with_refined(whole, 2.0)
    ship(newer, shipped)
    path = bank_path(llama, small_taxonomy)
    older.save(path)
    bank_cache.keep_strengths(newer)
    kept = VectorBank.load(path)
    assert torch.equal(kept.entry(REFINED).directions.vectors, newer.entry(REFINED).directions.vectors)
    assert {one for one in kept.strengths if one.estimator == REFINED} == {*newer.strengths}


# ---------------------------------------------------------------- tuned recipes


def test_a_recipe_tuned_on_a_cached_bank_is_kept(
    whole: VectorBank, llama: LoadedModel, small_taxonomy: Taxonomy, fits: list[list[str]]
) -> None:
    path = bank_path(llama, small_taxonomy)
    whole.save(path)
    assert VectorBank.load(path).tuning == RECORD
    assert whole.fingerprint == replace(whole, tuning=None, recipe=Recipe()).fingerprint
    bank = cached_bank(llama, small_taxonomy)
    assert (bank.recipe, bank.tuning, fits) == (TUNED, RECORD, [])
    replace(whole, entries={"mean_difference": whole.entries["mean_difference"]}).save(path)
    for force in (False, True):
        bank = cached_bank(llama, small_taxonomy, force=force)
        assert (bank.recipe, bank.tuning) == (TUNED, RECORD)
        assert VectorBank.load(path).tuning == RECORD
    assert fits[1:] == [FITTED]


def test_advice_in_a_cached_bank_gives_way_to_this_releases(
    whole: VectorBank, llama: LoadedModel, small_taxonomy: Taxonomy
) -> None:
    replace(whole, tuning=None).save(bank_path(llama, small_taxonomy))
    assert cached_bank(llama, small_taxonomy).recipe == portable_recipe()


@pytest.mark.parametrize("recipe", [replace(TUNED, estimator="own"), replace(TUNED, blocks=(9,))])
def test_only_a_recipe_that_the_bank_can_serve_is_tuned(recipe: Recipe, whole: VectorBank) -> None:
    with pytest.raises(InputError):
        whole.with_tuned(recipe, RECORD)


# ---------------------------------------------------------------- commands


def test_bank_commands_know_what_ships(shipped: Path, tmp_path: Path) -> None:
    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["bank", *arguments])
        assert (1 if isinstance(result.exception, InputError) else result.exit_code) == code, result.output
        return f"{result.output}{result.exception or ''}"

    assert json.loads(run("show", "small", "--json"))["tuning"] == RECORD
    assert "sound" in run("verify", "small") and "ships with the package" in run("list")
    assert "is not removed" in run("remove", "small", "--yes", code=1) and shipped.is_file()
    before = shipped.read_bytes()
    run("export", "small", str(tmp_path / "v.safetensors"), "--scale", "1")
    run("import", str(tmp_path / "v.safetensors"), "--into", "small", "--name", "ours")
    assert shipped.read_bytes() == before
    mine = json.loads(run("show", "random-llama", "--json"))
    assert mine["path"] != str(shipped) and set(mine["estimators"]) == {"mean_difference", "probe", "ours"}
    assert mine["tuning"] is None
