"""What a reasoning model thinks before its answer is neither shown nor scored; a thought cut off is a failure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fake_api import FakeApi, Reply, completion
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from vispa.evaluation.methods import Bench, make_methods
from vispa.generation import held as engine
from vispa.generation.rows import Generated
from vispa.generation.thoughts import answer_text, without_thoughts
from vispa.items.item import Item
from vispa.models.encoding import Prompt
from vispa.models.loading import LoadedModel
from vispa.pipeline import Vispa
from vispa.readers.api import ApiChat
from vispa.readers.base import Failure, Unfinished
from vispa.request import Request
from vispa.selection.embedding import EmbeddingSelector
from vispa.steering.fitting import fit_bank
from vispa.taxonomy import Taxonomy

PAIRS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<Think>", "</THINK>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<seed:think>", "</seed:think>"),
    ('<think duration="3">', "</think >"),
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<|think|>", "<|/think|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<unused94>", "<unused95>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("analysis", "assistantfinal"),
]


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_thoughts_are_taken_out(opening: str, closing: str) -> None:
    thought = f"{opening}The rain, A or B?\n\nSo A.{closing}"
    assert without_thoughts(f"{thought}Take the umbrella.") == "Take the umbrella."
    assert without_thoughts(f" \n{thought}\n\nTake it.\nOr wait. ") == "Take it.\nOr wait."
    assert without_thoughts(f"{opening}{closing}\nB" if opening != "analysis" else "B") == "B"
    assert without_thoughts(thought) == ""


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_a_thought_that_is_cut_off_is_no_answer(opening: str, closing: str) -> None:
    whole = f"{opening}The rain, A or B? I take A, since"
    assert without_thoughts(whole) is None
    assert without_thoughts(f"\n{whole}{closing[:-2]}") is None
    assert without_thoughts(opening[:-1] if opening[0] in "<[◁" and " " not in opening else whole) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        # Several thoughts, thoughts between lines, a thought within a thought.
        ("<think>a</think>\n<think>b</think>\nYes.", "Yes."),
        ("Let me see.\n<think>\nhm\n</think>\nYes.", "Let me see.\n\nYes."),
        ("<think>a <think>b</think> c</think>Yes.", "Yes."),
        ("<think>I could write <thinking> here</think>Yes.", "Yes."),
        # The chat template had opened the thought.
        ("The rain, so A.\n</think>\n\nYes.", "Yes."),
        ("</think>Yes.", "Yes."),
        ("so A.</think>Yes.", "Yes."),
        # Wrapped answers.
        ("<think>a</think> <answer>Yes.</answer>", "Yes."),
        ("<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>\nYes.\n<|end_of_solution|>", "Yes."),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>", "Yes."),
        ("<|channel|>final<|message|>Yes.<|return|>", "Yes."),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>b<|end|>"
            "<|start|>assistant<|channel|>final <|constrain|>json<|message|>Yes.",
            "Yes.",
        ),
        ("<think>a</think>", ""),
    ],
)
def test_thoughts_of_other_shapes(text: str, answer: str) -> None:
    assert without_thoughts(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "Some models write <think> before they answer.",
        "It closes with </think> and goes on.",
        "The tags `<think>` and `</think>` frame it.",
        "`<think>` is a tag.",
        'They say "</thinking>", and then answer.',
        "I think that <b>bold</b> words matter.",
        "Analysis of the rain: it falls.",
        "analysis of the rain",
        "A final word from the assistant: final.",
        "thinking",
        "<answer>Yes.</answer>",
        "[THINKING] aloud",
        "<thinker>no</thinker>",
        "<",
        "",
        "Yes.",
    ],
)
def test_texts_that_only_speak_of_thoughts_stay_whole(text: str) -> None:
    assert without_thoughts(text) == text


def test_a_prompt_may_open_the_thought() -> None:
    assert without_thoughts("The rain, so A", thinking=True) is None
    assert without_thoughts("The rain </think> Yes.", thinking=True) == "Yes."


@given(st.text(st.sampled_from("<>/think◁▷ \n`a[]|"), max_size=60))
def test_any_text_is_read_and_read_once(text: str) -> None:
    answer = without_thoughts(text)
    assert answer is None or (answer == answer.strip() and len(answer) <= len(text))


@pytest.mark.parametrize(
    "piece", ["<think>", "</think>", "x <think> ", "<think ", "\n<think>a</think>", "<|channel|>final", " "]
)
def test_long_texts_take_no_long_time(piece: str) -> None:
    started = time.process_time()
    without_thoughts(piece * (400_000 // len(piece)))
    without_thoughts("<|channel|>" + piece * (400_000 // len(piece)))
    assert time.process_time() - started < 5


# ---------------------------------------------------------------- behind an API


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    replies: list[Reply] = []
    with FakeApi(lambda *_: replies[0]) as api:

        def ask(reply: bytes) -> str | Failure:
            replies[:] = [Reply(reply)]
            return ApiChat("m", base_url=api.url).write(["x"])[0]

        yield ask


def test_thoughts_of_an_api_are_left_out(chat: Any) -> None:
    assert chat(completion("<think>a\n</think>\n\nYes.")) == "Yes."
    assert chat(completion("Yes.", reasoning_content="a", reasoning="b")) == "Yes."
    assert chat(completion([{"type": "thinking", "thinking": "a"}, {"type": "text", "text": "Yes."}])) == "Yes."


@pytest.mark.parametrize(
    "reply",
    [
        completion("<think>so far", finish_reason="length"),
        completion("<think>so far", finish_reason="stop"),
        completion("<think>a</think>", finish_reason="length"),
        completion(None, finish_reason="length", reasoning_content="so far"),
        completion("", finish_reason="length"),
        completion([{"type": "thinking", "thinking": "a"}], finish_reason="length"),
    ],
)
def test_an_unfinished_thought_of_an_api_asks_for_more_tokens(chat: Any, reply: bytes) -> None:
    found = chat(reply)
    assert isinstance(found, Unfinished) and "more new tokens" in found.reason


# ---------------------------------------------------------------- local models


class Saying:
    """Lets the engine's decoding say given texts, one a row, whatever the model would say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel, say: Any) -> None:
        decode = loaded.tokenizer.decode
        monkeypatch.setattr(
            engine, "answer_text", lambda model, prompt, ids: without_thoughts(say(prompt.text) or decode(list(ids)))
        )


