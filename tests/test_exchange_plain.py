"""Vectors in plain safetensors files, out and in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_banks import CALIBRATED, COEFFICIENT, RESIDUAL, VALUES, random_bank, same
from safetensors import safe_open
from safetensors.torch import save_file

from vispa.errors import InputError
from vispa.steering.exchange.fixed import fixed_vectors
from vispa.steering.exchange.plain import export_vectors, import_vectors
from vispa.steering.recipe import Recipe


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


def test_coefficients_of_long_vectors_keep_their_digits(tmp_path: Path) -> None:
    export_vectors(random_bank(), tmp_path / "v.safetensors", scale=7e6)
    for by_block in import_vectors(tmp_path / "v.safetensors").coefficients.values():
        assert list(by_block.values()) == pytest.approx([1.5 / 7e6] * 3, rel=1e-5)


def test_a_degenerate_probe_has_no_coefficients(tmp_path: Path) -> None:
    bank = random_bank(CALIBRATED)
    bank.entries["probe"].directions.weight_norm[0] = 0.0
    export_vectors(bank, tmp_path / "v.safetensors", values=["calm"], scale=1.0)
    assert import_vectors(tmp_path / "v.safetensors").coefficients == {"calm": {}}


@pytest.mark.parametrize("values", [None, []])
def test_a_file_without_vectors_is_not_written(values: list[str] | None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="values: are none that a block of the recipe separates"):
        export_vectors(
            random_bank(replace(COEFFICIENT, minimal_quality=1.0)), tmp_path / "v.safetensors", values=values
        )
    assert list(tmp_path.iterdir()) == []


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
        ({"calm.layer_1": torch.ones(4), "calm.layer_01": torch.ones(4)}, {}, "two vectors for layer 1 of calm"),
        ({f"calm.layer_{10**9}": torch.ones(4)}, {}, "has a tensor 'calm.layer_1000000000'"),
        ({}, {"made_by": "somebody"}, "holds no vector"),
        ({"calm.layer_1": torch.ones(4)}, {"steering": "{"}, "is damaged"),
        ({"calm.layer_1": torch.ones(4)}, {"steering": '{"coefficients": {"calm": 3}}'}, "metadata that cannot be"),
        ({"calm.layer_1": torch.ones(4)}, {"steering": "[]"}, "metadata that cannot be"),
        (
            {"calm.layer_1": torch.ones(4)},
            {"steering": json.dumps({"coefficients": {"calm": {"1": 10**400}}})},
            "metadata that cannot be",
        ),
    ],
)
def test_vectors_files_that_are_refused(
    tensors: dict[str, torch.Tensor], metadata: dict[str, str], message: str, tmp_path: Path
) -> None:
    save_file(tensors, tmp_path / "v.safetensors", metadata=metadata)
    with pytest.raises(InputError, match=message):
        import_vectors(tmp_path / "v.safetensors")
