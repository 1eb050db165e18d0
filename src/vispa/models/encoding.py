"""Texts as the token ids that a model reads: chat messages, raw texts, and what follows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vispa.errors import ModelError, TextError
from vispa.models.tokenization import Span

if TYPE_CHECKING:
    # Loading brings torch, which nothing here needs.
    from vispa.models.loading import LoadedModel


@dataclass(frozen=True)
class Prompt:
    """What a model continues.

    Attributes:
        text: in words, the chat template's own included; goes into records.
        ids: its tokens, the start token included where the model has one.
        plain: the parts of the text that are text whatever stands in them; the rest is the template's.
    """

    text: str
    ids: tuple[int, ...]
    plain: tuple[Span, ...] = field(default=(), repr=False)


def chat_prompt(loaded: LoadedModel, message: str) -> Prompt:
    """A user's message in the model's chat template, ready for its answer.

    The ids are those of transformers' `apply_chat_template`: nothing is added, nothing cut. Only
    where the message spells a control token or a role marker do they differ: it stays text (see
    `Tokenization`). A model without chat template gets the message as it is (`raw_prompt`).

    Args:
        loaded: the model.
        message: what the user says; text, whatever stands in it.

    Raises:
        TextError: the template refuses, drops or changes this message.
    """
    scaffold = loaded.tokenization.scaffold
    if scaffold is None:
        return raw_prompt(loaded, message)
    with _of_this_text():
        text = scaffold.render(message)
        plain = scaffold.locate(text, message)
        return Prompt(text, tuple(loaded.tokenization.encode(text, plain)), tuple(plain))


def raw_prompt(loaded: LoadedModel, text: str, *, max_tokens: int | None = None) -> Prompt:
    """A text as it is, without chat template, after the start token that the tokenizer puts there by itself.

    A token that the tokenizer would append (an end token) is left out: the text goes on.

    Args:
        loaded: the model.
        text: text, whatever stands in it; control tokens' names are characters.
        max_tokens: cut the tokens after so many.

    Raises:
        TextError: the tokenizer cannot keep the text apart from control tokens.
    """
    plain = ((0, len(text)),)
    with _of_this_text():
        ids = (*loaded.tokenization.start, *loaded.tokenization.encode(text, plain))
    return Prompt(text, ids[:max_tokens], plain)


def recorded_prompt(loaded: LoadedModel, text: str) -> Prompt:
    """The prompt of a model that a record keeps as its text alone; all of it counts as the template's."""
    if loaded.tokenization.scaffold is None:
        return raw_prompt(loaded, text)
    return Prompt(text, tuple(loaded.tokenization.encode(text, ())))


def continued(loaded: LoadedModel, prompt: Prompt, text: str) -> tuple[int, ...]:
    """Token ids of a prompt and the text that follows it, encoded as they stand side by side.

    They begin as the prompt's do, up to its last tokens, which may merge with the text.
    """
    whole = prompt.text + text
    before = loaded.tokenization.encode(prompt.text, prompt.plain)
    after = loaded.tokenization.encode(whole, (*prompt.plain, (len(prompt.text), len(whole))))
    same = common(before, after)
    return (*prompt.ids[: len(prompt.ids) - len(before) + same], *after[same:])


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the longest common beginning."""
    shorter = min(len(first), len(second))
    return next((place for place in range(shorter) if first[place] != second[place]), shorter)


@contextmanager
def _of_this_text() -> Iterator[None]:
    """The model was checked when it was loaded: what fails now fails for this text."""
    try:
        yield
    except ModelError as error:
        raise TextError(str(error)) from error