@pytest.fixture(scope="module")
def vispa(llama: LoadedModel, small_taxonomy: Taxonomy) -> Vispa:
    return Vispa(llama, fit_bank(llama, small_taxonomy), EmbeddingSelector(small_taxonomy), taxonomy=small_taxonomy)


def test_steered_comments_lose_their_thoughts(vispa: Vispa, monkeypatch: pytest.MonkeyPatch) -> None:
    Saying(monkeypatch, vispa.model, lambda prompt: "<think>A coin.</think>Keep it." if "coin" in prompt else None)
    answer = vispa.respond("Finding a coin", k=2, max_new_tokens=4)
    assert [comment.text for comment in answer.comments] == ["Keep it."] * 2 and "A coin" not in answer.response


def test_an_unfinished_comment_fails_its_text_alone(vispa: Vispa, monkeypatch: pytest.MonkeyPatch) -> None:
    Saying(monkeypatch, vispa.model, lambda prompt: "<think>hm" if "coin" in prompt else "Well done.")
    texts = ("Finding a coin", "Baking bread")
    for mode in ("overton", "distributional", "steerable"):
        toward = "calm" if mode == "steerable" else None
        requests = [Request(text, mode=mode, toward=toward, k=2) for text in texts]  # type: ignore[arg-type]
        found = vispa.respond_many(requests, max_new_tokens=4)
        assert isinstance(found[0], Failure) and "more new tokens" in found[0].reason, mode
        assert not isinstance(found[1], Failure), mode


def test_a_local_reader_says_that_its_thought_was_cut_off(vispa: Vispa, monkeypatch: pytest.MonkeyPatch) -> None:
    Saying(monkeypatch, vispa.model, lambda prompt: "<think>hm" if "coin" in prompt else "[THINK]a[/THINK]Fine.")
    reader = vispa.own_reader
    assert reader.write(["a coin", "bread"], max_new_tokens=3) == [Unfinished(), "Fine."]


def test_methods_fail_items_with_unfinished_thoughts(vispa: Vispa, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(vispa, max_new_tokens=4)
    items = [
        Item(id=n, text=text, prompt=text, mode="overton") for n, text in enumerate(("Finding a coin", "Baking bread"))
    ]

    def say(self: Bench, messages: list[str], most: int) -> list[Generated]:
        return [Generated("", 1, unfinished=True) if "coin" in one else Generated("1. A nurse", 1) for one in messages]

    monkeypatch.setattr(Bench, "say", say)
    for method in make_methods(["vanilla", "prompting", "personas"], bench):
        found = method.answer(items)
        assert "more new tokens" in (found[0].error or ""), method.name
        assert found[1].error is None and found[1].response, method.name


def test_special_tokens_that_mark_thoughts_are_seen(llama: LoadedModel) -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=llama.tokenizer.backend_tokenizer, pad_token="<pad>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]"], "eos_token": "</s>"})
    loaded = replace(llama, tokenizer=tokenizer)
    ids = tokenizer("[THINK]a wet day[/THINK]Stay in.</s>", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a wet dayStay in."
    prompt = Prompt("", ())
    assert answer_text(loaded, prompt, ids) == "Stay in."
    assert answer_text(loaded, prompt, ids[:5]) is None
    assert answer_text(loaded, prompt, ids[-9:]) == "Stay in."


def test_a_chat_template_may_open_the_thought(llama: LoadedModel) -> None:
    ids = llama.tokenizer("It rains, so", add_special_tokens=False)["input_ids"]
    opened, closed = Prompt("<|user|>x<|assistant|><think>\n", ()), Prompt("<|assistant|><think>\n\n</think>\n\n", ())
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=llama.tokenizer.backend_tokenizer)
    tokenizer.chat_template = "{{ messages }}"
    loaded = replace(llama, tokenizer=tokenizer)
    assert answer_text(loaded, opened, ids) is None and answer_text(loaded, closed, ids) == "It rains, so"
    # Without a chat template the prompt is the user's own text.
    assert answer_text(llama, opened, ids) == "It rains, so"
