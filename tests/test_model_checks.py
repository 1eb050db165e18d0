"""Models are checked before they speak: weights, configuration, tokenizer and chat template belong together."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, BertLMHeadModel, PreTrainedTokenizerFast
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.errors import ModelError, TextError
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import chat_prompt
from vispa.models.loading import EMBEDDED_PATH, LoadedModel, load_model
from vispa.readers.base import Failure
from vispa.readers.local import LocalChat

GOOD = "{% for m in messages %}Q: {{ m['content'] }}\n{% endfor %}A:"


@pytest.fixture
def folder(make_model: Callable[..., LoadedModel], tmp_path: Path) -> Path:
    return saved(make_model("llama"), tmp_path / "model")


def saved(loaded: LoadedModel, place: Path) -> Path:
    loaded.model.save_pretrained(place)
    loaded.tokenizer.save_pretrained(place)
    return place


def configure(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def rewrite_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


# ---------------------------------------------------------------- weights and configuration


def test_a_whole_model_is_loaded_without_a_word(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert len(load_model(str(folder)).blocks) == 4
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"num_hidden_layers": 6}, r"missing: model\.layers\.4\..* and \d+ more"),
        ({"num_hidden_layers": 3}, r"left over: model\.layers\.3\."),
        ({"intermediate_size": 40}, r"of another shape: .*mlp.* is \[.*48.*\], not \[.*40.*\]"),
        ({"attention_bias": True}, r"missing: model\.layers\.0\.self_attn\.[kqvo]_proj\.bias"),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, "missing: transformer"),
    ],
)
def test_weights_that_do_not_fit_the_configuration(
    folder: Path, fields: dict[str, object], problem: str, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(folder, **fields)
    with pytest.raises(ModelError, match=problem) as found:
        load_model(str(folder))
    assert str(folder) in str(found.value)
    assert capfd.readouterr() == ("", "")


def test_weights_beyond_the_architecture(folder: Path) -> None:
    rewrite_weights(folder, lambda weights: weights.update({"model.layers.1.self_attn.q_proj.bias": torch.zeros(32)}))
    with pytest.raises(ModelError, match=r"left over: model\.layers\.1\.self_attn\.q_proj\.bias"):
        load_model(str(folder))


def test_other_parts_and_computed_tables_may_lie_beside_it(folder: Path) -> None:
    beside = {
        "vision_tower.layers.0.weight": torch.zeros(3),
        "model.vision_tower.layers.0.weight": torch.zeros(3),
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4),
    }
    rewrite_weights(folder, lambda weights: weights.update(beside))
    assert len(load_model(str(folder)).blocks) == 4


def test_a_missing_head_is_fine_only_where_it_is_tied(make_model: Callable[..., LoadedModel], tmp_path: Path) -> None:
    tied = saved(make_model("llama", tie_word_embeddings=True), tmp_path / "tied")
    assert "lm_head.weight" not in load_file(tied / "model.safetensors")
    assert load_model(str(tied)).hidden_size == 32
    configure(tied, tie_word_embeddings=False)
    with pytest.raises(ModelError, match="missing: lm_head"):
        load_model(str(tied))


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
def test_encoders_are_refused(kind: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), pad_token_id=0, **size)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=rf"is an encoder \({kind}\)"):
        load_model(str(tmp_path))


def test_a_bert_made_for_generation_is_no_encoder(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = AutoConfig.for_model("bert", vocab_size=len(tokenizer), pad_token_id=0, is_decoder=True, **size)
    BertLMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert len(load_model(str(tmp_path)).blocks) == 2


# ---------------------------------------------------------------- tokenizer


def test_a_larger_vocabulary_is_refused(folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    PreTrainedTokenizerFast.from_pretrained(EMBEDDED_PATH).save_pretrained(folder)
    with pytest.raises(ModelError, match=r"has a token 4095, its weights end with 258"):
        load_model(str(folder))


def test_a_much_smaller_vocabulary_is_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(EMBEDDED_PATH, other)
    for path in folder.glob("token*"):
        shutil.copy(path, other)
    with pytest.raises(ModelError, match=r"has 259 of the 4096 tokens"):
        load_model(str(other))


def test_special_tokens_beyond_the_weights_matter_where_they_are_used(folder: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|turn|>"], "pad_token": "<|pad|>"})
    tokenizer.save_pretrained(folder)
    loaded = load_model(str(folder))
    assert loaded.tokenizer.pad_token_id < 259
    assert max(chat_prompt(loaded, "Is it <|turn|> fair?").ids) < 259
    (folder / "chat_template.jinja").write_text("<|turn|>" + GOOD)
    with pytest.raises(ModelError, match=r"has a token 2(59|60), its weights end with 258"):
        load_model(str(folder))


def test_a_tokenizer_without_the_end_token_is_refused(make_model: Callable[..., LoadedModel], tmp_path: Path) -> None:
    loaded = make_model("llama", vocab_size=300, eos_token_id=280)
    with pytest.raises(ModelError, match="no token 280, which ends its texts"):
        load_model(str(saved(loaded, tmp_path)))
    # A default that lies beyond the weights too says nothing about the tokenizer.
    loaded = make_model("gpt2", eos_token_id=50256, bos_token_id=50256)
    assert load_model(str(saved(loaded, tmp_path / "default"))).name


# ---------------------------------------------------------------- chat templates


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ raise_exception('Only the system may speak') }}", "Only the system may speak"),
        ("{% for m in messages %}{{ m['content'] }}", "cannot be used: .*end"),
        ("{{ messages[0]['content'] | shout }}", "cannot be used: .*shout"),
        ("{{ messages[7]['content'] }}", "cannot be used: "),
        ("Q: what else? A:", "drops the user's message"),
        (
            "{% for m in messages if m['role'] == 'system' %}{{ m['content'] }}{% endfor %}A:",
            "drops the user's message",
        ),
        ("{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}", "writes without bounds"),
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}{% set x = i %}{% endfor %}{% endfor %}",
            "does not end",
        ),
        (
            "{% set n = namespace(x='x') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
            "without bounds",
        ),
        ("{% set x = 99999 ** 99999999 %}", "does not end"),
        ("{{ 'x' * 100000000000 }}", "without bounds"),
        ("{{ messages[0]['content'] | center(90000000000) }}", "without bounds"),
        ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "cannot be used: .*recursion"),
    ],
)
def test_unusable_chat_templates_are_refused_within_seconds(folder: Path, template: str, problem: str) -> None:
    (folder / "chat_template.jinja").write_text(template)
    started = time.monotonic()
    with pytest.raises(ModelError, match=problem) as found:
        load_model(str(folder))
    assert "chat template" in str(found.value)
    assert time.monotonic() - started < 30


def test_a_template_that_ends_is_used(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(GOOD + "{% generation %}{% endgeneration %}")
    loaded = load_model(str(folder))
    assert chat_prompt(loaded, "Is it fair?").text == "Q: Is it fair?\nA:"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (
            "{% if 'karma' in messages[0]['content'] %}{{ raise_exception('No karma') }}{% endif %}" + GOOD,
            "No karma",
        ),
        (GOOD.replace("m['content']", "m['content'] if 'karma' not in m['content']"), "drops or changes"),
        (GOOD.replace("m['content']", "m['content'] | replace('karma', 'luck')"), "drops or changes"),
        (
            GOOD + "{% if 'karma' in messages[0]['content'] %}{% for i in range(99999) %}{% for j in range(99999) %}"
            "{% set x = j %}{% endfor %}{% endfor %}{% endif %}",
            "does not end",
        ),
    ],
)
def test_a_template_that_dislikes_one_text_says_so(folder: Path, template: str, problem: str) -> None:
    (folder / "chat_template.jinja").write_text(template)
    loaded = load_model(str(folder))
    assert "Is it fair?" in chat_prompt(loaded, "Is it fair?").text
    with pytest.raises(TextError, match=problem):
        chat_prompt(loaded, "Is it bad karma?")
    found = LocalChat(TransformersEngine(loaded)).write(["Is it bad karma?", "Is it fair?"], max_new_tokens=2)
    assert [isinstance(one, Failure) for one in found] == [True, False]


def test_the_command_line_refuses_without_a_traceback(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    configure(folder, num_hidden_layers=5)
    result = CliRunner().invoke(app, ["respond", "Feeding the hens", "--model", str(folder)])
    assert isinstance(result.exception, ModelError)
    assert "missing: model.layers.4." in str(result.exception)
    assert "LOAD REPORT" not in result.output + capfd.readouterr().err
