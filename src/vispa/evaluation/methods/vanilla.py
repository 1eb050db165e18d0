"""The model alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vispa.evaluation.items import TaskItem
from vispa.evaluation.methods.asking import asks_stance, comment_request, item_case, target
from vispa.evaluation.methods.base import Bench, option_answers, written_answers
from vispa.evaluation.records import MethodAnswer
from vispa.modes.questions import lettered, option_prompt


class Vanilla:
    """Overton: the response to the plain request. Options: their probabilities after the plain question.

    The question names target and country, so that the model knows whose answer is asked for.
    """

    name = "vanilla"

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.settings: dict[str, Any] = {}

    def answer(self, items: Sequence[TaskItem]) -> list[MethodAnswer]:
        """See `Method.answer`."""
        if items and items[0].mode == "overton":
            return written_answers(self.bench, [comment_request(item, self.bench.wording) for item in items])
        return option_answers(self.bench, items, [self.question(item) for item in items])

    def question(self, item: TaskItem) -> str:
        """The text after which a letter is due."""
        case = item_case(item)
        if self.bench.own_stances and asks_stance(item):
            listed = lettered(case.options)
            return self.bench.prompts.named_stance.format(text=case.text, target=case.target, options=listed)
        asked = option_prompt(case, self.bench.wording, None)
        named = target(item)
        if named is None or named in asked:
            return asked
        line = self.bench.prompts.toward_value if item.vrd else self.bench.prompts.toward_group
        return f"{line.format(target=case.target)}\n{asked}"
