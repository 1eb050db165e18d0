"""Role agents: personas that the model writes for each situation, and the comment of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from vispa.evaluation.methods.base import Bench
from vispa.evaluation.methods.voice import Voice
from vispa.evaluation.methods.voices import answer_from_voices, where_spoken
from vispa.evaluation.runs.folder import MethodAnswer
from vispa.generation.rows import Generated
from vispa.items.asking import comment_request, situation
from vispa.items.item import Item
from vispa.models.encoding import chat_prompt
from vispa.modes.templates import filled
from vispa.readers.base import Failure, Unfinished

# `1.`, `2)`, `- `, `* `, `Person 3:` at the start of a line.
_MARK = re.compile(r"^\s*(?:[-*•]\s+|\**(?:person|persona)?\s*#?\d+\s*[.):]\**\s*)", re.IGNORECASE)


class Personas:
    """Three steps, each one batch: the personas of all items, the comments of all personas, the answers.

    After EthosAgents (see the paper's section on baselines); the wording is this package's own.
    """

    name = "personas"

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.settings: dict[str, Any] = {"personas": bench.personas}

    def answer(self, items: Sequence[Item]) -> list[MethodAnswer]:
        """See `Method.answer`; an item for which the model writes no persona fails."""
        asked = [filled(self.bench.prompts.personas, text=situation(item), count=self.bench.personas) for item in items]
        lists = self.bench.say(asked, self.bench.response_tokens)
        personas = [read_personas(one.text, self.bench.personas) for one in lists]
        speaking = [i for i, found in enumerate(personas) if found]
        heard = [items[i] for i in speaking]
        voices = self._comments(heard, [personas[i] for i in speaking])
        found = where_spoken(heard, voices, partial(answer_from_voices, self.bench))
        answers = dict(zip(speaking, found, strict=True))
        return [_with_tokens(answers.get(i, _silent(one)), one) for i, one in enumerate(lists)]

    def _comments(self, items: Sequence[Item], personas: Sequence[Sequence[str]]) -> list[list[Voice] | Failure]:
        """What each persona says to its item."""
        messages = [
            filled(
                self.bench.prompts.persona_comment, persona=persona, request=comment_request(item, self.bench.wording)
            )
            for item, mine in zip(items, personas, strict=True)
            for persona in mine
        ]
        prompts = iter(chat_prompt(self.bench.vispa.model, message).text for message in messages)
        said = iter(self.bench.say(messages, self.bench.max_new_tokens))
        voices: list[list[Voice] | Failure] = []
        for mine in personas:
            texts, asked = [next(said) for _ in mine], [next(prompts) for _ in mine]
            if any(text.unfinished for text in texts):
                voices.append(Unfinished())
                continue
            voices.append(
                [
                    Voice(f"person {number}", text.text, persona, text.tokens, prompt)
                    for number, (persona, text, prompt) in enumerate(zip(mine, texts, asked, strict=True), 1)
                ]
            )
        return voices


def read_personas(text: str, count: int) -> list[str]:
    """The personas in a model's list, at most `count`, each once.

    Lines with a number or bullet count where there are any, all lines otherwise.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if _MARK.match(line)]
    found = [_MARK.sub("", line).strip(" *\t") for line in marked or lines]
    return list(dict.fromkeys(persona for persona in found if persona))[:count]


def _silent(listed: Generated) -> MethodAnswer:
    return MethodAnswer(error=Unfinished().reason if listed.unfinished else "The model wrote no persona.")


def _with_tokens(answer: MethodAnswer, listed: Generated) -> MethodAnswer:
    return answer.model_copy(update={"tokens": answer.tokens + listed.tokens})
