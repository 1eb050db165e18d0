"""Banks as files: the commands of `vispa bank`, and vectors to and from other programs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
import torch
from conftest import write_taxonomy
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

from vispa.cli.bank import _blocks, app
from vispa.errors import BankError, InputError, ModelError
from vispa.models.loading import LoadedModel, load_model
from vispa.steering.activations import hooks_on
from vispa.steering.bank import BankInfo, Entry, VectorBank
from vispa.steering.directions import Directions, OneVersusOthers
from vispa.steering.exchange import (
    bank_problems,
    export_gguf,
    export_vectors,
    fixed_vectors,
    import_gguf,
    import_vectors,
    with_vectors,
)
from vispa.steering.fitting import bank_path, fit_bank
from vispa.steering.intervention import steering
from vispa.steering.recipe import Recipe, Steer
from vispa.taxonomy import Taxonomy

VALUES = ("calm", "thrift", "candor")
BLOCKS, WIDTH = 4, 32
COEFFICIENT = Recipe("mean", (1, 2, 3), magnitude="coefficient", amount=1.5, minimal_quality=0.0)
RESIDUAL = Recipe("mean", (1, 2, 3), magnitude="residual", amount=0.4, minimal_quality=0.0)
FITTED = Recipe("one_versus_others", (1, 2), magnitude="coefficient", amount=1.0, minimal_quality=0.0)
CALIBRATED = Recipe("probe", (1, 2, 3), magnitude="calibrated", amount=0.9, minimal_quality=0.0)


def random_bank(recipe: Recipe = COEFFICIENT, seed: int = 0, **info: object) -> VectorBank:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(len(VALUES), BLOCKS, WIDTH, generator=generator)
    quality = torch.rand(len(VALUES), BLOCKS, generator=generator) / 2 + 0.5
    bias, norm = torch.randn(len(VALUES), BLOCKS, generator=generator), quality + 1
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    entries = {
        "mean": Entry(Directions(vectors=vectors, quality=quality, separation=quality.clone()), "last", "pairs"),
        "probe": Entry(
            Directions(vectors=unit, quality=quality.clone(), separation=quality.clone(), bias=bias, weight_norm=norm),
            "last",
            "pairs",
        ),
    }
    about = {"model": "lab/small-llama", "model_fingerprint": "a" * 64, "taxonomy_fingerprint": "b" * 64, **info}
    return VectorBank(
        BankInfo(**about, values=VALUES, versions={"torch": "2"}), entries, torch.tensor([2.0, 4.0, 8.0, 16.0]), recipe
    )


def same(left: dict[int, torch.Tensor], right: dict[int, torch.Tensor]) -> bool:
    return list(left) == list(right) and all(torch.equal(left[block], right[block]) for block in left)


# ---------------------------------------------------------------- magnitudes


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


# ---------------------------------------------------------------- GGUF


def test_gguf_has_the_layout_of_a_control_vector(tmp_path: Path) -> None:
    """Read by the format's own package: names and numbers as llama.cpp's loader looks for them."""
    bank = random_bank()
    export_gguf(bank, tmp_path / "candor.gguf", value="candor")
    reader = gguf.GGUFReader(tmp_path / "candor.gguf")
    assert reader.get_field("general.architecture").contents() == "controlvector"
    assert reader.get_field("controlvector.model_hint").contents() == "small-llama"
    assert reader.get_field("controlvector.layer_count").contents() == 3
    assert [tensor.name for tensor in reader.tensors] == ["direction.1", "direction.2", "direction.3"]
    for block, tensor in zip((1, 2, 3), reader.tensors, strict=True):
        assert tensor.tensor_type == gguf.GGMLQuantizationType.F32
        assert tensor.shape.tolist() == [WIDTH]
        expected = 1.5 * bank.entries["mean"].directions.vectors[2, block]
        np.testing.assert_allclose(tensor.data, expected.numpy(), rtol=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    value=st.sampled_from(VALUES),
    estimator=st.sampled_from(["mean", "probe"]),
    blocks=st.sets(st.integers(1, BLOCKS - 1), min_size=1).map(tuple),
    scale=st.one_of(st.just("recipe"), st.floats(-100, 100, width=32)),
)
def test_gguf_round_trip(
    tmp_path_factory: pytest.TempPathFactory, value: str, estimator: str, blocks: tuple[int, ...], scale: object
) -> None:
    path = tmp_path_factory.mktemp("gguf") / "vector.gguf"
    options = {"value": value, "estimator": estimator, "blocks": blocks, "scale": scale}
    written = export_gguf(random_bank(), path, model_hint="llama", **options)
    found = import_gguf(path)
    assert found.model_hint == "llama"
    assert same(found.directions, written)
    assert same(found.directions, fixed_vectors(random_bank(), **options))


def test_gguf_cannot_say_block_0(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="blocks: 0 cannot be written"):
        export_gguf(random_bank(), tmp_path / "v.gguf", value="calm", blocks=(0, 1))
    assert list(tmp_path.iterdir()) == []


def write_gguf(path: Path, tensors: dict[str, np.ndarray], kind: str = "controlvector") -> Path:
    writer = gguf.GGUFWriter(str(path), kind)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_gguf_of_other_programs(tmp_path: Path) -> None:
    """Unordered, with gaps, and without a model hint."""
    tensors = {f"direction.{n}": np.full(8, n, np.float32) for n in (11, 2, 7)}
    found = import_gguf(write_gguf(tmp_path / "other.gguf", tensors))
    assert found.model_hint == ""
    assert {block: vector.tolist() for block, vector in found.directions.items()} == {n: [n] * 8 for n in (2, 7, 11)}


@pytest.mark.parametrize(
    ("tensors", "kind", "message"),
    [
        ({"direction.1": np.ones(4, np.float32)}, "llama", "holds a llama, not a control vector"),
        ({}, "controlvector", "holds no vector"),
        ({"direction.0": np.ones(4, np.float32)}, "controlvector", "has a tensor 'direction.0'"),
        ({"direction.x": np.ones(4, np.float32)}, "controlvector", "has a tensor 'direction.x'"),
        ({"layer.1": np.ones(4, np.float32)}, "controlvector", "has a tensor 'layer.1'"),
        ({"direction.1": np.ones(4, np.float16)}, "controlvector", "direction.1 is not a float32 vector"),
        ({"direction.1": np.ones((4, 4), np.float32)}, "controlvector", "direction.1 is not a float32 vector"),
        (
            {"direction.1": np.ones(4, np.float32), "direction.2": np.ones(5, np.float32)},
            "controlvector",
            "different widths",
        ),
    ],
)
def test_gguf_files_that_are_refused(tensors: dict[str, np.ndarray], kind: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        import_gguf(write_gguf(tmp_path / "bad.gguf", tensors, kind))


def test_damaged_gguf_files(tmp_path: Path) -> None:
    export_gguf(random_bank(), tmp_path / "whole.gguf", value="calm")
    whole = (tmp_path / "whole.gguf").read_bytes()
    for size in (0, 3, 10, 40, 200, len(whole) - 1):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        with pytest.raises(InputError, match="is not a GGUF file that can be read"):
            import_gguf(tmp_path / "cut.gguf")
    (tmp_path / "text.gguf").write_text("no vectors here" * 20)
    with pytest.raises(InputError, match="is not a GGUF file that can be read"):
        import_gguf(tmp_path / "text.gguf")
    with pytest.raises(InputError, match="is not there"):
        import_gguf(tmp_path / "missing.gguf")


def test_gguf_package_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("vispa.steering.exchange.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"gguf: is not installed\. Install it"):
        export_gguf(random_bank(), tmp_path / "v.gguf", value="calm")


# ---------------------------------------------------------------- safetensors


def test_vectors_file_has_the_documented_layout(tmp_path: Path) -> None:
    bank = random_bank()
    export_vectors(bank, tmp_path / "v.safetensors", values=["candor", "calm"], blocks=(0, 2))
    with safe_open(tmp_path / "v.safetensors", "np") as file:
        about = json.loads(file.metadata()["steering"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert set(tensors) == {"candor.layer_0", "candor.layer_2", "calm.layer_0", "calm.layer_2"}
    expected = 1.5 * bank.entries["mean"].directions.vectors[2, 2]
    np.testing.assert_allclose(tensors["candor.layer_2"], expected.numpy(), rtol=1e-6)
    assert about["model"] == "lab/small-llama"
    assert about["model_fingerprint"] == "a" * 64
    assert about["estimator"] == "mean"
    assert about["values"] == ["candor", "calm"]
    assert about["layers"] == {"candor": [0, 2], "calm": [0, 2]}
    assert about["coefficients"]["calm"] == {"0": 1.0, "2": 1.0}


@pytest.mark.parametrize("recipe", [COEFFICIENT, RESIDUAL, CALIBRATED])
@pytest.mark.parametrize("scale", ["recipe", 3.0, -0.5])
def test_vectors_round_trip(recipe: Recipe, scale: object, tmp_path: Path) -> None:
    """Coefficient times vector is the recipe's magnitude, whatever the scale."""
    bank = random_bank(recipe)
    written = export_vectors(bank, tmp_path / "v.safetensors", scale=scale)
    found = import_vectors(tmp_path / "v.safetensors")
    assert (found.model, found.estimator) == ("lab/small-llama", recipe.estimator)
    assert list(found.vectors) == list(VALUES)
    for slug in VALUES:
        assert same(found.vectors[slug], written[slug])
        wanted = fixed_vectors(bank, slug)
        for block, vector in found.vectors[slug].items():
            coefficient = found.coefficients[slug][block]
            torch.testing.assert_close(coefficient * vector, wanted[block], atol=1e-4, rtol=1e-4)


