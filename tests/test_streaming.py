"""Texts in pieces: together they are the text, none ends within a character, and no thought is said."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
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


class Whole(TextStream):
    """The obvious way: all of a text is decoded at each token."""

    def grown(self, ids: Sequence[int]) -> str:
        self._growing.known([], "")
        return super().grown(ids)


def byte_level(loaded: LoadedModel) -> LoadedModel:
    """The model with a tokenizer whose tokens are bytes and runs of them, parts of characters included."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>"],
        show_progress=False,
    )
    raw.train_from_iterator([*TEXTS, " the old house and the <b> of it, analysis"] * 3, trainer)
    return replace(loaded, tokenizer=PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<s>"))


def with_spaces(loaded: LoadedModel) -> LoadedModel:
    """The model with a tokenizer that takes the blank off the front of what it decodes."""
    words = ["▁", "▁the", "▁house", "s", "▁<", "b", ">", "analysis", "▁final", "\n", "[", "1", "]", "é"]
    vocabulary = {"<unk>": 0, **{f"<0x{byte:02X}>": 1 + byte for byte in range(256)}}
    vocabulary |= {word: 257 + place for place, word in enumerate(words)}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    raw.decoder = decoders.Sequence(steps)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", pad_token="<unk>")
    return replace(loaded, tokenizer=tokenizer)


@pytest.mark.parametrize("made", [lambda loaded: loaded, byte_level, with_spaces])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_each_piece_is_that_of_the_whole_text(
    made: Callable[[LoadedModel], LoadedModel], data: st.DataObject, llama: LoadedModel
) -> None:
    loaded = made(llama)
    usual = [number for name, number in loaded.tokenizer.get_vocab().items() if not name.startswith("<0x")]
    ids = data.draw(st.lists(st.one_of(st.sampled_from(sorted(usual)), st.integers(0, 256)), max_size=40))
    prompt = Prompt("", (257,))
    quick, slow = TextStream(loaded, prompt), Whole(loaded, prompt)
    for count in range(1, len(ids) + 1):
        assert quick.grown(ids[:count]) == slow.grown(ids[:count])


def test_only_the_last_tokens_are_decoded_again(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    decode, counts = type(llama.tokenizer).decode, []

    def counted(tokenizer: PreTrainedTokenizerFast, ids: list[int], **options: Any) -> str:
        counts.append(len(ids))
        return decode(tokenizer, ids, **options)

    monkeypatch.setattr(type(llama.tokenizer), "decode", counted)
    stream, ids = TextStream(llama, raw_prompt(llama, "Well,")), ids_of(llama, "a plain answer " * 20)
    for count in range(1, len(ids) + 1):
        stream.grown(ids[:count])
    assert max(counts[100:]) <= 5 and len(counts) <= 3 * len(ids)


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
