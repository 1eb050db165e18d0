"""Texts as the token ids that a model reads: chat messages, raw texts, and what follows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vispa.models.loading import LoadedModel


@dataclass(frozen=True)
class Prompt:
    """What a model continues.

    Attributes:
        text: in words, the chat template's own included; goes into records.
        ids: its tokens, the start token included where the model has one.
    """

    text: str
    ids: tuple[int, ...]


def chat_prompt(loaded: LoadedModel, message: str) -> Prompt:
    """A user's message in the model's chat template, ready for its answer.

    A model without chat template gets the message as it is; see `raw_prompt`.

    Args:
        loaded: the model.
        message: what the user says; plain text, whatever stands in it.
    """
    tokenizer = loaded.tokenizer
    if not getattr(tokenizer, "chat_template", None):
        return raw_prompt(loaded, message)
    text = str(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": message}], tokenize=False, add_generation_prompt=True
        )
    )
    return Prompt(text, tuple(tokenizer(text, add_special_tokens=False)["input_ids"]))


def raw_prompt(loaded: LoadedModel, text: str, *, max_tokens: int | None = None) -> Prompt:
    """A text as it is, without chat template, after the model's start token.

    Args:
        loaded: the model.
        text: plain text, whatever stands in it.
        max_tokens: cut the tokens after so many.
    """
    ids = _start(loaded) + loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    return Prompt(text, tuple(ids[:max_tokens]))


def continued(loaded: LoadedModel, prompt: Prompt, text: str) -> tuple[int, ...]:
    """Token ids of a prompt and the text that follows it, as they stand side by side.

    The ids begin as the prompt's do, up to its last tokens, which may merge with the text.
    """
    tokenizer = loaded.tokenizer
    before, after = (
        tokenizer(part, add_special_tokens=False)["input_ids"] for part in (prompt.text, prompt.text + text)
    )
    same = common(before, after)
    return (*prompt.ids[: len(prompt.ids) - len(before) + same], *after[same:])


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the longest common beginning."""
    shorter = min(len(first), len(second))
    return next((place for place in range(shorter) if first[place] != second[place]), shorter)


def _start(loaded: LoadedModel) -> list[int]:
    """What the tokenizer puts before a text by itself; nothing of what it appends."""
    probe = "a"
    bare: list[int] = loaded.tokenizer(probe, add_special_tokens=False)["input_ids"]
    whole: list[int] = loaded.tokenizer(probe)["input_ids"]
    places = [at for at in range(len(whole) - len(bare) + 1) if whole[at : at + len(bare)] == bare]
    return whole[: places[0]] if places else []
