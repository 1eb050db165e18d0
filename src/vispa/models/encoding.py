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
        subject: the tokens of what the prompt is about, from and to: of the situation in a request for a comment.
            The last token of a prompt, after which the model goes on by itself, is never one of them.
    """

    text: str
    ids: tuple[int, ...]
    plain: tuple[Span, ...] = field(default=(), repr=False)
    subject: Span = field(default=(0, 0), repr=False)


def chat_prompt(loaded: LoadedModel, message: str, subject: str | None = None) -> Prompt:
    """A user's message in the model's chat template, ready for its answer.

    The ids are those of transformers' `apply_chat_template`: nothing is added, nothing cut. Only
    where the message spells a control token or a role marker do they differ: it stays text (see
    `Tokenization`). A model without chat template gets the message as it is (`raw_prompt`).

    Args:
        loaded: the model.
        message: what the user says; text, whatever stands in it.
        subject: the part of the message that it is about; all of it by default.

    Raises:
        TextError: the template refuses, drops or changes this message.
    """
    scaffold = loaded.tokenization.scaffold
    if scaffold is None:
        return raw_prompt(loaded, message, subject)
    with _of_this_text():
        text = scaffold.render(message)
        plain = scaffold.locate(text, message)
        ids = tuple(loaded.tokenization.encode(text, plain))
        part = _part(text, subject, plain[0] if plain else (0, 0))
        return Prompt(text, ids, tuple(plain), _tokens_of(loaded, text, plain, ids, part))


def raw_prompt(loaded: LoadedModel, text: str, subject: str | None = None, *, max_tokens: int | None = None) -> Prompt:
    """A text as it is, without chat template, after the start token that the tokenizer puts there by itself.

    A token that the tokenizer would append (an end token) is left out: the text goes on.

    Args:
        loaded: the model.
        text: text, whatever stands in it; control tokens' names are characters.
        subject: the part of the text that it is about; none by default.
        max_tokens: cut the tokens after so many.

    Raises:
        TextError: the tokenizer cannot keep the text apart from control tokens.
    """
    plain = ((0, len(text)),)
    with _of_this_text():
        ids = (*loaded.tokenization.start, *loaded.tokenization.encode(text, plain))[:max_tokens]
        part = _part(text, subject, plain[0])
        found = (
            (0, 0) if subject is None else _tokens_of(loaded, text, plain, ids, part, len(loaded.tokenization.start))
        )
    return Prompt(text, ids, plain, found)


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


def _part(text: str, subject: str | None, message: Span) -> Span:
    """Where the subject stands in a message, at its last place there; the whole message where it does not."""
    kept = (subject or "").strip()
    place = text.rfind(kept, *message) if kept else -1
    return message if place < 0 else (place, place + len(kept))


def _tokens_of(
    loaded: LoadedModel, text: str, plain: Sequence[Span], ids: Sequence[int], part: Span, begin: int = 0
) -> Span:
    """The tokens that write a part of a prompt, of which `begin` stand before its text.

    A token that also writes what is beside the part is among them.
    """
    start, end = part

    def encoded(first: int, last: int) -> list[int]:
        inside = [(max(a, first) - first, min(b, last) - first) for a, b in plain if a < last and b > first]
        return loaded.tokenization.encode(text[first:last], inside)

    # Tokenizers write a space and the word after it as one.
    start = len(text[:start].rstrip())
    before = begin + common(encoded(0, start), ids[begin:])
    after = common(encoded(end, len(text))[::-1], ids[::-1])
    return before, max(before, len(ids) - max(1, after))


@contextmanager
def _of_this_text() -> Iterator[None]:
    """The model was checked when it was loaded: what fails now fails for this text."""
    try:
        yield
    except ModelError as error:
        raise TextError(str(error)) from error
