"""What says nothing of its own, to be read beside what does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vispa.evaluation.methods.base import Bench
from vispa.evaluation.runs.folder import MethodAnswer
from vispa.items.item import Item
from vispa.request import LETTERS


class Echo:
    """Overton: the item's own text, which only restates the situation. Options: all equally likely, the first taken."""

    name = "echo"

    def __init__(self, bench: Bench) -> None:
        self.settings: dict[str, Any] = {}

    def answer(self, items: Sequence[Item]) -> list[MethodAnswer]:
        """See `Method.answer`."""
        return [_echo(item) for item in items]


def _echo(item: Item) -> MethodAnswer:
    if item.mode == "overton":
        return MethodAnswer(response=item.text)
    share = 1 / len(item.options)
    return MethodAnswer(response=item.options[0], answer=LETTERS[0], distribution=tuple(share for _ in item.options))
