"""Asking in words: a request for a comment with a persona's sentence before it, the rival of steering."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from vispa.models.encoding import Prompt, chat_prompt
from vispa.models.loading import LoadedModel
from vispa.modes.prompts import built_in_prompts
from vispa.modes.templates import filled
from vispa.study.expression import Situation, asked_situations
from vispa.taxonomy import Value


def persona_situations(loaded: LoadedModel, values: Iterable[Value], texts: Sequence[str]) -> tuple[Situation, ...]:
    """Texts with the package's request for a comment, and for each value the same request to its persona."""
    ask, known = built_in_prompts(loaded.name).comment, list(values)

    def named(text: str) -> dict[str, Prompt]:
        message = filled(ask, text=text)
        return {value.slug: chat_prompt(loaded, f"{persona(value)}\n{message}", text) for value in known}

    return tuple(replace(one, personas=named(one.text)) for one in asked_situations(loaded, texts))


def persona(value: Value) -> str:
    """A sentence that makes the model someone who holds a value, with its definition."""
    what = f"avoiding {value.label}" if value.polarity == "avoid" else value.label
    return f"You are a person for whom {what} counts more than anything else. By it you mean: {value.definition}"
