"""Small random models, small taxonomies and fake chat APIs that tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from fake_api import FakeApi, Reply
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from vispa.models.blocks import decoder_blocks
from vispa.models.loading import LoadedModel, load_model
from vispa.taxonomy import Taxonomy

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The default is a model that is fetched; tests need no network, and the one in the package is quick.
os.environ["VISPA_MODEL"] = "embedded"
# Here and in the commands that tests run: processes that all use all cores slow one another down many times.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
torch.set_num_threads(1)

#: Arguments common to the small random models of every architecture.
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Every byte is a token, after a start token; padded on the left."""
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2}
    for character in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary[character] = len(vocabulary)
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>", padding_side="left"
    )


@pytest.fixture(scope="session")
def make_model(tokenizer: PreTrainedTokenizerFast) -> Callable[..., LoadedModel]:
    """Makes a random model of an architecture (`llama`, `gpt2`, …)."""

    def make(kind: str = "llama", seed: int = 0, **options: object) -> LoadedModel:
        torch.manual_seed(seed)
        settings = {**SMALL, "vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        config = AutoConfig.for_model(kind, **{**settings, "initializer_range": 0.3, **options})
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval().requires_grad_(False)
        # What is said at random is no letter; random models are weighed whatever the letters hold.
        return LoadedModel(f"random-{kind}", model, tokenizer, decoder_blocks(model), least_option_mass=0.0)

    return make


@pytest.fixture(scope="session")
def llama(make_model: Callable[..., LoadedModel]) -> LoadedModel:
    return make_model("llama")


@pytest.fixture
def smollm2() -> LoadedModel:
    """SmolLM2 in float32, from a folder that the environment names."""
    if "VISPA_TEST_SMOLLM2" not in os.environ:
        pytest.skip("VISPA_TEST_SMOLLM2 names no SmolLM2 folder")
    return load_model(os.environ["VISPA_TEST_SMOLLM2"], dtype="float32")


@pytest.fixture(scope="session")
def small_taxonomy(tmp_path_factory: pytest.TempPathFactory) -> Taxonomy:
    """Three values with eight pairs each, in the package's own layout."""
    return Taxonomy.load(write_taxonomy(tmp_path_factory.mktemp("taxonomy")))


def write_taxonomy(folder: Path) -> Path:
    (folder / "pairs").mkdir()
    words = {"calm": ("rested", "shouted"), "thrift": ("saved", "spent"), "candor": ("told", "hid")}
    objects = ["a coin", "the news", "my plan", "her wish", "the old map", "a story", "some bread", "the key"]
    tables = []
    for slug, (good, bad) in words.items():
        tables.append(f'[{slug}]\nlabel = "{slug}"\nfamily = "test"\ndefinition = "The value of {slug}."\n')
        rows = [f"I {good} about {thing}.,I {bad} about {thing}." for thing in objects]
        (folder / "pairs" / f"{slug}.csv").write_text("positive,negative\n" + "\n".join(rows) + "\n")
    (folder / "values.toml").write_text("\n".join(tables))
    return folder


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str, int], Reply]], FakeApi]]:
    """Starts fake chat APIs and stops them after the test."""
    started: list[FakeApi] = []

    def start(answer: Callable[[str, int], Reply]) -> FakeApi:
        started.append(FakeApi(answer).__enter__())
        return started[-1]

    yield start
    for api in started:
        api.__exit__()
