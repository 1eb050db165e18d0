"""The model asked in words for many values, or for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vispa.evaluation.methods.base import Bench, option_answers, written_answers
from vispa.evaluation.runs.folder import MethodAnswer
from vispa.items.asking import item_case, situation
from vispa.items.item import Item
from vispa.modes.questions import option_prompt
from vispa.modes.templates import filled


class Prompting:
    """Overton: asked for many values. Steerable: asked to answer as the target. Distributional: as many people."""

    name = "prompting"

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.settings: dict[str, Any] = {}

    def answer(self, items: Sequence[Item]) -> list[MethodAnswer]:
        """See `Method.answer`."""
        if items and items[0].mode == "overton":
            diverse = self.bench.wording.diverse
            return written_answers(self.bench, [filled(diverse, text=situation(item)) for item in items])
        return option_answers(self.bench, items, [self.question(item) for item in items])

    def question(self, item: Item) -> str:
        """The instruction, and the text after which a letter is due."""
        case, prompts = item_case(item, own_stances=self.bench.own_stances), self.bench.prompts
        if item.mode == "steerable":
            instruction = filled(prompts.as_value if item.vrd else prompts.as_group, target=case.target)
        elif case.country:
            instruction = filled(prompts.many_in, country=case.country)
        else:
            instruction = prompts.many
        return f"{instruction}\n{option_prompt(replace(case, country=None), self.bench.wording, None)}"
