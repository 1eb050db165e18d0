"""Models of many architectures: loading them, finding their blocks, reading their activations, telling them apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from vispa.errors import ModelError
from vispa.models import placement
from vispa.models.blocks import decoder_blocks, residual_width
from vispa.models.fingerprint import SAMPLE, model_fingerprint, sample_places
from vispa.models.loading import LoadedModel, load_model
from vispa.steering.activations import read_activations

TEXTS = ["Is it fair?", "Should I sell the old family house to a stranger", "Yes.", "A walk in the rain"]

_WIDE_HEADS = {"head_dim": 8}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
#: Architecture → what its small model needs beside the settings that all share.
KINDS: dict[str, dict[str, object]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": _WIDE_HEADS,
    "mistral": {},
    "gemma2": _WIDE_HEADS,
    "gemma3_text": _WIDE_HEADS,
    "phi3": {},
    "olmo2": {},
    "gpt_neox": {},
    "gpt2": {},
    "falcon": {},
    "mixtral": {"num_local_experts": 4},
    "qwen2_moe": {**_EXPERTS, "shared_expert_intermediate_size": 16},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, **_WIDE_HEADS},
    # Blocks of two classes: attention and a linear recurrence.
    "olmo_hybrid": {},
}
SEQ2SEQ = {"t5": {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2}, "bart": {"d_model": 32}}


@pytest.fixture(scope="session")
def folder(llama: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama whose weights are stored as float32."""
    return save(llama, tmp_path_factory.mktemp("llama"))


def save(loaded: LoadedModel, folder: Path) -> Path:
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


# ---------------------------------------------------------------- blocks and activations


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_and_activations(kind: str, make_model: Callable[..., LoadedModel]) -> None:
    loaded = make_model(kind, **KINDS[kind])
    assert len(loaded.blocks) == 4
    assert loaded.hidden_size == 32
    found = read_activations(loaded, TEXTS, readings=("last", "mean"))
    assert found["last"].shape == found["mean"].shape == (len(TEXTS), 4, 32)
    assert found["last"].dtype == torch.float32
    for row, text in enumerate(TEXTS):
        for block, state in enumerate(states_of(loaded, text)):
            torch.testing.assert_close(found["last"][row, block], state[-1], atol=2e-4, rtol=2e-4)
            torch.testing.assert_close(found["mean"][row, block], state.mean(0), atol=2e-4, rtol=2e-4)


def states_of(loaded: LoadedModel, text: str) -> list[torch.Tensor]:
    """Output of every block [T, H] for one text alone, with hooks of its own."""
    states: list[torch.Tensor] = []

    def hook(_module: object, _inputs: object, output: object) -> None:
        states.append((output[0] if isinstance(output, tuple) else output)[0].clone())

    handles = [block.register_forward_hook(hook) for block in loaded.blocks]
    with torch.no_grad():
        loaded.model(torch.tensor([loaded.tokenizer(text)["input_ids"]]))
    for handle in handles:
        handle.remove()
    return states


def test_language_model_beside_an_image_encoder_of_the_same_depth() -> None:
    text = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "vocab_size": 64, "head_dim": 8}
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = AutoConfig.for_model(
        "gemma3", text_config={**text, **heads}, vision_config={**vision, "image_size": 28, "patch_size": 14}
    )
    model = AutoModelForCausalLM.from_config(config)
    assert decoder_blocks(model) is model.model.language_model.layers
    assert residual_width(model) == 32


@pytest.mark.parametrize("count", ["n_layer", "n_layers", "num_layers"])
@pytest.mark.parametrize("width", ["n_embd", "d_model", "dim"])
def test_configurations_with_other_names(count: str, width: str) -> None:
    model = nn.Module()
    model.config = SimpleNamespace(**{count: 3, width: 8})
    model.inner = nn.Module()
    model.inner.stack = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
    model.inner.other = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
    assert decoder_blocks(model) is model.inner.stack
    assert residual_width(model) == 8


def test_experts_as_many_as_blocks_are_not_taken_for_blocks() -> None:
    model = nn.Module()
    model.config = SimpleNamespace(num_hidden_layers=2)
    model.layers = nn.ModuleList(nn.Module() for _ in range(2))
    for layer in model.layers:
        layer.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
    assert decoder_blocks(model) is model.layers