def test_vectors_without_a_recipe_for_them_have_no_coefficients(tmp_path: Path) -> None:
    export_vectors(random_bank(CALIBRATED), tmp_path / "v.safetensors", estimator="mean", scale=1.0)
    assert import_vectors(tmp_path / "v.safetensors").coefficients == {slug: {} for slug in VALUES}


def test_values_that_no_block_separates_are_left_out_of_all(tmp_path: Path) -> None:
    bank = random_bank(replace(COEFFICIENT, minimal_quality=0.6))
    bank.entries["mean"].directions.quality[1] = 0.5
    assert list(export_vectors(bank, tmp_path / "v.safetensors")) == ["calm", "candor"]
    with pytest.raises(InputError, match="thrift: no block"):
        export_vectors(bank, tmp_path / "v.safetensors", values=["thrift"])


def test_vectors_of_other_programs(tmp_path: Path) -> None:
    tensors = {"kind.heart.layer_12": torch.ones(6, dtype=torch.bfloat16), "kind.heart.layer_3": torch.zeros(6)}
    save_file(tensors, tmp_path / "v.safetensors")
    found = import_vectors(tmp_path / "v.safetensors")
    assert (found.model, found.estimator, found.coefficients) == ("", "", {})
    assert list(found.vectors["kind.heart"]) == [3, 12]
    assert found.vectors["kind.heart"][12].dtype == torch.float32


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"calm": torch.ones(4)}, {}, r"has a tensor 'calm' \[4\]"),
        ({"calm.layer_1": torch.ones(4, 4)}, {}, r"has a tensor 'calm.layer_1' \[4, 4\]"),
        ({"calm.layer_1": torch.ones(4, dtype=torch.int32)}, {}, "has a tensor 'calm.layer_1'"),
        ({"calm.layer_1": torch.ones(4), "calm.layer_2": torch.ones(5)}, {}, "different widths"),
        ({}, {"made_by": "somebody"}, "holds no vector"),
        ({"calm.layer_1": torch.ones(4)}, {"steering": "{"}, "is damaged"),
        ({"calm.layer_1": torch.ones(4)}, {"steering": '{"coefficients": {"calm": 3}}'}, "metadata that cannot be"),
        ({"calm.layer_1": torch.ones(4)}, {"steering": "[]"}, "metadata that cannot be"),
    ],
)
def test_vectors_files_that_are_refused(
    tensors: dict[str, torch.Tensor], metadata: dict[str, str], message: str, tmp_path: Path
) -> None:
    save_file(tensors, tmp_path / "v.safetensors", metadata=metadata)
    with pytest.raises(InputError, match=message):
        import_vectors(tmp_path / "v.safetensors")


