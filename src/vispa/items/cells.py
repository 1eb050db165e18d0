"""Lists in the cells of a table, whose fields are all texts: with `|` between the parts, or as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vispa.errors import InputError
from vispa.files.reading import field_place, parse_json, shortened
from vispa.request import texts


def with_lists(fields: Mapping[str, Any], names: Mapping[str, str], place: str) -> dict[str, Any]:
    """The fields of a row, with the lists that some of them hold.

    A cell that begins with a bracket is a JSON list, as a part that holds a `|` itself needs it.

    Args:
        fields: field of `vispa.items.item.Item` → its cell, which is not empty.
        names: what the fields are called in the file.
        place: of the row, for messages.

    Raises:
        InputError: a cell that holds no list; names place and field.
    """
    return {
        field: _list(cell, *_LISTS[field], field_place(place, (names[field],))) if field in _LISTS else cell
        for field, cell in fields.items()
    }


def _list(cell: str, parted: Callable[[str], Sequence[Any] | None], example: str, place: str) -> Sequence[Any]:
    if not cell.lstrip().startswith("["):
        found = parted(cell)
        if found is None:
            raise InputError(place, f"is {shortened(cell)}.", f"Write {example}.")
        return found
    try:
        found = parse_json(cell, place)
    except InputError as error:
        raise InputError(place, error.problem, f"Write {example}.") from error
    # JSON that begins with a bracket is a list.
    return list(found)


def _options(cell: str) -> Sequence[str] | None:
    """As `--options` takes them: a text without the sign is most likely parted by another."""
    return texts(cell, "|", "options") if "|" in cell else None


def _texts(cell: str) -> Sequence[str]:
    """One text stands for a list of one."""
    return [part.strip() for part in cell.split("|")]


def _numbers(cell: str) -> Sequence[float] | None:
    try:
        # Python reads 1_000 as a number, and nobody else does.
        return None if "_" in cell else [float(part) for part in cell.split("|")]
    except ValueError:
        return None


_TEXTS = (_texts, 'texts with | between them, such as Care|Public health, or a JSON list such as ["Care"]')
# The fields of items that are lists: how a cell without brackets is read, and what to write.
_LISTS: dict[str, tuple[Callable[[str], Sequence[Any] | None], str]] = {
    "options": (_options, 'them with | between them, such as Yes|No, or as a JSON list such as ["Yes"]'),
    "gold_distribution": (
        _numbers,
        "numbers with | between them, such as 0.25|0.75, or a JSON list such as [0.25, 0.75]",
    ),
    "vrd": _TEXTS,
    "explanations": _TEXTS,
}
