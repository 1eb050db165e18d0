"""A model's chat template: what it writes around a message, within limits of time and length."""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
import threading
from functools import cache
from typing import TYPE_CHECKING

from vispa.errors import ModelError
from vispa.files.visible import first_line
from vispa.models import template_probe
from vispa.models.control_tokens import secret_name
from vispa.once import once_property

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A template takes a millisecond.
_SECONDS = 5.0
# The same in the time of a busy machine, the start of a process included.
_PROBE_SECONDS = 6 * _SECONDS
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
        """The template.

        Raises:
            ModelError: there are several, and none is named `default`.
        """
        try:
            return str(self._tokenizer.get_chat_template())
        except ValueError as error:
            raise _unusable(error) from error

    @property
    def written(self) -> str:
        """All that the template writes around a message."""
        return "\n".join(self._around)

    @once_property
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
        variables = {
            **self._tokenizer.special_tokens_map,
            "messages": [{"role": "user", "content": self._sentinel}],
            "add_generation_prompt": True,
            "tools": None,
            "documents": None,
        }
        _check_end(json.dumps({"source": self.source, "variables": variables}))
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
            raise _endless()
        text = found[0]
        if isinstance(text, BaseException):
            raise _unusable(text) from text
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


@cache
def _check_end(given: str) -> None:
    """Let a process that can be killed render the template once.

    A template may loop, or double a text, in one step that nothing in this process could stop.
    """
    probe = [sys.executable, "-I", template_probe.__file__]
    try:
        ended = subprocess.run(probe, input=given.encode(), capture_output=True, timeout=_PROBE_SECONDS, check=False)
    except OSError:
        return  # No processes here: the clock of `Scaffold.render` is what there is.
    except subprocess.TimeoutExpired as error:
        raise _endless() from error
    if ended.returncode == template_probe.TOO_LARGE:
        raise ModelError("model", "its chat template writes without bounds.", _ADVICE)
    if ended.returncode < 0:
        raise _endless()


def _endless() -> ModelError:
    return ModelError("model", "its chat template does not end, and was stopped after seconds.", _ADVICE)


def _unusable(error: BaseException) -> ModelError:
    return ModelError("model", f"its chat template cannot be used: {first_line(error)[:200]}.", _ADVICE)


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