def test_two_lists_are_decided_by_hand(make_model: Callable[..., LoadedModel]) -> None:
    model = make_model("llama").model
    model.model.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(4))
    with pytest.raises(ModelError, match=r"2 lists of 4 modules \(model\.layers, model\.norms\)\. Name the list"):
        decoder_blocks(model)
    assert decoder_blocks(model, "model.layers") is model.model.layers
    with pytest.raises(ModelError, match=r"'model\.blocks' is not a list.*Its lists: model\.layers, model\.norms"):
        decoder_blocks(model, "model.blocks")


def test_no_list_of_the_right_length(make_model: Callable[..., LoadedModel]) -> None:
    model = make_model("llama").model
    del model.model.layers[3]
    with pytest.raises(ModelError, match=r"no list of 4 decoder blocks.*model\.layers"):
        decoder_blocks(model)
    model.config.num_hidden_layers = 3
    assert len(decoder_blocks(model)) == 3


@pytest.mark.parametrize("kind", SEQ2SEQ)
def test_encoder_decoders_are_refused(kind: str, tokenizer: object, tmp_path: Path) -> None:
    size = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    ffn = {"encoder_ffn_dim": 48, "decoder_ffn_dim": 48} if kind == "bart" else {}
    config = AutoConfig.for_model(kind, **{**SEQ2SEQ[kind], **size, **ffn, "vocab_size": len(tokenizer)})
    model = AutoModelForSeq2SeqLM.from_config(config)
    with pytest.raises(ModelError, match="encoder-decoder"):
        decoder_blocks(model)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="encoder-decoder"):
        load_model(str(tmp_path))


# ---------------------------------------------------------------- loading


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype: str, llama: LoadedModel, folder: Path) -> None:
    loaded = load_model(str(folder), dtype=dtype, device="cpu")
    assert loaded.model.dtype == getattr(torch, dtype)
    found = read_activations(loaded, TEXTS)["last"]
    expected = read_activations(llama, TEXTS)["last"]
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert torch.cosine_similarity(found, expected, dim=-1).min() > 0.99


def test_tokenizer_without_padding_or_end(folder: Path, tmp_path: Path, tokenizer: object) -> None:
    import copy
    import shutil

    shutil.copytree(folder, tmp_path / "model")
    bare = copy.deepcopy(tokenizer)
    bare.pad_token = bare.eos_token = None
    bare.save_pretrained(tmp_path / "model")
    loaded = load_model(str(tmp_path / "model"), device="cpu")
    assert loaded.tokenizer.pad_token_id == 0
    assert torch.equal(read_activations(loaded, TEXTS)["last"], read_activations(load(folder), TEXTS)["last"])


def load(folder: Path, **options: object) -> LoadedModel:
    return load_model(str(folder), **{"device": "cpu", **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "nonsense"}, "device: 'nonsense' cannot be used"),
        ({"device": "cuda:63"}, "device: 'cuda:63' cannot be used"),
        ({"device": "cpu", "device_map": "auto"}, "device: cannot go together with a device map"),
        ({"quantization": "2bit"}, "quantization: is '2bit'. Choose 4bit or 8bit"),
    ],
)
def test_placements_that_cannot_be(options: dict[str, str], message: str, folder: Path) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(str(folder), **options)


