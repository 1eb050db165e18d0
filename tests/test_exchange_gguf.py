"""GGUF control vectors, out and in."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_banks import BLOCKS, VALUES, WIDTH, random_bank, same

from vispa.errors import InputError
from vispa.steering.exchange.fixed import fixed_vectors
from vispa.steering.exchange.gguf import export_gguf, import_gguf


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
        ({f"direction.{10**9}": np.ones(4, np.float32)}, "controlvector", "has a tensor 'direction.1000000000'"),
        (
            {"direction.1": np.ones(4, np.float32), "direction.01": np.ones(4, np.float32)},
            "controlvector",
            "two vectors for block 1",
        ),
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
    monkeypatch.setattr("vispa.steering.exchange.gguf.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"gguf: is not installed\. Install it"):
        export_gguf(random_bank(), tmp_path / "v.gguf", value="calm")
