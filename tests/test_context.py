"""Texts longer than the model's context fail alone, named with tokens and limit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from engines import generate, option_masses
from transformers import AutoConfig

from vispa.errors import ContextError, VispaError
from vispa.generation.rows import Row, Sampling
from vispa.items.answering import BatchRun
from vispa.items.item import Item
from vispa.models.context import context_length
from vispa.models.encoding import raw_prompt
from vispa.models.loading import LoadedModel
from vispa.pipeline import Vispa
from vispa.readers.apart import answered_apart
from vispa.readers.base import Failure
from vispa.request import Request
from vispa.selection.embedding import EmbeddingSelector
from vispa.steering.activations import read_activations
from vispa.steering.fitting import fit_bank
from vispa.steering.recipe import Recipe
from vispa.study.fluency import perplexities
from vispa.taxonomy import Taxonomy

LIMIT = 700
#: As many bytes, so as many tokens of the byte tokenizer, beside its start token.
LONG = "The neighbour's hen walks over the wall. " * 30
SHORT = ["Feeding the hens", "Selling an old boat", "Keeping quiet in a library"]


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def vispa(request: pytest.FixtureRequest, make_model: Callable[..., LoadedModel], small_taxonomy: Taxonomy) -> Vispa:
    loaded = make_model(request.param, max_position_embeddings=LIMIT)
    recipe = Recipe("mean_difference", (1, 2), magnitude="residual", amount=0.2, minimal_quality=0.0)
    bank = fit_bank(loaded, small_taxonomy, recipe=recipe)
    return Vispa(loaded, bank, EmbeddingSelector(small_taxonomy), taxonomy=small_taxonomy)


def test_the_limit_is_found_under_each_name() -> None:
    assert context_length(AutoConfig.for_model("llama", max_position_embeddings=77)) == 77
    assert context_length(AutoConfig.for_model("gpt2", n_positions=78)) == 78
    assert context_length(AutoConfig.for_model("mpt", max_seq_len=79)) == 79
    assert context_length(AutoConfig.for_model("mistral", max_position_embeddings=80, sliding_window=8)) == 80
    both = AutoConfig.for_model("gemma3", text_config={"max_position_embeddings": 81})
    assert context_length(both) == 81
    assert context_length(AutoConfig.for_model("mamba")) is None


def test_rows_fill_the_context_and_no_more(vispa: Vispa) -> None:
    prompt = raw_prompt(vispa.model, "x" * (LIMIT - 11))
    assert generate(vispa.model, [Row(prompt)], Sampling(10))[0].tokens <= 10
    with pytest.raises(ContextError, match=rf"{LIMIT - 10} tokens .* 11 .* more than the {LIMIT} "):
        generate(vispa.model, [Row(prompt)], Sampling(11))
    assert option_masses(vispa.model, ["x" * (LIMIT - 1)], [2])[0].shape == (2,)
    with pytest.raises(ContextError, match=rf"{LIMIT + 1} tokens .* more than the {LIMIT} "):
        option_masses(vispa.model, ["short", "x" * LIMIT], [2, 2])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "steerable", "toward": "right to rest"},
        {"mode": "distributional", "options": ("Yes", "No")},
        {"mode": "distributional", "options": ("Yes", "No"), "passages": False},
    ],
    ids=["overton", "steerable", "passages", "direct"],
)
def test_a_long_text_fails_alone(vispa: Vispa, options: dict[str, object]) -> None:
    texts = [SHORT[0], LONG, *SHORT[1:]]
    found = vispa.respond_many([Request(text, k=2, **options) for text in texts], max_new_tokens=6)
    assert isinstance(found[1], Failure)
    assert "tokens" in found[1].reason and f"{LIMIT} of the model's context" in found[1].reason
    for text, answer in zip(texts, found, strict=True):
        if text != LONG:
            assert not isinstance(answer, Failure)
            assert answer.text == text and answer.response
    with pytest.raises(VispaError, match="of the model's context"):
        vispa.respond_one(Request(LONG, k=2, **options), max_new_tokens=6)


def test_the_answer_needs_room_too(vispa: Vispa) -> None:
    found = vispa.respond_many([Request("Feeding ducks", k=2)], max_new_tokens=LIMIT)
    assert isinstance(found[0], Failure) and "max-new-tokens" in found[0].reason


def test_a_batch_goes_on(vispa: Vispa, tmp_path: Path) -> None:
    items = [Item(id=number, text=text) for number, text in enumerate([LONG, *SHORT])]
    run = BatchRun(items, tmp_path / "out.jsonl", {})
    run.run(lambda chunk: vispa.respond_many([Request(item.text, k=2) for item in chunk], max_new_tokens=6))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == [0, 1, 2, 3]
    assert "of the model's context" in lines[0]["error"]
    assert all("error" not in line and line["response"] for line in lines[1:])


def test_a_local_reader_fails_single_prompts(vispa: Vispa) -> None:
    reader = vispa.own_reader
    written = reader.write(["Summarize the hens.", LONG, "Count them."], max_new_tokens=5)
    assert [isinstance(one, Failure) for one in written] == [False, True, False]
    weighed = reader.option_probabilities([LONG, "Which? Answer:"], [2, 3])
    assert isinstance(weighed[0], Failure) and "of the model's context" in weighed[0].reason


def test_reading_and_scoring_stay_within_the_context(make_model: Callable[..., LoadedModel]) -> None:
    small = make_model("gpt2", max_position_embeddings=40)
    states = read_activations(small, ["a hen " * 20, "a hen " * 30])["last"]
    torch.testing.assert_close(states[0], states[1])
    prompts = [raw_prompt(small, "Hens. "), raw_prompt(small, "Hens. ")]
    found = perplexities(small, prompts, ["They sleep.", "They sleep. " * 9])
    assert found[0] > 0 and found[1] != found[1]


def test_only_what_cannot_be_answered_is_parted() -> None:
    asked: list[int] = []

    def answer(items: list[int]) -> list[str]:
        asked.append(len(items))
        if 13 in items:
            raise ContextError("too long")
        return [str(item) for item in items]

    found = answered_apart(list(range(16)), answer, lambda error: str(error))
    assert found == [str(item) if item != 13 else "too long" for item in range(16)]
    assert asked == [16, 8, 8, 4, 4, 2, 1, 1, 2]
    assert answered_apart([], lambda items: [], str) == []
