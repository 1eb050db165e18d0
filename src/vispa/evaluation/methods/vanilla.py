"""The model alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vispa.evaluation.methods.base import Bench, option_answers, written_answers
from vispa.evaluation.methods.prompts import MethodPrompts
from vispa.evaluation.runs.folder import MethodAnswer
from vispa.items.asking import asks_stance, comment_request, item_case, target
from vispa.items.item import Item
from vispa.modes.prompts import Prompts
from vispa.modes.questions import lettered, option_prompt
from vispa.modes.templates import filled


class Vanilla:
    """Overton: the response to the plain request. Options: their probabilities after the plain question.

    The question names target and country, so that the model knows whose answer is asked for.
    """

    name = "vanilla"

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.settings: dict[str, Any] = {}

    def answer(self, items: Sequence[Item]) -> list[MethodAnswer]:
        """See `Method.answer`."""
        if items and items[0].mode == "overton":
            return written_answers(self.bench, [comment_request(item, self.bench.wording) for item in items])
        return option_answers(self.bench, items, [self.question(item) for item in items])

    def question(self, item: Item) -> str:
        """The text after which a letter is due."""
        if self.bench.own_stances and asks_stance(item):
            case = item_case(item)
            listed = lettered(case.options)
            return filled(self.bench.prompts.named_stance, text=case.text, target=case.target, options=listed)
        return plain_question(item, self.bench.wording, self.bench.prompts)


def plain_question(item: Item, wording: Prompts, prompts: MethodPrompts) -> str:
    """An item's question with its options; it says whose answer is asked for, where it does not itself.

    Args:
        item: with options.
        wording: of the question, where the item has none of its own.
        prompts: of the line that names the target.
    """
    case, named = item_case(item), target(item)
    asked = option_prompt(case, wording, None)
    if named is None or named in asked:
        return asked
    line = prompts.toward_value if item.vrd else prompts.toward_group
    return f"{filled(line, target=case.target)}\n{asked}"
