"""One of the community comments, picked for the situation: the experts that Modular Pluralism compares with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vispa.evaluation.methods.base import Bench
from vispa.evaluation.methods.voice import Voice
from vispa.evaluation.methods.voices import answer_from_voices, where_spoken, with_voices
from vispa.evaluation.runs.folder import MethodAnswer
from vispa.files.visible import is_blank
from vispa.items.asking import item_case
from vispa.items.item import Item
from vispa.modes.case import NOTHING_SAID
from vispa.modes.readings import read_options
from vispa.modes.refusals import refuses
from vispa.modes.templates import filled
from vispa.readers.base import ChatModel, Failure
from vispa.request import LETTERS


class MoE:
    """One community comment, picked by the reader from the situation alone, whatever the mode.

    In Overton mode the comment is the response as it stands; in the others the question is
    answered with it as the only passage. The record keeps the picked comment.

    Raises:
        InputError: the bench has no community.
    """

    name = "moe"

    def __init__(self, bench: Bench) -> None:
        self.bench, self.community = bench, bench.needed_community(self.name)
        self.settings: dict[str, Any] = {"community": self.community.settings}

    def answer(self, items: Sequence[Item]) -> list[MethodAnswer]:
        """See `Method.answer`."""
        spoken = self.community.comments(items, self.bench.wording, self.bench.sampling)
        return where_spoken(items, [_with_words(voices) for voices in spoken], self._answer)

    def _answer(self, items: Sequence[Item], voices: Sequence[Sequence[Voice]]) -> list[MethodAnswer]:
        picked = [found if isinstance(found, Failure) else [found] for found in self._pick(items, voices)]
        answer = self._as_it_stands if items and items[0].mode == "overton" else self._as_passage
        answers = where_spoken(items, picked, answer)
        # Every member has spoken, also those that were not picked.
        return [
            found.model_copy(update={"tokens": sum(voice.tokens for voice in all_of_them)})
            for found, all_of_them in zip(answers, voices, strict=True)
        ]

    def _pick(self, items: Sequence[Item], voices: Sequence[Sequence[Voice]]) -> list[Voice | Failure]:
        reader: ChatModel = self.bench.vispa.reader
        prompts = [self._picking(item, spoken) for item, spoken in zip(items, voices, strict=True)]
        comments = [[voice.text for voice in spoken] for spoken in voices]
        found = read_options(reader, prompts, comments, self.bench.wording)
        return [
            fit if isinstance(fit, Failure) else spoken[int(fit.distribution.argmax())]
            for fit, spoken in zip(found, voices, strict=True)
        ]

    def _picking(self, item: Item, voices: Sequence[Voice]) -> str:
        listed = "\n".join(f"{letter}. {voice.text}" for letter, voice in zip(LETTERS, voices, strict=False))
        return filled(self.bench.prompts.best, text=item_case(item).text, comments=listed)

    @staticmethod
    def _as_it_stands(items: Sequence[Item], picked: Sequence[Sequence[Voice]]) -> list[MethodAnswer]:
        return [with_voices(MethodAnswer(response=voices[0].text), voices) for voices in picked]

    def _as_passage(self, items: Sequence[Item], picked: Sequence[Sequence[Voice]]) -> list[MethodAnswer]:
        return answer_from_voices(self.bench, items, picked)


def _with_words(voices: Sequence[Voice] | Failure) -> Sequence[Voice] | Failure:
    """The voices that say something."""
    if isinstance(voices, Failure):
        return voices
    return [voice for voice in voices if not (is_blank(voice.text) or refuses(voice.text))] or NOTHING_SAID
