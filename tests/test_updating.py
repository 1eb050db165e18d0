"""A bank of changed values: only these are read, and the result is that of a full fit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import write_taxonomy
from other_tokenizers import CHANGES, behind_another_tokenizer

from vispa.errors import BankError, InputError
from vispa.models.loading import LoadedModel
from vispa.steering import activations, updating
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import bank_path, cached_bank, keep_tuned
from vispa.steering.bank_parts import REFINED, Entry
from vispa.steering.estimators import ESTIMATORS, FITTED
from vispa.steering.estimators.base import Directions, Estimator
from vispa.steering.estimators.mean_difference import MeanDifference
from vispa.steering.estimators.one_versus_others import OneVersusOthers
from vispa.steering.estimators.probe import Probe
from vispa.steering.estimators.projection import Projection
from vispa.steering.fitting import fit_bank
from vispa.steering.recipe import Recipe
from vispa.steering.sealing import digests
from vispa.steering.updating import update_bank
from vispa.steering.value_fits import ValueFits, folder_of
from vispa.taxonomy import Taxonomy

PAIRS = {one.name for one in ESTIMATORS if one.contrast == "pairs"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "values").mkdir()
    return write_taxonomy(tmp_path / "values")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every sentence that a model reads."""
    texts: list[str] = []
    original = activations.read_activations

    def watched(loaded: LoadedModel, sentences: tuple[str, ...], **how: object) -> object:
        texts.extend(sentences)
        return original(loaded, sentences, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(activations, "read_activations", watched)
    return texts


def rewritten(folder: Path, slug: str = "thrift", **words: str) -> Taxonomy:
    """The values with other words in the pairs of one of them."""
    path = folder / "pairs" / f"{slug}.csv"
    text = path.read_text()
    for old, new in (words or {"saved": "kept every cent"}).items():
        text = text.replace(old, new)
    path.write_text(text)
    return Taxonomy.load(folder)


def test_one_changed_value_is_all_that_is_read_and_the_bank_is_that_of_a_full_fit(
    llama: LoadedModel, folder: Path, read: list[str]
) -> None:
    before = cached_bank(llama, Taxonomy.load(folder))
    read.clear()
    after = rewritten(folder)
    found = update_bank(llama, after)
    assert sorted(read) == sorted(text for side in after.sentences("thrift") for text in side)
    assert (found.changed, found.read, set(found.same)) == (("thrift",), ("thrift",), {"calm", "candor"})
    full = fit_bank(llama, after, recipe=found.bank.recipe)
    assert digests(found.bank._tensors()) == digests(full._tensors())
    assert found.bank.fingerprint == full.fingerprint == VectorBank.load(bank_path(llama, after)).fingerprint
    for name, entry in found.bank.entries.items():
        for row, slug in enumerate(before.info.values):
            old, new = (one.directions.vectors[row] for one in (before.entries[name], entry))
            # What is compared with the others moves with every value; the rest stays to the last bit.
            assert torch.equal(old, new) == (name in PAIRS and slug != "thrift"), (name, slug)


def test_what_a_value_gives_does_not_depend_on_the_values_beside_it(llama: LoadedModel, folder: Path) -> None:
    whole = fit_bank(llama, Taxonomy.load(folder))
    (folder / "values.toml").write_text((folder / "values.toml").read_text().split("\n[thrift]")[0])
    alone = fit_bank(llama, Taxonomy.load(folder))
    assert alone.info.values == ("calm",)
    for name in PAIRS:
        for part, tensor in vars(whole.entries[name].directions).items():
            if tensor is not None:
                assert torch.equal(tensor[:1], getattr(alone.entries[name].directions, part)), (name, part)


def test_a_value_that_has_another_name_is_not_read_again(llama: LoadedModel, folder: Path, read: list[str]) -> None:
    cached_bank(llama, Taxonomy.load(folder))
    read.clear()
    (folder / "values.toml").write_text((folder / "values.toml").read_text().replace("[calm]", "[serenity]"))
    (folder / "pairs" / "calm.csv").rename(folder / "pairs" / "serenity.csv")
    found = update_bank(llama, Taxonomy.load(folder))
    assert not read
    assert found.same == {"serenity": "calm", "thrift": "thrift", "candor": "candor"}
    assert found.changed == ()


def test_values_that_come_and_go(llama: LoadedModel, folder: Path, read: list[str]) -> None:
    cached_bank(llama, Taxonomy.load(folder))
    text = (folder / "values.toml").read_text()
    read.clear()
    shutil.copy(folder / "pairs" / "calm.csv", folder / "pairs" / "order.csv")
    (folder / "values.toml").write_text(text.replace("[thrift]", "[order]").replace('"thrift"', '"order"'))
    after = rewritten(folder, "order", rested="tidied")
    found = update_bank(llama, after)
    assert (found.changed, found.read) == (("order",), ("order",))
    assert len(read) == 16
    assert found.bank.fingerprint == fit_bank(llama, after).fingerprint


@pytest.mark.parametrize("harm", [b"", b"no such file", None], ids=["empty", "other", "cut"])
def test_a_damaged_file_of_a_value_is_read_anew(
    llama: LoadedModel, folder: Path, harm: bytes | None, read: list[str]
) -> None:
    values = Taxonomy.load(folder)
    whole = cached_bank(llama, values)
    kept = ValueFits(llama).path(values.sentences_fingerprint("calm"))
    data = bytearray(kept.read_bytes())
    data[-3] ^= 1
    kept.write_bytes(bytes(data) if harm is None else harm)
    bank_path(llama, values).unlink()
    read.clear()
    assert cached_bank(llama, values).fingerprint == whole.fingerprint
    assert sorted(read) == sorted(text for side in values.sentences("calm") for text in side)


def test_what_one_estimator_lacked_is_added_to_what_is_kept(llama: LoadedModel, folder: Path) -> None:
    values = Taxonomy.load(folder)
    few = [one for one in ESTIMATORS if one.reading == "sink_free_mean"]
    alone = fit_bank(llama, values, estimators=few, fits=ValueFits(llama))
    assert torch.equal(alone.residual_norm, fit_bank(llama, values, estimators=few).residual_norm)
    whole = fit_bank(llama, values, fits=ValueFits(llama))
    assert whole.fingerprint == fit_bank(llama, values).fingerprint
    fits = ValueFits(llama)
    assert fit_bank(llama, values, estimators=few, fits=fits).fingerprint == alone.fingerprint
    assert fits.read == []


OTHERS: list[Estimator] = [
    MeanDifference("mean_difference", "mean"),
    Probe("probe", "last", seed=1),
    OneVersusOthers("one_versus_others_last", "mean"),
    # Of another kind altogether.
    Projection("mean_difference", "last"),
    MeanDifference("one_versus_others", "mean"),
]


@pytest.mark.parametrize("other", OTHERS, ids=lambda one: f"{type(one).__name__} as {one.name}")
@pytest.mark.parametrize("first", ["registry", "other"])
def test_an_estimator_that_only_has_a_known_ones_name_shares_nothing_with_it(
    llama: LoadedModel, folder: Path, other: Estimator, first: str
) -> None:
    values = Taxonomy.load(folder)
    own, whole = (fit_bank(llama, values, estimators=some) for some in ([other], None))

    def fit(whose: str) -> ValueFits:
        fits = ValueFits(llama)
        some, expected = ([other], own) if whose == "other" else (None, whole)
        assert fit_bank(llama, values, estimators=some, fits=fits).fingerprint == expected.fingerprint
        return fits

    for whose in (first, "other" if first == "registry" else "registry"):
        assert fit(whose).read == list(values)
    # The known one's are still there, and the other's are not.
    assert (fit("registry").read, fit("other").read) == ([], list(values))


@pytest.mark.parametrize("extra", [[ESTIMATORS[0]], [Probe("projection", "mean")]], ids=["itself", "another"])
def test_estimators_of_one_name_are_refused(
    llama: LoadedModel, folder: Path, read: list[str], extra: list[Estimator]
) -> None:
    assert len(FITTED) == len(ESTIMATORS)
    with pytest.raises(InputError, match="several are called 'projection'"):
        fit_bank(llama, Taxonomy.load(folder), estimators=[*ESTIMATORS, *extra])
    assert not read


def test_fitting_anew_reads_everything(llama: LoadedModel, folder: Path, read: list[str]) -> None:
    values = Taxonomy.load(folder)
    cached_bank(llama, values)
    read.clear()
    cached_bank(llama, values, force=True)
    assert len(read) == 3 * 16


def test_large_files_are_kept_only_for_updates(
    llama: LoadedModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vispa.steering.value_fits.MOST_BYTES", 10)
    values = Taxonomy.load(folder)
    cached_bank(llama, values)
    assert not folder_of(llama.fingerprint).exists()
    after = rewritten(folder)
    assert update_bank(llama, after).read == tuple(values)
    assert update_bank(llama, values).read == ("thrift",)


def test_the_cache_of_a_model_is_bounded(llama: LoadedModel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = Taxonomy.load(folder)
    cached_bank(llama, values)
    files = sorted(folder_of(llama.fingerprint).iterdir(), key=lambda path: path.stat().st_mtime_ns)
    size = sum(path.stat().st_size for path in files)
    monkeypatch.setattr("vispa.steering.value_fits.MOST_BYTES_OF_MODEL", size - 1)
    ValueFits(llama).tidy()
    assert sorted(folder_of(llama.fingerprint).iterdir()) == sorted(files[1:])


@pytest.mark.parametrize("bound", [1, None])
def test_an_update_keeps_what_it_uses_and_bounds_the_rest(
    llama: LoadedModel, folder: Path, monkeypatch: pytest.MonkeyPatch, bound: int | None
) -> None:
    values = Taxonomy.load(folder)
    update_bank(llama, values)
    before = set(folder_of(llama.fingerprint).iterdir())
    if bound is not None:
        monkeypatch.setattr("vispa.steering.value_fits.MOST_BYTES_OF_MODEL", bound)
    after = rewritten(folder)
    assert update_bank(llama, after).read == ("thrift",)
    used = {ValueFits(llama).path(after.sentences_fingerprint(slug)) for slug in after}
    assert set(folder_of(llama.fingerprint).iterdir()) == (used if bound is not None else used | before)


def refined(bank: VectorBank, recipe: Recipe) -> VectorBank:
    """A bank as tuning leaves it: refined directions of one length at two blocks."""
    start = bank.entries["one_versus_others_sink_free"]
    vectors = torch.zeros_like(start.directions.vectors)
    noise = torch.randn(vectors[:, 1:3].shape, generator=torch.Generator().manual_seed(1))
    vectors[:, 1:3] = 5 * torch.nn.functional.normalize(noise, dim=-1)
    entry = Entry(Directions(vectors, *list(vars(start.directions).values())[1:3]), start.reading, start.contrast, True)
    return replace(bank, entries={**bank.entries, REFINED: entry}).with_tuned(recipe, {"chosen": "by hand"})


def test_refined_directions_stay_where_values_did_and_begin_anew_elsewhere(llama: LoadedModel, folder: Path) -> None:
    recipe = Recipe(
        REFINED, blocks=(1, 2), magnitude="coefficient", amount=1.5, amounts={"calm": 2.0, "thrift": 3.0},
        minimal_quality=0.0,
    )  # fmt: skip
    before = refined(cached_bank(llama, Taxonomy.load(folder)), recipe)
    keep_tuned(before)
    after = rewritten(folder)
    found = update_bank(llama, after)
    assert found.lost == {REFINED: ("thrift",)}
    old, new = (one.entries[REFINED].directions.vectors for one in (before, found.bank))
    assert torch.equal(old[[0, 2]], new[[0, 2]])
    start = found.bank.entries["one_versus_others_sink_free"].directions.vectors[1]
    assert torch.allclose(new[1].norm(dim=-1), torch.tensor([0.0, 5.0, 5.0, 0.0]), atol=1e-5)
    assert torch.allclose(torch.cosine_similarity(new[1, 1:3], start[1:3], dim=-1), torch.ones(2), atol=1e-5)
    # The recipe goes on to be used, without the amount of what changed.
    assert found.bank.recipe == replace(recipe, amounts={"calm": 2.0})
    assert cached_bank(llama, after, estimators=()).recipe == found.bank.recipe
    assert found.bank.tuning is not None and found.bank.tuning["taken_over"]["changed_since"] == ["thrift"]


@pytest.mark.parametrize("copies", [1, 2])
def test_a_tuned_amount_stays_where_a_new_value_begins_as_a_copy(llama: LoadedModel, folder: Path, copies: int) -> None:
    recipe = Recipe(
        "mean_difference", blocks=(1,), magnitude="coefficient", amount=1.0, amounts={"calm": 0.05}, minimal_quality=0.0
    )
    keep_tuned(cached_bank(llama, Taxonomy.load(folder)).with_tuned(recipe, {"chosen": "by hand"}))
    names = [f"copy{number}" for number in range(copies)]
    with (folder / "values.toml").open("a") as file:
        for name in names:
            file.write(f'\n[{name}]\nlabel = "{name}"\nfamily = "test"\ndefinition = "The value of {name}."\n')
            (folder / "pairs" / f"{name}.csv").write_text((folder / "pairs" / "calm.csv").read_text())
    found = update_bank(llama, Taxonomy.load(folder))
    assert dict(found.bank.recipe.amounts) == dict.fromkeys(["calm", *names], 0.05)


def test_imported_vectors_are_lost_where_values_changed(
    llama: LoadedModel, folder: Path, own_vectors: Callable[[VectorBank], VectorBank]
) -> None:
    before = own_vectors(cached_bank(llama, Taxonomy.load(folder)))
    before.save(bank_path(llama, Taxonomy.load(folder)))
    found = update_bank(llama, rewritten(folder))
    mine = found.bank.entries["mine"].directions
    assert found.lost == {"mine": ("thrift",)}
    assert bool(mine.vectors[0].any()) and not mine.vectors[1].any() and float(mine.quality[1].max()) == 0
    assert not found.bank.steers("thrift", Recipe("mine", magnitude="coefficient", amount=1.0, minimal_quality=0.5))


@pytest.fixture
def own_vectors() -> Callable[[VectorBank], VectorBank]:
    from vispa.steering.exchange.merging import with_vectors

    def imported(bank: VectorBank) -> VectorBank:
        vectors = {slug: {1: torch.ones(bank.width or 0)} for slug in bank.info.values}
        return with_vectors(bank, "mine", vectors)

    return imported


def test_what_was_tuned_or_imported_on_the_values_now_goes_first(
    llama: LoadedModel, folder: Path, own_vectors: Callable[[VectorBank], VectorBank]
) -> None:
    recipe = Recipe(REFINED, blocks=(1, 2), magnitude="coefficient", amount=1.5, minimal_quality=0.0)
    keep_tuned(refined(cached_bank(llama, Taxonomy.load(folder)), recipe))
    after = rewritten(folder)
    own = Recipe("mean_difference", blocks=(2,), magnitude="residual", amount=0.1, minimal_quality=0.0)
    keep_tuned(own_vectors(cached_bank(llama, after)).with_tuned(own, {"chosen": "later"}))
    found = update_bank(llama, after).bank
    assert (found.recipe, found.tuning) == (own, {"chosen": "later"})
    assert {"mine", REFINED} <= found.entries.keys()


def test_a_bank_of_another_model_is_refused(
    make_model: Callable[..., LoadedModel], llama: LoadedModel, folder: Path
) -> None:
    other = make_model("llama", seed=5)
    values = Taxonomy.load(folder)
    cached_bank(other, values)
    with pytest.raises(BankError, match="another model"):
        update_bank(llama, values, bank_path(other, values))
    found = update_bank(llama, values)
    assert (found.earlier, found.read) == (None, tuple(values))


# ---------------------------------------------------------------- another tokenizer


@pytest.fixture(params=CHANGES)
def other(llama: LoadedModel, request: pytest.FixtureRequest) -> LoadedModel:
    """The same weights behind another tokenizer."""
    return behind_another_tokenizer(llama, request.param)


TUNED = Recipe(REFINED, blocks=(1, 2), magnitude="coefficient", amount=1.5, minimal_quality=0.0)


def test_nothing_of_what_another_tokenizer_read_is_taken_over(
    llama: LoadedModel, other: LoadedModel, folder: Path, own_vectors: Callable[[VectorBank], VectorBank],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Refined and imported directions, and a tuned recipe, belong to the activations that they were made for."""
    before = Taxonomy.load(folder)
    keep_tuned(own_vectors(refined(cached_bank(llama, before), TUNED)))
    after = rewritten(folder)
    found = update_bank(other, after)
    assert (found.earlier, found.same, found.lost) == (None, {}, {}) and found.read == tuple(after)
    assert found.bank.fingerprint == fit_bank(other, after).fingerprint and found.bank.tuning is None
    assert f"{bank_path(llama, before)} was read by another tokenizer of the model" in caplog.text
    # Its own is gone on from, in between.
    cached_bank(other, before)
    caplog.clear()
    again = update_bank(other, rewritten(folder, "calm", rested="sat"))
    assert again.earlier == bank_path(other, after) and again.read == ("calm",) and not caplog.records


def test_a_bank_that_another_tokenizer_read_is_refused_by_name_before_anything_is_read(
    llama: LoadedModel, other: LoadedModel, folder: Path, read: list[str]
) -> None:
    before = Taxonomy.load(folder)
    keep_tuned(refined(cached_bank(llama, before), TUNED))
    read.clear()
    with pytest.raises(BankError, match="was read by another tokenizer of the model"):
        update_bank(other, rewritten(folder), bank_path(llama, before))
    assert not read


@pytest.mark.parametrize("told", [False, True])
def test_a_bank_that_the_tokenizer_can_have_read_is_gone_on_from(llama: LoadedModel, folder: Path, told: bool) -> None:
    """An older release's says nothing of it."""
    before = Taxonomy.load(folder)
    bank = refined(cached_bank(llama, before), TUNED)
    info = replace(bank.info, tokenizer=llama.tokenization.digest if told else "")
    replace(bank, info=info).save(bank_path(llama, before))
    found = update_bank(llama, rewritten(folder))
    assert found.earlier == bank_path(llama, before) and found.bank.recipe == TUNED
    assert found.lost == {REFINED: ("thrift",)}


@pytest.mark.parametrize("harm", ["tokenizer", "numbers", "name"])
def test_what_stands_in_the_new_banks_place_but_is_of_no_use_is_kept_aside_and_named(
    llama: LoadedModel, other: LoadedModel, make_model: Callable[..., LoadedModel], folder: Path, harm: str,
    own_vectors: Callable[[VectorBank], VectorBank], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The bank of the very same values is replaced: read by another tokenizer, damaged, or another model's."""
    values = Taxonomy.load(folder)
    place = bank_path(llama, values)
    loaded = {"name": make_model("llama", seed=5)}.get(harm, llama)
    own_vectors(refined(cached_bank(loaded, values), TUNED)).save(place)
    data = bytearray(place.read_bytes())
    if harm == "numbers":
        data[-3] ^= 1
        place.write_bytes(data)
    now = other if harm == "tokenizer" else llama
    found = update_bank(now, values)
    expected = fit_bank(now, values)
    assert found.bank.fingerprint == expected.fingerprint == VectorBank.load(place).fingerprint
    assert found.bank.recipe == expected.recipe and found.bank.tuning is None
    assert place.with_name(f"{place.name}.damaged").read_bytes() == data
    assert "it is replaced" in caplog.text and "mine" in caplog.text


def test_a_bank_that_is_deleted_meanwhile_is_no_candidate(
    llama: LoadedModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = Taxonomy.load(folder)
    gone = bank_path(llama, values).with_name("gone.safetensors")
    monkeypatch.setattr(updating, "cached_banks", lambda: [gone])
    assert updating.nearest_bank(llama, values) is None