# ---------------------------------------------------------------- taking in


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


# ---------------------------------------------------------------- the commands


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
    assert json.loads(run("list", "--json")) == []
    assert "no banks" in run("list")
    path = keep(random_bank(), cache)
    (cache / "broken.safetensors").write_bytes(b"no bank")
    first, second = json.loads(run("list", "--json"))
    assert first.pop("date").endswith("+00:00")
    assert first == {
        "path": str(path),
        "model": "lab/small-llama",
        "values": 3,
        "blocks": BLOCKS,
        "width": WIDTH,
        "estimators": ["mean", "probe"],
        "size": path.stat().st_size,
    }
    assert "is damaged" in second["problem"]
    text = run("list")
    assert "lab/small-llama: 3 values, 4 blocks, width 32; mean, probe" in text
    assert "is damaged" in text


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
    assert json.loads(run("remove", path, "--yes", "--json"))["removed"] == str(path)
    (cache / "broken.safetensors").write_bytes(b"no bank")
    assert "removed" in run("remove", "broken", "--yes")
    # Nothing but banks is deleted outside the cache.
    other = tmp_path / "thesis.txt"
    other.write_text("years of work")
    assert "damaged" in run("remove", other, "--yes", code=2)
    assert other.exists()


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
    assert "calm: blocks 1, 2, 3" in run("export", "aaa", file)
    run("export", "aaa", file, "--estimator", "mean", "--scale", "2", "--blocks", "0-1")
    assert same(
        import_vectors(file).vectors["thrift"],
        fixed_vectors(random_bank(), "thrift", estimator="mean", scale=2.0, blocks=(0, 1)),
    )
    run("import", file, "--into", "aaa")
    assert "imported" in run("show", "aaa")
    run("import", file, "--into", "aaa", "--value", "calm", "--force")
    assert "'greed' is not in" in run("import", file, "--into", "aaa", "--value", "greed", "--force", code=2)


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
        (("import", "calm.gguf"), "--into: is missing"),
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


def test_blocks_argument() -> None:
    assert _blocks("10-12, 3,3,5") == (10, 11, 12, 3, 5)


def test_errors_are_the_users(cache: Path) -> None:
    assert issubclass(BankError, InputError)
    assert issubclass(ModelError, InputError)
