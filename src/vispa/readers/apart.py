"""An item that cannot be answered fails alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from vispa.errors import TextError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def answered_apart(
    items: Sequence[Item],
    answer: Callable[[Sequence[Item]], Sequence[Answer]],
    failed: Callable[[TextError], Answer],
) -> list[Answer]:
    """Answers to items that are answered together, those that cannot be answered parted from the others.

    Items of which one is a text that a model cannot take are halved until it stands alone. The parts depend
    on the items only, so that the same items give the same batches again.

    Args:
        items: N of any kind.
        answer: gives an answer to each item, or raises.
        failed: what an item gets that cannot be answered even alone.

    Returns:
        N answers in the order of the items.
    """
    try:
        return list(answer(items))
    except TextError as error:
        if len(items) == 1:
            return [failed(error)]
    half = len(items) // 2
    return [*answered_apart(items[:half], answer, failed), *answered_apart(items[half:], answer, failed)]
