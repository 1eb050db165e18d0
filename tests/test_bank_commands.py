"""The commands of `vispa bank`."""

from __future__ import annotations

import json
import math
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import typer
from conftest import write_taxonomy
from random_banks import BLOCKS, CALIBRATED, COEFFICIENT, VALUES, WIDTH, random_bank, same
from safetensors.torch import save_file
from typer.testing import CliRunner

from vispa.cli import main
from vispa.cli.bank import app
from vispa.cli.bank.exporting import blocks_option
from vispa.cli.fit import fit
from vispa.errors import BankError, InputError, ModelError
from vispa.models.loading import LoadedModel, load_model
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import bank_path, cached_bank
from vispa.steering.estimators.one_versus_others import OneVersusOthers
from vispa.steering.exchange.fixed import fixed_vectors
from vispa.steering.exchange.gguf import import_gguf
from vispa.steering.exchange.plain import import_vectors
from vispa.steering.fitting import fit_bank
from vispa.steering.recipe import Recipe, portable_recipe
from vispa.steering.sealing import read_sealed, write_sealed
from vispa.taxonomy import Taxonomy

FITTED = Recipe("one_versus_others", (1, 2), magnitude="coefficient", amount=1.0, minimal_quality=0.0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "banks"


def keep(bank: VectorBank, cache: Path) -> Path:
    info = bank.info
    path = cache / f"{info.model_fingerprint[:20]}-{info.taxonomy_fingerprint[:20]}.safetensors"
    bank.save(path)
    return path


def run(*arguments: object, code: int = 0, **options: object) -> str:
    """Standard output; the exit code is 2 where `vispa` would make it so."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], **options)
    found = 2 if isinstance(result.exception, InputError) else result.exit_code
    assert found == code, result.output + repr(result.exception)
    return result.stdout + (str(result.exception) if isinstance(result.exception, InputError) else "")


def test_list(cache: Path) -> None:
    assert all(row["shipped"] for row in json.loads(run("list", "--json")))
    assert "no banks" in run("list")
    path = keep(random_bank(), cache)
    (cache / "broken.safetensors").write_bytes(b"no bank")
    first, second, *others = json.loads(run("list", "--json"))
    assert all(row["shipped"] for row in others)
    assert first.pop("date").endswith("+00:00")
    assert first == {
        "path": str(path),
        "shipped": False,
        "model": "lab/small-llama",
        "values": 3,
        "blocks": BLOCKS,
        "width": WIDTH,
        "estimators": ["mean", "probe"],
        "size": path.stat().st_size,
    }
    assert "is no vector bank" in second["problem"]
    text = run("list")
    assert "lab/small-llama: 3 values, 4 blocks, width 32; mean, probe" in text
    assert "is no vector bank" in text


def test_a_bank_with_an_unknown_recipe_does_not_hide_the_others(cache: Path) -> None:
    """As a later version of the package may write it."""
    path = keep(random_bank(), cache)
    newer = cache / "newer.safetensors"
    sealed = read_sealed(path)
    write_sealed(newer, json.loads(sealed.header.replace('"magnitude"', '"strength"')), sealed.tensors)
    first, second, *_ = json.loads(run("list", "--json"))
    assert first["model"] == "lab/small-llama"
    assert "recipe field strength: is unknown" in second["problem"]
    with pytest.raises(BankError, match="recipe that cannot be used"):
        VectorBank.load(newer)
    assert json.loads(run("show", "lab/small-llama", "--json"))["path"] == str(path)


def test_show_without_estimators(cache: Path) -> None:
    keep(replace(random_bank(), entries={}), cache)
    assert "lab/small-llama" in run("show", "aaa")
    assert json.loads(run("show", "aaa", "--json"))["width"] == 0


def test_show(cache: Path) -> None:
    path = keep(random_bank(), cache)
    found = json.loads(run("show", "lab/small-llama", "--json"))
    assert found["path"] == str(path)
    assert found["values"] == list(VALUES)
    assert found["versions"] == {"torch": "2"}
    assert found["recipe"]["amount"] == 1.5
    expected = random_bank().entries["mean"].directions.quality.mean(0).tolist()
    assert found["estimators"]["mean"]["quality"] == pytest.approx(expected, abs=1e-4)
    text = run("show", path)
    assert "magnitude coefficient" in text
    assert "calm, thrift, candor" in text


def test_show_strengths(cache: Path) -> None:
    measured, amounts = Recipe("mean", magnitude="kl", amount=2.0), {"calm": 0.5}
    bank = random_bank(replace(COEFFICIENT, amounts=amounts))
    keep(bank.with_strengths(measured, {"calm": 0.25, "thrift": 0.125}), cache)
    found = json.loads(run("show", "lab/small-llama", "--json"))
    assert found["recipe"]["amounts"] == amounts
    (one,) = found["strengths"]
    assert one["fractions"] == {"calm": 0.25, "thrift": 0.125} and one["recipe"]["blocks"] == [1, 2, 3]
    text = run("show", "lab/small-llama")
    assert "strengths   mean, kl 2: 0.125 to 0.25 (2 values)" in text and "amounts calm=0.5" in text


def test_banks_are_found_by_path_name_or_model(cache: Path, tmp_path: Path) -> None:
    keep(random_bank(), cache)
    keep(random_bank(model_fingerprint="ac" * 32), cache)
    keep(random_bank(model="gpt2", model_fingerprint="c" * 64), cache)
    random_bank().save(tmp_path / "elsewhere.safetensors")
    for name, fingerprint in (("aa", "a" * 64), ("c", "c" * 64), ("gpt2", "c" * 64)):
        assert json.loads(run("show", name, "--json"))["model_fingerprint"] == fingerprint
    assert "elsewhere" in run("show", tmp_path / "elsewhere.safetensors")
    assert "may be any of 2 banks" in run("show", "a", code=2)
    assert "may be any of 2 banks" in run("show", "lab/small-llama", code=2)
    for name in ("", "nothing", tmp_path):
        assert "is no file, no cached bank, and no model of one" in run("show", name, code=2)


def test_remove(cache: Path, tmp_path: Path) -> None:
    path = keep(random_bank(), cache)
    run("remove", "aaa", code=1, input="n\n")
    assert path.exists()
    run("remove", "aaa", input="y\n")
    assert not path.exists()
    path = keep(random_bank(), cache)
    expected = {"removed": str(path), "size": path.stat().st_size, "size_of_values": 0}
    assert json.loads(run("remove", path, "--yes", "--json")) == expected
    for count, said in ((7, "0.0 MB"), (1_560_000, "1.6 MB")):
        (cache / "broken.safetensors").write_bytes(b"no bank" * (count // 7))
        assert run("remove", "broken", "--yes") == f"removed {cache / 'broken.safetensors'} ({said})\n"
    # Nothing but banks is deleted outside the cache.
    other = tmp_path / "thesis.txt"
    other.write_text("years of work")
    assert "is no vector bank" in run("remove", other, "--yes", code=2)
    assert other.exists()


@pytest.mark.parametrize("others", [0, 1])
def test_values_that_go_with_the_last_bank_of_a_model_are_told(cache: Path, others: int) -> None:
    path = keep(random_bank(), cache)
    if others:
        keep(random_bank(taxonomy_fingerprint="d" * 64), cache)
    values = cache.parent / "values" / ("a" * 20)
    values.mkdir(parents=True)
    (values / "one.safetensors").write_bytes(b"0" * 2_300_000)
    told = run("remove", path, "--yes")
    assert told.startswith(f"removed {path} (") and values.exists() == bool(others)
    assert ("values for the next fit (2.3 MB)" in told) != bool(others)


def test_verify_numbers(cache: Path) -> None:
    path = keep(random_bank(), cache)
    assert "sound" in run("verify", "aaa")
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert "is damaged" in run("verify", "aaa", code=2)
    bank = random_bank()
    bank.entries["mean"].directions.vectors[1, 2, 3] = math.nan
    keep(bank, cache)
    found = json.loads(run("verify", "aaa", "--json", code=2))
    assert found["sound"] is False
    assert found["problems"] == ["mean.vectors: 1 of 384 numbers are not finite"]


def test_verify_model_and_taxonomy(
    make_model: Callable[..., LoadedModel], small_taxonomy: Taxonomy, cache: Path, tmp_path: Path
) -> None:
    for name, options in (("one", {}), ("two", {"seed": 1}), ("wide", {"hidden_size": 64, "num_hidden_layers": 3})):
        made = make_model("llama", **options)
        made.model.save_pretrained(tmp_path / name)
        made.tokenizer.save_pretrained(tmp_path / name)
    model = load_model(str(tmp_path / "one"), device="cpu")
    path = bank_path(model, small_taxonomy)
    fit_bank(model, small_taxonomy, estimators=[OneVersusOthers()], recipe=FITTED).save(path)
    (tmp_path / "values").mkdir()
    values = write_taxonomy(tmp_path / "values")
    arguments = ("verify", tmp_path / "one", "--taxonomy", values, "--model")
    assert "sound" in run(*arguments, tmp_path / "one")
    text = run(*arguments, tmp_path / "two", code=2)
    assert "fingerprints differ" in text
    assert "1 problems" in text
    text = run(*arguments, tmp_path / "wide", code=2)
    assert "the bank has 4 blocks" in text
    assert "the bank is 32 wide" in text
    assert "is not a folder" in run(*arguments, tmp_path / "nowhere", code=2)

    table = (values / "values.toml").read_text()
    (values / "values.toml").write_text(table.replace("The value of calm.", "Another meaning of calm."))
    text = run("verify", path, "--taxonomy", values, code=2)
    assert "the values are the same, but not their definitions or pairs" in text
    (values / "values.toml").write_text("\n".join(part for part in table.split("\n\n") if "calm" not in part))
    assert "the bank has also calm" in run("verify", path, "--taxonomy", values, code=2)


def test_export_and_import_gguf(cache: Path, tmp_path: Path) -> None:
    keep(random_bank(), cache)
    target = keep(random_bank(seed=1, model="other", model_fingerprint="c" * 64), cache)
    file = tmp_path / "calm.gguf"
    found = json.loads(run("export", "aaa", file, "--values", "calm", "--blocks", "1,3", "--json"))
    assert found["layers"] == {"calm": [1, 3]}
    assert same(import_gguf(file).directions, fixed_vectors(random_bank(), "calm", blocks=(1, 3)))
    found = json.loads(run("import", file, "--into", "other", "--value", "candor", "--name", "rep", "--json"))
    assert found == {"path": str(target), "layers": {"candor": [1, 3]}, "estimator": "rep"}
    entry = VectorBank.load(target).entries["rep"].directions
    assert torch.equal(entry.vectors[2, 3], import_gguf(file).directions[3])
    assert "'rep' is in the bank already" in run(
        "import", file, "--into", "other", "--value", "calm", "--name", "rep", code=2
    )


def test_export_and_import_vectors(cache: Path, tmp_path: Path) -> None:
    keep(random_bank(CALIBRATED), cache)
    file = tmp_path / "vectors.safetensors"
    assert run("export", "aaa", file) == f"3 values: blocks 1-3\n{file}\n"
    assert run("export", "aaa", file, "--values", "calm").startswith("calm: blocks 1-3\n")
    run("export", "aaa", file, "--estimator", "mean", "--scale", "2", "--blocks", "0-1")
    assert same(
        import_vectors(file).vectors["thrift"],
        fixed_vectors(random_bank(), "thrift", estimator="mean", scale=2.0, blocks=(0, 1)),
    )
    run("import", file, "--into", "aaa")
    assert "imported" in run("show", "aaa")
    run("import", file, "--into", "aaa", "--value", "calm", "--force")
    assert "'greed' is not in" in run("import", file, "--into", "aaa", "--value", "greed", "--force", code=2)


@pytest.mark.parametrize("other", ["c" * 64, "a" * 63 + "b"])
def test_vectors_of_another_model_are_taken_in_only_when_asked_for(cache: Path, tmp_path: Path, other: str) -> None:
    keep(random_bank(), cache)
    target = keep(random_bank(seed=1, model="other", model_fingerprint=other, taxonomy_fingerprint="d" * 64), cache)
    file = tmp_path / "vectors.safetensors"
    run("export", cache / f"{'a' * 20}-{'b' * 20}.safetensors", file)
    before = target.read_bytes()
    said = run("import", file, "--into", target, code=2)
    assert "another model" in said and "--other-model" in said and target.read_bytes() == before
    for idle in (["--other-model"], ["--name", "mine"], ["--taxonomy", tmp_path]):
        assert f"{idle[0]}: has no effect on a whole bank" in run("import", target, *idle, code=2)
    run("import", file, "--into", target, "--other-model")
    assert "imported" in VectorBank.load(target).entries


@pytest.mark.parametrize("suffix", ["gguf", "safetensors"])
def test_an_export_says_what_the_file_cannot_hold(cache: Path, tmp_path: Path, suffix: str) -> None:
    fading = replace(COEFFICIENT, half_life=16.0, scope="generated")
    keep(random_bank(fading), cache)
    file = tmp_path / f"calm.{suffix}"
    found = json.loads(run("export", "aaa", file, "--values", "calm", "--json"))
    assert found["not_in_the_file"] == {"half_life": 16.0, "scope": "generated"}
    shown = CliRunner().invoke(app, ["export", "aaa", str(file), "--values", "calm"])
    assert "half_life = 16.0" in shown.stderr and "scope = generated" in shown.stderr


def test_a_recipe_that_somebody_chose_for_a_bank_is_kept_when_it_is_imported(
    cache: Path, tmp_path: Path, llama: LoadedModel, small_taxonomy: Taxonomy
) -> None:
    file = tmp_path / "shared.safetensors"
    own = Recipe("mean_difference", (1,), magnitude="coefficient", amount=2.0)
    for recipe, expected in ((own, own), (portable_recipe(), portable_recipe())):
        fit_bank(llama, small_taxonomy, recipe=recipe).save(file)
        run("import", file, "--force")
        assert cached_bank(llama, small_taxonomy).recipe == expected
        assert (VectorBank.load(bank_path(llama, small_taxonomy)).tuning is None) is (recipe == portable_recipe())


def test_export_does_not_overwrite_the_bank(cache: Path) -> None:
    path = keep(random_bank(), cache)
    whole = path.read_bytes()
    assert "output: is the bank itself" in run("export", "aaa", path, code=2)
    assert path.read_bytes() == whole


def test_import_bank(cache: Path, tmp_path: Path) -> None:
    """A bank from another machine goes where its model and taxonomy look for it."""
    file = tmp_path / "shared.safetensors"
    random_bank().save(file)
    found = Path(json.loads(run("import", file, "--json"))["path"])
    # The same rule as fitting follows, of which only the fingerprints count.
    parts = SimpleNamespace(fingerprint="a" * 64), SimpleNamespace(fingerprint="b" * 64)
    assert found == bank_path(*parts)
    assert VectorBank.load(found).info == random_bank().info
    assert "is there already" in run("import", file, code=2)
    run("import", file, "--force")
    bank = random_bank()
    bank.residual_norm[0] = -1
    bank.save(file)
    assert "is not sound" in run("import", file, "--force", code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "aaa", "calm.bin"), "Name a file ending in .gguf or .safetensors"),
        (("export", "aaa", "calm.gguf"), "must name one value"),
        (("export", "aaa", "calm.gguf", "--values", "calm,candor"), "must name one value"),
        (("export", "aaa", "calm.gguf", "--values", "greed"), "'greed' is not in the bank"),
        (("export", "aaa", "x.safetensors", "--scale", "big"), "Write recipe, or a number"),
        (("export", "aaa", "x.safetensors", "--scale", "nan"), "Write recipe, or a number"),
        (("export", "aaa", "x.safetensors", "--blocks", "3-1"), "Write the lower end"),
        (("export", "aaa", "x.safetensors", "--blocks", "a"), "Write for example 10-25"),
        (("export", "aaa", "x.safetensors", "--blocks", "1-99"), "is not a block"),
        (("export", "aaa", "x.safetensors", "--blocks", "0-1000000000000"), "No model has 10,000 blocks"),
        (("export", "aaa", "x.safetensors", "--blocks", "0-" + "9" * 6000), "No model has 10,000 blocks"),
        (("export", "aaa", "x.safetensors", "--blocks", ",".join(["0-9999"] * 3000)), "No model has"),
        (("export", "aaa", "x.safetensors", "--taxonomy", "elsewhere"), "is not a folder"),
        (("import", "calm.gguf"), "--into: is missing"),
        (("import", "v.safetensors", "--value", "calm"), "--into: is missing"),
        (("import", "calm.gguf", "--into", "aaa"), "--value: is missing"),
        (("import", "calm.gguf", "--into", "aaa", "--value", "calm"), "calm.gguf: is not there"),
        (("import", "calm.safetensors"), "is not there"),
    ],
)
def test_mistakes(
    arguments: tuple[str, ...], message: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keep(random_bank(), cache)
    assert message in run(*arguments, code=2)


def test_names_of_vectors_are_no_paths(cache: Path, tmp_path: Path) -> None:
    keep(random_bank(), cache)
    good = tmp_path / "good.safetensors"
    run("export", "aaa", good, "--blocks", "1")
    for name in ("../../../x", "a/b", "\x1b[31mred", "x" * 200):
        assert "is not a name" in run("import", good, "--into", "aaa", "--name", name, code=2)
    bad = tmp_path / "bad.safetensors"
    save_file({"../../../x.layer_1": torch.ones(WIDTH)}, bad)
    assert "is not a name" in run("import", bad, "--into", "aaa", code=2)
    assert "is what fitted directions are called" in run(
        "import", good, "--into", "aaa", "--name", "projection", code=2
    )
    assert {path.name for path in tmp_path.glob("**/*.safetensors")} == {
        "good.safetensors",
        "bad.safetensors",
        keep(random_bank(), cache).name,
    }


def test_a_fingerprint_in_a_header_is_no_path(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "shared.safetensors"
    random_bank(model_fingerprint="../../../../escaped" + "a" * 45).save(file)
    assert "model_fingerprint" in run("import", file, code=2)
    assert not list(tmp_path.parent.glob("escaped*"))


def test_twelve_imports_at_once_all_survive(cache: Path, tmp_path: Path) -> None:
    path = keep(random_bank(), cache)
    file = tmp_path / "v.safetensors"
    run("export", "aaa", file, "--blocks", "1")
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=run, args=("import", file, "--into", "aaa", "--name", f"n{number}"))
        for number in range(12)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 12
    assert {f"n{number}" for number in range(12)} < set(VectorBank.load(path).entries)


def test_of_several_taxonomies_the_built_in_one_is_meant(cache: Path, tmp_path: Path, small_taxonomy: Taxonomy) -> None:
    (tmp_path / "values").mkdir()
    own = write_taxonomy(tmp_path / "values")
    first = keep(random_bank(model="embedded", taxonomy_fingerprint=Taxonomy.built_in().fingerprint), cache)
    second = keep(random_bank(model="embedded", taxonomy_fingerprint=Taxonomy.load(own).fingerprint), cache)
    keep(random_bank(model="embedded", taxonomy_fingerprint="c" * 64), cache)
    for arguments, path in ((("embedded",), first), (("embedded", "--taxonomy", own), second), (("aaaa",), first)):
        assert json.loads(run("show", *arguments, "--json"))["path"] == str(path)
    assert json.loads(run("verify", "embedded", "--json"))["path"] == str(first)
    assert json.loads(run("verify", "embedded", "--taxonomy", own, "--json"))["path"] == str(second)
    second.unlink()
    assert "was not fitted on the values of" in run("show", "embedded", "--taxonomy", own, code=2)
    assert "taxonomy:" in run("verify", "embedded", "--taxonomy", own, code=2)


def test_verify_names_damaged_numbers(cache: Path) -> None:
    path = keep(random_bank(), cache)
    data = bytearray(path.read_bytes())
    data[-3] ^= 8
    path.write_bytes(data)
    found = json.loads(run("verify", "aaa", "--json", code=2))
    assert found["sound"] is False
    assert "is damaged" in found["problems"][0]
    assert "is damaged" in run("list")
    for command in ("show", "export"):
        assert "is damaged" in run(command, "aaa", *(["x.safetensors"] if command == "export" else []), code=2)


def test_a_fit_without_a_cache_says_so(tmp_path: Path, make_model: Callable[..., LoadedModel]) -> None:
    made = make_model("llama")
    made.model.save_pretrained(tmp_path / "model")
    made.tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "values").mkdir()
    (tmp_path / "cache").write_text("no folder")
    fitting = typer.Typer()
    fitting.command()(fit)
    result = CliRunner().invoke(
        fitting, [str(tmp_path / "model"), "--taxonomy", str(write_taxonomy(tmp_path / "values")), "--json"]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["path"] is None


def test_blocks_argument() -> None:
    assert blocks_option("10-12, 3,3,5") == (10, 11, 12, 3, 5)


def test_errors_are_the_users(cache: Path) -> None:
    assert issubclass(BankError, InputError)
    assert issubclass(ModelError, InputError)


def test_configured_values_decide_between_several_banks(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They refuse no bank: they are meant for all calls."""
    (tmp_path / "values").mkdir()
    own = write_taxonomy(tmp_path / "values")
    keep(random_bank(model="embedded", taxonomy_fingerprint=Taxonomy.built_in().fingerprint), cache)
    second = keep(random_bank(model="embedded", taxonomy_fingerprint=Taxonomy.load(own).fingerprint), cache)
    other = keep(random_bank(model="another", taxonomy_fingerprint="c" * 64), cache)
    monkeypatch.setenv("VISPA_TAXONOMY", str(own))
    monkeypatch.setenv("VISPA_MODEL", "none/such")

    def path_of(*arguments: str) -> str:
        result = CliRunner().invoke(main.app, ["bank", *arguments, "--json"])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return json.loads(result.output)["path"]

    assert path_of("show", "embedded") == path_of("verify", "embedded") == str(second)
    assert path_of("show", "another") == path_of("verify", "another") == str(other)
    refused = CliRunner().invoke(main.app, ["bank", "show", "another", "--taxonomy", str(own)]).exception
    assert "was not fitted on the values of" in str(refused)
    CliRunner().invoke(main.app, ["bank", "remove", "embedded", "--yes"])
    assert not second.exists()


def test_banks_are_fitted_for_the_polarity_that_is_asked_for(tmp_path: Path, llama: LoadedModel) -> None:
    """Others than the bank of the values' own polarity, which another command would not take."""
    folder, values = tmp_path / "model", write_taxonomy(tmp_path)
    llama.model.save_pretrained(folder)
    llama.tokenizer.save_pretrained(folder)
    text = (values / "values.toml").read_text()
    (values / "values.toml").write_text(text.replace("[thrift]\n", '[thrift]\npolarity = "avoid"\n'))
    taxonomy = Taxonomy.load(values)
    found = {}
    for polarity in ("own", "paper"):
        arguments = ["fit", str(folder), "--taxonomy", str(values), "--polarity", polarity, "--json"]
        result = CliRunner().invoke(main.app, arguments)
        assert result.exit_code == 0, result.output
        found[polarity] = json.loads(result.stdout)["taxonomy_fingerprint"]
        assert found[polarity] == taxonomy.with_polarity(polarity).fingerprint
    assert found["own"] != found["paper"]
    for command in ("fit", "tune"):
        result = CliRunner().invoke(main.app, [command, "embedded", "--polarity", "up"])
        assert isinstance(result.exception, InputError) and "--polarity" in str(result.exception)
