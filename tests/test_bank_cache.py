"""The cached bank: checksums, completion, what stays when it is fitted anew, and caches that cannot be used."""

from __future__ import annotations

import json
import logging
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from other_tokenizers import CHANGES, behind_another_tokenizer
from random_banks import BLOCKS, VALUES, WIDTH, random_bank
from safetensors import safe_open
from safetensors.torch import save_file

from vispa.errors import BankError, InputError
from vispa.files import caching
from vispa.files.locking import changing
from vispa.models.loading import LoadedModel
from vispa.steering import bank_cache
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import bank_path, cached_bank
from vispa.steering.estimators import ESTIMATORS
from vispa.steering.exchange.merging import with_vectors
from vispa.steering.fitting import fit_bank
from vispa.steering.sealing import read_sealed, write_sealed
from vispa.taxonomy import Taxonomy

FITTED = [estimator.name for estimator in ESTIMATORS]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(caching, "_said", set())
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def fitted(llama: LoadedModel, small_taxonomy: Taxonomy, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a fitted bank with imported vectors `ours`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISPA_CACHE", str(tmp_path_factory.mktemp("once")))
        bank = cached_bank(llama, small_taxonomy)
        path = bank_path(llama, small_taxonomy)
        with_vectors(bank, "ours", {"thrift": {1: torch.ones(WIDTH)}}).save(path)
        return path.read_bytes()


@pytest.fixture
def path(fitted: bytes, llama: LoadedModel, small_taxonomy: Taxonomy) -> Path:
    path = bank_path(llama, small_taxonomy)
    path.parent.mkdir(parents=True)
    path.write_bytes(fitted)
    return path


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Names of the estimators of each fit from here on."""
    done: list[list[str]] = []
    fit = bank_cache.fit_bank

    def counted(*arguments: object, estimators: object = None, **options: object) -> VectorBank:
        done.append([estimator.name for estimator in estimators or ESTIMATORS])
        return fit(*arguments, estimators=estimators, **options)

    monkeypatch.setattr(bank_cache, "fit_bank", counted)
    return done


def rewritten(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Other numbers under the metadata as it was, as a tool or a faulty disk leaves them."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    change(tensors)
    save_file(tensors, path, metadata=metadata)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    place = data.index(b'"probe.vectors"')
    begin = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["probe.vectors"]["data_offsets"][0]
    assert place
    data[8 + int.from_bytes(data[:8], "little") + begin + 2] ^= 4
    path.write_bytes(data)


def swap_values(path: Path) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["one_versus_others.vectors"] = tensors["one_versus_others.vectors"][[1, 0, 2]].clone()

    rewritten(path, change)


def enlarge(path: Path) -> None:
    rewritten(path, lambda tensors: tensors["mean_difference.vectors"].mul_(1e30))


def spoil_quality(path: Path) -> None:
    rewritten(path, lambda tensors: tensors["probe.quality"].fill_(float("nan")))


def swap_names(path: Path) -> None:
    """The header's values in another order: every vector is another value's."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    metadata["vispa"] = metadata["vispa"].replace('["calm","thrift","candor"]', '["thrift","calm","candor"]')
    save_file(tensors, path, metadata=metadata)


def drop_a_tensor(path: Path) -> None:
    rewritten(path, lambda tensors: tensors.pop("probe.bias"))


DAMAGES = (flip_a_bit, swap_values, enlarge, spoil_quality, swap_names, drop_a_tensor)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_numbers_are_refused_by_name(damage: Callable[[Path], None], path: Path) -> None:
    VectorBank.load(path)
    damage(path)
    with pytest.raises(BankError, match=r"is damaged .*checksum"):
        VectorBank.load(path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cached_bank_is_fitted_anew(
    damage: Callable[[Path], None],
    path: Path,
    llama: LoadedModel,
    small_taxonomy: Taxonomy,
    fits: list[list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    right = VectorBank.load(path)
    damage(path)
    bank = cached_bank(llama, small_taxonomy)
    assert fits == [FITTED]
    assert "is damaged" in caplog.text
    assert "fitted anew" in caplog.text
    again = VectorBank.load(path)
    for name in FITTED:
        assert torch.equal(bank.entries[name].directions.vectors, right.entries[name].directions.vectors)
        assert torch.equal(again.entries[name].directions.quality, right.entries[name].directions.quality)
    if damage is swap_names:
        # Nothing tells which value the imported vector was of.
        assert "imported vectors are lost: ours;" in caplog.text
        assert path.with_name(f"{path.name}.damaged").is_file()
        assert "ours" not in bank.entries
    else:
        assert torch.equal(bank.entries["ours"].directions.vectors, right.entries["ours"].directions.vectors)


@pytest.mark.parametrize("what", ["cut", "imported", "noise"])
def test_imported_vectors_that_are_lost_are_named(
    what: str, path: Path, llama: LoadedModel, small_taxonomy: Taxonomy, caplog: pytest.LogCaptureFixture
) -> None:
    if what == "cut":
        path.write_bytes(path.read_bytes()[:-50])
    elif what == "imported":
        rewritten(path, lambda tensors: tensors["ours.vectors"].add_(0.5))
    else:
        path.write_bytes(b"\x07" * 900)
    whole = path.read_bytes()
    bank = cached_bank(llama, small_taxonomy)
    assert list(bank.entries) == FITTED
    assert (
        "vectors that were imported, if any, are lost" if what == "noise" else "vectors are lost: ours;"
    ) in caplog.text
    assert path.with_name(f"{path.name}.damaged").read_bytes() == whole
    caplog.clear()
    cached_bank(llama, small_taxonomy)
    assert not caplog.records


@pytest.mark.parametrize("lacking", [["probe"], ["one_versus_others", "projection"]])
def test_a_bank_from_before_an_estimator_is_completed(
    lacking: list[str],
    path: Path,
    llama: LoadedModel,
    small_taxonomy: Taxonomy,
    fits: list[list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = VectorBank.load(path)
    replace(whole, entries={n: e for n, e in whole.entries.items() if n not in lacking}).save(path)
    bank = cached_bank(llama, small_taxonomy)
    assert [sorted(names) for names in fits] == [sorted(lacking)]
    assert f"lacks {', '.join(name for name in FITTED if name in lacking)}" in caplog.text
    assert list(bank.entries) == [*FITTED, "ours"]
    assert bank.fingerprint == whole.fingerprint == VectorBank.load(path).fingerprint
    cached_bank(llama, small_taxonomy)
    assert len(fits) == 1


def test_fitting_by_force_keeps_imported_vectors(
    path: Path, llama: LoadedModel, small_taxonomy: Taxonomy, fits: list[list[str]]
) -> None:
    before = VectorBank.load(path)
    bank = cached_bank(llama, small_taxonomy, force=True)
    assert fits == [FITTED]
    assert bank.entries["ours"].imported
    assert VectorBank.load(path).fingerprint == bank.fingerprint == before.fingerprint


def test_vectors_imported_while_others_fit_stay(
    path: Path, llama: LoadedModel, small_taxonomy: Taxonomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = bank_cache.fit_bank

    def slow(*arguments: object, **options: object) -> VectorBank:
        with_vectors(VectorBank.load(path), "late", {"calm": {2: torch.ones(WIDTH)}}).save(path)
        return fit(*arguments, **options)

    monkeypatch.setattr(bank_cache, "fit_bank", slow)
    assert {"ours", "late"} < set(cached_bank(llama, small_taxonomy, force=True).entries)
    assert {"ours", "late"} < set(VectorBank.load(path).entries)


def test_a_bank_of_an_older_release_is_fitted_anew(
    path: Path, llama: LoadedModel, small_taxonomy: Taxonomy, fits: list[list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    """Format 2 had no checksums; what was imported into it cannot be fitted again and stays."""
    sealed = read_sealed(path)
    header = json.loads(sealed.header)
    del header["digests"]
    for about in header["entries"].values():
        del about["imported"]
    header["format"] = "vispa-bank-2"
    sealed.tensors["probe.vectors"].zero_()
    save_file(sealed.tensors, path, metadata={"vispa": json.dumps(header)})
    with pytest.raises(BankError, match="older release"):
        VectorBank.load(path)
    bank = cached_bank(llama, small_taxonomy)
    assert fits == [FITTED]
    assert bank.entries["probe"].directions.vectors.any()
    assert bank.entries["ours"].imported
    assert "no checksum vouches for the imported vectors that are kept: ours" in caplog.text


@pytest.mark.parametrize("changed", CHANGES)
def test_what_another_tokenizer_read_is_not_used(
    llama: LoadedModel, small_taxonomy: Taxonomy, path: Path, fits: list[list[str]], changed: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The weights are the same, the activations are not: neither the bank nor what is kept of single values counts."""
    cached_bank(llama, small_taxonomy, force=True)
    fits.clear()
    other = behind_another_tokenizer(llama, changed)
    found = cached_bank(other, small_taxonomy)
    assert fits and "another tokenizer" in caplog.text
    expected = fit_bank(other, small_taxonomy)
    for name, entry in expected.entries.items():
        assert torch.equal(found.entries[name].directions.vectors, entry.directions.vectors)


@pytest.mark.parametrize("where", ["cache", "cache/banks"])
def test_a_misplaced_cache_folder_stops_nothing(
    where: str, tmp_path: Path, llama: LoadedModel, small_taxonomy: Taxonomy, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / where).parent.mkdir(exist_ok=True)
    (tmp_path / where).write_text("no folder")
    for _ in range(2):
        assert list(cached_bank(llama, small_taxonomy).entries) == FITTED
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "cannot be used as a cache" in caplog.text
    assert (tmp_path / where).read_text() == "no folder"


def test_a_folder_in_the_bank_s_place_stops_nothing(
    llama: LoadedModel, small_taxonomy: Taxonomy, caplog: pytest.LogCaptureFixture
) -> None:
    path = bank_path(llama, small_taxonomy)
    (path / "inside").mkdir(parents=True)
    assert list(cached_bank(llama, small_taxonomy).entries) == FITTED
    assert len(caplog.records) == 1
    assert (path / "inside").is_dir()


def test_a_full_disk_stops_nothing(
    llama: LoadedModel, small_taxonomy: Taxonomy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vispa.steering.sealing.save_file", full)
    assert list(cached_bank(llama, small_taxonomy).entries) == FITTED
    assert "No space left" in caplog.text
    folder = bank_path(llama, small_taxonomy).parent
    assert not [file for file in folder.iterdir() if not file.name.endswith(".lock")]


# ---------------------------------------------------------------- fingerprints and names


def test_the_fingerprint_is_of_directions_and_what_they_are_bound_to(tmp_path: Path) -> None:
    bank = random_bank()
    bank.save(tmp_path / "b.safetensors")
    assert VectorBank.load(tmp_path / "b.safetensors").fingerprint == bank.fingerprint == random_bank().fingerprint
    assert replace(bank, recipe=replace(bank.recipe, amount=0.7)).fingerprint == bank.fingerprint
    others = {
        random_bank(seed=1).fingerprint,
        random_bank(model="another").fingerprint,
        replace(bank, entries={"mean": bank.entries["mean"]}).fingerprint,
        replace(bank, entries={"mean": bank.entries["probe"], "probe": bank.entries["mean"]}).fingerprint,
        replace(bank, residual_norm=bank.residual_norm * 2).fingerprint,
        bank.fingerprint,
    }
    assert len(others) == 6


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("entries", lambda header: header["entries"].update({"../../../x": header["entries"]["mean"]})),
        ("entries", lambda header: header["entries"].update({"a/b": header["entries"]["mean"]})),
        ("values", lambda header: header["info"].update(values=["calm", "thrift", "../candor"])),
        ("values", lambda header: header["info"].update(values=["calm", "thrift", "\x1b[31mred"])),
        ("values", lambda header: header["info"].update(values=["calm", "calm", "candor"])),
        ("values", lambda header: header["info"].update(values=[])),
        ("values", lambda header: header["info"].update(values="calm")),
        ("model_fingerprint", lambda header: header["info"].update(model_fingerprint="../../../../x" + "a" * 51)),
        ("taxonomy_fingerprint", lambda header: header["info"].update(taxonomy_fingerprint=7)),
        ("reading", lambda header: header["entries"]["mean"].update(reading="first")),
        ("entries", lambda header: header.update(entries=[])),
        ("surplus", lambda header: header.update(surplus=1)),
        ("info", lambda header: header.pop("info")),
        ("recipe", lambda header: header.update(recipe=[])),
        ("best", lambda header: header["recipe"].update(best=1.5)),
        ("amount", lambda header: header["recipe"].update(amount=True)),
    ],
)
def test_a_header_is_checked_as_a_whole(field: str, change: Callable[[dict], object], tmp_path: Path) -> None:
    """Also where its checksum is right, as of a file that somebody made."""
    path = tmp_path / "made.safetensors"
    random_bank().save(path)
    sealed = read_sealed(path)
    header = json.loads(sealed.header)
    change(header)
    write_sealed(path, header, sealed.tensors)
    with pytest.raises(BankError, match=field) as caught:
        VectorBank.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["../../../x", "a/b", "", ".hidden", "x" * 101, "a\nb", "\x1b[1m", "con\u202etrol"])
def test_names_are_no_paths(name: str, tmp_path: Path) -> None:
    bank = random_bank()
    with pytest.raises(InputError, match="is not a name"):
        with_vectors(bank, name, {"calm": {1: torch.ones(WIDTH)}})
    with pytest.raises(InputError, match="is not a name"):
        replace(bank, entries={name: bank.entries["mean"]}).save(tmp_path / "b.safetensors")
    assert not list(tmp_path.glob("**/*.safetensors"))


def test_a_fitted_name_is_not_taken_by_imported_vectors() -> None:
    with pytest.raises(InputError, match="'probe' is what fitted directions are called"):
        with_vectors(random_bank(), "probe", {"calm": {1: torch.ones(WIDTH)}})


def test_tensors_of_another_shape_than_the_values_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "made.safetensors"
    random_bank().save(path)
    sealed = read_sealed(path)
    header = json.loads(sealed.header)
    for part in ("quality", "separation"):
        tensors = {**sealed.tensors, f"mean.{part}": torch.rand(len(VALUES), BLOCKS + 1)}
        write_sealed(path, header, tensors)
        with pytest.raises(BankError, match=rf"mean.{part}: is \[3, 5\] for 3 values and 4 blocks"):
            VectorBank.load(path)
    write_sealed(path, header, {**sealed.tensors, "mean.vectors": torch.ones(3, 4, 32, dtype=torch.int64)})
    with pytest.raises(BankError, match="int64"):
        VectorBank.load(path)


# ---------------------------------------------------------------- several at once


def add_entry(path: Path, number: int) -> None:
    with changing(path):
        bank = VectorBank.load(path)
        with_vectors(bank, f"number-{number}", {"calm": {1: torch.full((WIDTH,), number + 1.0)}}).save(path)


def test_twelve_processes_change_a_bank_at_once(tmp_path: Path) -> None:
    path = tmp_path / "shared.safetensors"
    random_bank().save(path)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=add_entry, args=(path, number)) for number in range(12)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert {f"number-{number}" for number in range(12)} < set(VectorBank.load(path).entries)


def test_a_file_that_others_change_for_too_long_is_said(tmp_path: Path) -> None:
    refused = pytest.raises(InputError, match="is being changed by another process")
    with changing(tmp_path / "file"), refused, changing(tmp_path / "file", patience_s=0.05):
        pass
