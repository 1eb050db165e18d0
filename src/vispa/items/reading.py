"""Reading files of situations: VITAL and Modular Pluralism JSON, JSON Lines, CSV, plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vispa.errors import InputError
from vispa.files.append_log import Identifier
from vispa.files.door import read_text, text_lines
from vispa.files.reading import JSON_LINES, json_entries
from vispa.files.tables import DELIMITERS, read_table
from vispa.request import check_text

#: Fields that may hold an item's text, in this order.
TEXT_FIELDS = ("situation", "text", "question", "prompt")


@dataclass(frozen=True)
class Item:
    """One text of a file.

    Attributes:
        id: the item's own identifier, or its number in the file (from 1) where it has none.
        text: the situation or question.
        prompt: the data set's own wording of the request (`input`), where it has one.
        options: what may be answered; empty where the item has no options.
        target: the value, right or duty (`vrd`) that the item asks about; several in one text.
        attribute: the group or country whose view the item asks for.
        gold: the population's distribution over the options, where the item has one.
    """

    id: Identifier
    text: str
    prompt: str | None = None
    options: tuple[str, ...] = ()
    target: str | None = None
    attribute: str | None = None
    gold: tuple[float, ...] = ()


def read_items(path: Path) -> list[Item]:
    """All items of a file; the suffix tells the format (.json, .jsonl, .csv, .tsv, else text lines).

    Raises:
        InputError: unreadable, not UTF-8, malformed (with the line), an item without text, no
            item at all, or an identifier that occurs twice.
    """
    suffix = path.suffix.lower()
    if suffix in (".json", *JSON_LINES):
        items = [_item(entry.value, entry.number, entry.place) for entry in json_entries(path)]
    elif suffix in DELIMITERS:
        items = list(_from_table(path))
    else:
        lines = enumerate(text_lines(read_text(path, "items")), 1)
        items = [Item(number, line.strip()) for number, line in lines if line.strip()]
    if not items:
        raise InputError(str(path), "holds no item.", "Give at least one situation.")
    check_unique((item.id for item in items), path)
    return items


def check_item_text(item: Item) -> None:
    """Refuse an item whose text cannot be answered, by its identifier; see `check_text`."""
    try:
        check_text(item.text)
    except InputError as error:
        raise InputError(f"item {item.id!r}: text", error.problem, error.advice) from error


def check_unique(identifiers: Iterable[Identifier], path: Path) -> None:
    """Refuse an identifier that occurs twice; the number 1 and the text "1" are different ones.

    Raises:
        InputError: names the file and the identifier.
    """
    seen: set[tuple[bool, Identifier]] = set()
    for identifier in identifiers:
        key = (isinstance(identifier, str), identifier)
        if key in seen:
            raise InputError(str(path), f"holds the id {identifier!r} twice.", "Give every item an id of its own.")
        seen.add(key)


def _from_table(path: Path) -> Iterator[Item]:
    table = read_table(path, kind="items")
    if not set(TEXT_FIELDS) & set(table.columns):
        columns = ", ".join(table.columns)
        raise InputError(str(path), f"has the columns {columns}.", f"Name one of them {TEXT_FIELDS[0]}.")
    for number, row in enumerate(table.rows, 1):
        # An empty field of a table is one that is not there.
        yield _item({column: text for column, text in row.fields.items() if text.strip()}, number, row.place)


def _item(entry: object, number: int, place: str) -> Item:
    # pydantic is loaded where a file is read, not where the command line is.
    from vispa.files.validation import validated
    from vispa.items.fields import ItemFields

    if isinstance(entry, str):
        entry = {"text": entry}
    if not isinstance(entry, Mapping):
        raise InputError(place, "is neither an object nor a text.", 'Write {"text": "…"}.')
    name = next((name for name in TEXT_FIELDS if entry.get(name)), None)
    if name is None or not isinstance(entry[name], str) or not entry[name].strip():
        raise InputError(place, "has no text.", f"Give one of the fields {', '.join(TEXT_FIELDS)}.")
    found = validated(ItemFields, {field: entry[field] for field in ItemFields.model_fields if field in entry}, place)
    return Item(
        number if found.id is None or found.id == "" else found.id,
        entry[name].strip(),
        prompt=found.input,
        options=found.options or (),
        target=", ".join(found.vrd) or None if isinstance(found.vrd, tuple) else found.vrd,
        attribute=found.attribute,
        gold=found.gold_distribution or (),
    )
