"""A model's chat template: what it writes around a message, within limits of time and length."""

from __future__ import annotations

import ctypes
import re
import threading
from functools import cached_property
from typing import TYPE_CHECKING

from vispa.errors import ModelError
from vispa.models.control_tokens import secret_name

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A template takes a millisecond.
_SECONDS = 5.0
# What a template may write around a message: system prompts and descriptions of tools are far shorter.
_CHARACTERS = 1_000_000
_ADVICE = "Mend the model's chat template, or take it out: prompts then go without."


class Scaffold:
    """What a chat template writes around a message of the user.

    Args:
        tokenizer: with a chat template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        # A message that nobody can write; letters, so that a template takes it for a sentence.
        self._sentinel = f"x{secret_name()}x"

    @property
    def source(self) -> str:
        """The template."""
        return str(self._tokenizer.get_chat_template())

    @property
    def written(self) -> str:
        """All that the template writes around a message."""
        return "\n".join(self._around)

    @cached_property
    def _around(self) -> list[str]:
        around = self.render(self._sentinel).split(self._sentinel)
        if len(around) < 2:
            raise ModelError("model", "its chat template drops the user's message.", _ADVICE)
        return around

    def check(self) -> None:
        """Refuse a template that cannot be used.

        Raises:
            ModelError: it is broken, raises an error, does not end, or drops the message.
        """
        _ = self._around

    def render(self, message: str) -> str:
        """The template's text for one message of the user, up to where the answer begins.

        Raises:
            ModelError: the template is broken, raises an error, or does not end.
        """
        found: list[str | BaseException] = []

        def work() -> None:
            try:
                found.append(_apply(self._tokenizer, message))
            except BaseException as error:
                found.append(error)

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        worker.join(_SECONDS)
        if not found:
            _interrupt(worker)
            raise ModelError("model", f"its chat template does not end within {_SECONDS:g} seconds.", _ADVICE)
        text = found[0]
        if isinstance(text, BaseException):
            said = (str(text).strip().splitlines() or [type(text).__name__])[0].rstrip(".")[:200]
            raise ModelError("model", f"its chat template cannot be used: {said}.", _ADVICE) from text
        if len(text) > _CHARACTERS + 4 * len(message):
            raise ModelError("model", f"its chat template writes {len(text):,} characters.", _ADVICE)
        return text

    def locate(self, text: str, message: str) -> list[tuple[int, int]]:
        """Where in a rendered text its message stands.

        Templates may strip white space from a message. Where a template writes other things
        around this message than around others, every place that reads like the message is one.

        Raises:
            ModelError: the message is not in the text.
        """
        kept = message.strip()
        if kept not in text:
            raise ModelError("model", "its chat template drops or changes the user's message.", _ADVICE)
        for around in (self._around, self.render(self._sentinel).split(self._sentinel)):
            for form in (message, kept, message.lstrip(), message.rstrip()):
                if form.join(around) == text:
                    return _places(around, len(form))
        return [found.span() for found in re.finditer(re.escape(kept), text)] if kept else []


def _apply(tokenizer: PreTrainedTokenizerBase, message: str) -> str:
    return str(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": message}], tokenize=False, add_generation_prompt=True
        )
    )


def _interrupt(worker: threading.Thread) -> None:
    """Raise an exception in a thread at its next step, so that a loop does not go on behind our back."""
    if worker.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(TimeoutError))


def _places(around: list[str], length: int) -> list[tuple[int, int]]:
    places, at = [], 0
    for part in around[:-1]:
        places.append((at + len(part), at + len(part) + length))
        at += len(part) + length
    return places
