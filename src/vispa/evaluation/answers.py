"""What a record says of an item's options."""

from __future__ import annotations

from vispa.errors import InputError
from vispa.evaluation.runs.folder import ItemRecord
from vispa.items.item import Item
from vispa.request import LETTERS


def answer_position(record: ItemRecord, item: Item) -> int | None:
    """Position of the option whose letter a record holds; None if it holds none of the item's."""
    letter = (record.answer or "").strip().upper()
    position = LETTERS.find(letter) if len(letter) == 1 else -1
    return position if 0 <= position < len(item.options) else None


def predicted_distribution(record: ItemRecord | None, item: Item) -> tuple[float, ...] | None:
    """The distribution over an item's options; all on the letter where a record has only that.

    Raises:
        InputError: it has not a number for each option.
    """
    if record is None or record.error is not None:
        return None
    if record.distribution is not None:
        if len(record.distribution) != len(item.options):
            raise InputError(
                f"record of item {item.id!r}",
                f"has {len(record.distribution)} probabilities for {len(item.options)} options.",
                "Make the run anew with the data it is scored with.",
            )
        return record.distribution
    position = answer_position(record, item)
    return None if position is None else tuple(float(place == position) for place in range(len(item.options)))