@pytest.mark.parametrize(
    ("options", "missing", "message"),
    [
        ({"device_map": "auto"}, "accelerate", "device_map: needs the package accelerate. Install it"),
        ({"quantization": "4bit"}, "accelerate", "quantization: needs the package accelerate. Install it"),
        ({"quantization": "8bit"}, "bitsandbytes", "quantization: needs the package bitsandbytes. Install it"),
    ],
)
def test_packages_that_are_missing(
    options: dict[str, str], missing: str, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(ModelError, match=message):
        load_model(str(folder), **options)


# ---------------------------------------------------------------- fingerprints


def test_fingerprint_of_a_loaded_model_is_that_of_the_saved_one(llama: LoadedModel, folder: Path) -> None:
    assert load(folder).fingerprint == llama.fingerprint
    assert load(folder, dtype="bfloat16").fingerprint == llama.fingerprint


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_fingerprint_does_not_depend_on_dtype(
    stored: torch.dtype, make_model: Callable[..., LoadedModel], tmp_path: Path
) -> None:
    """Weights of every magnitude, those that underflow in float16 too."""
    loaded = make_model("llama")
    generator = torch.Generator().manual_seed(3)
    for parameter in loaded.model.parameters():
        exponent = torch.empty(parameter.shape).uniform_(-9, 4.5, generator=generator)
        parameter.data = parameter.sign() * 10**exponent
    loaded.model.to(stored)
    save(loaded, tmp_path)
    found = {dtype: load(tmp_path, dtype=dtype).fingerprint for dtype in ("float32", "bfloat16", "float16", "auto")}
    assert len(set(found.values())) == 1, found


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_fingerprint_sees_every_region_of_every_tensor(
    data: st.DataObject, llama: LoadedModel, make_model: Callable[..., LoadedModel]
) -> None:
    model = llama.model
    name = data.draw(st.sampled_from(sorted(model.state_dict())))
    flat = model.state_dict()[name].view(-1)
    run = 1 if len(flat) <= SAMPLE else 2 * -(-len(flat) // SAMPLE)
    start = data.draw(st.integers(0, len(flat) - run))
    kept = flat[start : start + run].clone()
    before = model_fingerprint(model)
    try:
        flat[start : start + run] += 0.25
        assert model_fingerprint(model) != before
    finally:
        flat[start : start + run] = kept
    assert model_fingerprint(model) == before


@given(st.integers(SAMPLE + 1, 10**10))
def test_every_stretch_is_sampled_once(count: int) -> None:
    places = sample_places(count)
    edges = torch.arange(SAMPLE + 1) * count // SAMPLE
    assert ((places >= edges[:-1]) & (places < edges[1:])).all()


@pytest.mark.parametrize("columns", [64, 256, 4096, 5120])
def test_sampled_places_fall_on_all_parts_of_the_rows(columns: int) -> None:
    """A step that the row's length divides would always meet the same column."""
    found = sample_places(4096 * columns) % columns
    counts = torch.histc(found.float(), bins=16, min=0, max=columns)
    assert counts.min() > SAMPLE / 16 / 2


def test_fingerprint_sees_configuration_and_seed(make_model: Callable[..., LoadedModel], llama: LoadedModel) -> None:
    assert make_model("llama").fingerprint == llama.fingerprint
    assert make_model("llama", seed=1).fingerprint != llama.fingerprint
    assert make_model("llama", rms_norm_eps=1e-3).fingerprint != llama.fingerprint


def test_weights_that_were_never_loaded_have_no_fingerprint() -> None:
    config = AutoConfig.for_model("llama", hidden_size=32, intermediate_size=48, num_hidden_layers=1, vocab_size=64)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(ModelError, match=r"its weight .* is not loaded"):
        model_fingerprint(model)


def test_device_map(folder: Path) -> None:
    pytest.importorskip("accelerate")
    loaded = load_model(str(folder), device_map={"": "cpu"})
    assert loaded.fingerprint == load(folder).fingerprint
    assert loaded.device == torch.device("cpu")
    assert torch.equal(read_activations(loaded, TEXTS)["last"], read_activations(load(folder), TEXTS)["last"])


def test_weights_on_disk(folder: Path) -> None:
    pytest.importorskip("accelerate")
    parts = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    blocks = {f"model.layers.{number}": "disk" if number % 2 else "cpu" for number in range(4)}
    loaded = load_model(str(folder), device_map={**parts, **blocks})
    assert any(parameter.is_meta for parameter in loaded.model.parameters())
    assert loaded.fingerprint == load(folder).fingerprint
    assert torch.equal(read_activations(loaded, TEXTS)["last"], read_activations(load(folder), TEXTS)["last"])


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_quantization(quantization: str, make_model: Callable[..., LoadedModel], tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    pytest.importorskip("bitsandbytes")
    plain = make_model("llama", hidden_size=64, intermediate_size=128, initializer_range=0.1)
    folder = save(plain, tmp_path / "plain")
    loaded = load(folder, quantization=quantization, dtype="float32")
    weight = loaded.blocks[0].mlp.down_proj.weight
    assert weight.dtype == (torch.uint8 if quantization == "4bit" else torch.int8)
    assert loaded.fingerprint not in (plain.fingerprint, None)
    found, expected = read_activations(loaded, TEXTS)["last"], read_activations(plain, TEXTS)["last"]
    assert torch.cosine_similarity(found, expected, dim=-1).mean() > 0.9
    # The fingerprint is that of the weights as loaded, and taking one changes nothing.
    again = load(folder, quantization=quantization, dtype="float32")
    assert again.fingerprint == model_fingerprint(again.model) == loaded.fingerprint
    model_fingerprint(loaded.model)
    torch.testing.assert_close(read_activations(loaded, TEXTS)["last"], found, atol=1e-3, rtol=1e-3)
    # Doubling a whole matrix leaves its codes as they are and doubles their scales.
    plain.blocks[2].mlp.up_proj.weight.data *= 2
    doubled = load(save(plain, tmp_path / "doubled"), quantization=quantization, dtype="float32")
    assert doubled.fingerprint != loaded.fingerprint
