"""Texts in pieces: together they are the text, none ends within a character, and no thought is said."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from vispa.generation.streaming import TextStream
from vispa.generation.thoughts import answer_text
from vispa.models.encoding import Prompt, raw_prompt
from vispa.models.loading import LoadedModel

TEXTS = ("Grüße, 你好 und 🙂👩‍👩‍👧 auch.", "  two lines \n\n and blanks  ", "a < b, [1] and <b>bold</b>", "", "\ufffd")


def pieces(loaded: LoadedModel, ids: list[int], prompt: Prompt | None = None) -> tuple[list[str], str]:
    """What is said after each token and at the end; the whole text."""
    prompt = prompt or raw_prompt(loaded, "Well,")
    stream, text = TextStream(loaded, prompt), answer_text(loaded, prompt, ids) or ""
    return [*(stream.grown(ids[: count + 1]) for count in range(len(ids))), stream.ended(text)], text


def ids_of(loaded: LoadedModel, text: str) -> list[int]:
    return list(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_whole_characters(text: str, llama: LoadedModel) -> None:
    """Every byte is a token of this model."""
    found, whole = pieces(llama, ids_of(llama, text))
    assert "".join(found) == whole == text.strip()
    assert all("\ufffd" not in piece for piece in found) or text == "\ufffd"


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="<[◁"), max_size=30))
def test_pieces_of_any_text_are_the_text(text: str, llama: LoadedModel) -> None:
    found, whole = pieces(llama, ids_of(llama, text))
    assert "".join(found) == whole


@settings(max_examples=60, deadline=None)
@given(ids=st.lists(st.integers(3, 258), max_size=24))
def test_pieces_of_bytes_that_are_no_text(ids: list[int], llama: LoadedModel) -> None:
    """As random models say them."""
    found, whole = pieces(llama, ids)
    assert "".join(found) == whole


def test_most_of_a_text_is_said_before_its_end(llama: LoadedModel) -> None:
    found, whole = pieces(llama, ids_of(llama, "A plain answer in some words"))
    assert len("".join(found[:-1])) >= len(whole) - 1
    assert max(map(len, found)) <= 2


@pytest.fixture(scope="module")
def falls_back(make_model: Callable[..., LoadedModel]) -> LoadedModel:
    """A model whose tokenizer writes what it does not know in bytes, and reads a run of them as a whole."""
    vocabulary = {"<unk>": 0, **{f"<0x{byte:02X}>": 1 + byte for byte in range(256)}, "a": 257, "▁": 258}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", pad_token="<unk>")
    return replace(make_model("llama"), tokenizer=tokenizer)


@settings(max_examples=60, deadline=None)
@given(ids=st.lists(st.sampled_from([257, 258, *(1 + byte for byte in "你🙂".encode())]), max_size=16))
def test_bytes_that_are_tokens_are_read_together(ids: list[int], falls_back: LoadedModel) -> None:
    found, whole = pieces(falls_back, ids, Prompt("", (257,)))
    assert "".join(found) == whole


def test_a_thought_is_not_said(llama: LoadedModel) -> None:
    ids = ids_of(llama, "<think>\nHm, <b>.\n</think>\n\nYes, they should.")
    found, whole = pieces(llama, ids)
    assert "".join(found) == whole == "Yes, they should."
    assert len([piece for piece in found if piece]) > 5


def test_a_model_that_may_think_says_nothing_before_it_is_known(llama: LoadedModel) -> None:
    thinks = copy.deepcopy(llama.tokenizer)
    thinks.add_tokens(["<think>", "</think>"])
    loaded = replace(llama, tokenizer=thinks)
    found, whole = pieces(loaded, ids_of(loaded, "Hm, well.</think>Yes."))
    assert "".join(found) == whole == "Yes."
    closed = replace(raw_prompt(llama, "Well,"), text="Well, <think>\n\n</think>\n\n")
    found, whole = pieces(loaded, ids_of(loaded, "Yes."), closed)
    assert found[0] == "Y" and "".join(found) == whole == "Yes."
