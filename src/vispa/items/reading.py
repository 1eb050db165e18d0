"""Reading files of items: VITAL and Modular Pluralism JSON, JSON Lines, CSV, plain text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vispa.errors import InputError
from vispa.files.append_log import Identifier
from vispa.files.door import read_standard_input, read_text, text_lines
from vispa.files.reading import JSON_LINES, Entry, json_entries, parse_json
from vispa.files.tables import DELIMITERS, read_table
from vispa.items.cells import with_lists
from vispa.request import LETTERS, Mode, check_text

if TYPE_CHECKING:
    from vispa.items.item import Item

#: Where a file may be given that is piped in.
STANDARD_INPUT = Path("-")
#: What to do about an item that cannot be used.
ITEM_ADVICE = "Repair the item or leave it out."
# A letter and a text, as options are listed.
_MARKED = re.compile(r"\s*\(?[A-Za-z][.):]\s*(?P<text>.+)")


@dataclass(frozen=True)
class Layout:
    """How a file calls what its items say.

    Attributes:
        names: field of `Item` → its names in the file, of which the first that holds something counts;
            fields that are not named are not read.
        options: of items that list none themselves.
        numbered: whether an item may lack an identifier, and is then called by its number in the
            file, so that a bare text is an item too.
    """

    names: Mapping[str, tuple[str, ...]]
    options: tuple[str, ...] = ()
    numbered: bool = False


#: Files of situations or questions, as `vispa batch` takes them.
SITUATIONS = Layout(
    {
        "id": ("id",),
        "text": ("situation", "text", "question", "prompt"),
        "prompt": ("input",),
        "options": ("options",),
        "attribute": ("attribute",),
        "gold_distribution": ("gold_distribution",),
        "vrd": ("vrd",),
    },
    numbered=True,
)


def read_items(
    path: Path,
    mode: Mode = "overton",
    layout: Layout = SITUATIONS,
    check: Callable[[Item, str], None] = lambda item, place: None,
) -> list[Item]:
    """All items of a file; the suffix tells the format (.json, .jsonl, .csv, .tsv, else text lines).

    A single text may stand for a list of one. A label is the letter or the text of an option. How the cells of a
    table hold lists says `vispa.items.cells`.

    Args:
        path: of the file; `STANDARD_INPUT` holds JSON Lines where it begins with a brace, else a text a line.
        mode: in which the items are answered.
        layout: how the file calls what they say.
        check: refuses an item that lacks something, by its place in the file.

    Raises:
        InputError: unreadable, not UTF-8, malformed (with the line), an item without text or with
            a field that cannot be used, no item at all, or an identifier that occurs twice.
    """
    items, unnamed = [], {}
    in_cells = path.suffix.lower() in DELIMITERS
    for entry in _entries(path, layout):
        place, item = _item(entry, mode, layout, in_cells=in_cells)
        check(item, place)
        items.append(item)
        if not _has_id(entry, layout):
            unnamed[item.id] = place
    if not items:
        raise InputError(str(path), "holds no item.", "Give at least one situation.")
    check_unique((item.id for item in items), path, unnamed)
    return items


def check_item_text(item: Item) -> None:
    """Refuse an item whose text cannot be answered, by its identifier; see `check_text`."""
    check_text(item.text, f"item {item.id!r}: text")


def check_gold(items: Iterable[Item]) -> None:
    """Refuse the first item without a population's distribution over its options, by its identifier.

    Raises:
        InputError: names the item.
    """
    for item in items:
        gold = item.gold_distribution or ()
        if not gold or len(gold) != len(item.options) or not sum(gold) > 0:
            raise InputError(f"item {item.id!r}", "has no gold_distribution over its options.", "Give one share each.")


def check_unique(
    identifiers: Iterable[Identifier], path: Path, unnamed: Mapping[Identifier, str] = MappingProxyType({})
) -> None:
    """Refuse an identifier that occurs twice; the number 1 and the text "1" are different ones.

    Only where an item is called by its place are the two the same: in a table every identifier is a text.

    Args:
        identifiers: of all items.
        path: of their file.
        unnamed: of the items that have none of their own and are called by their number, with their places.

    Raises:
        InputError: names the file and the identifier.
    """
    found = Counter((isinstance(identifier, str), identifier) for identifier in identifiers)
    for number, place in unnamed.items():
        if found[False, number] > 1 or found[True, str(number)]:
            raise InputError(
                place,
                f"has no id and is called {number} by its place, which is another item's id.",
                "Give every item an id of its own, or none.",
            )
    for (_, identifier), count in found.items():
        if count > 1:
            raise InputError(str(path), f"holds the id {identifier!r} twice.", "Give every item an id of its own.")


# ---------------------------------------------------------------- formats: a new one is a function and a line here


def _entries(path: Path, layout: Layout) -> Iterator[Entry]:
    if path == STANDARD_INPUT:
        return _piped()
    suffix = path.suffix.lower()
    if suffix in (".json", *JSON_LINES):
        return json_entries(path)
    return _rows(path, layout) if suffix in DELIMITERS else _lines(path)


def _rows(path: Path, layout: Layout) -> Iterator[Entry]:
    table = read_table(path, kind="items")
    wanted = layout.names["text"]
    if not set(wanted) & set(table.columns):
        raise InputError(str(path), f"has the columns {', '.join(table.columns)}.", f"Name one of them {wanted[0]}.")
    for number, row in enumerate(table.rows, 1):
        yield Entry(number, row.place, row.fields)


def _lines(path: Path) -> Iterator[Entry]:
    return _texts(read_text(path, "items"), str(path))


def _texts(text: str, place: str) -> Iterator[Entry]:
    for number, line in enumerate(text_lines(text), 1):
        if line.strip():
            yield Entry(number, f"{place} line {number}", line)


def _piped() -> Iterator[Entry]:
    """What is piped in has no suffix: a brace at its beginning says that its lines are JSON."""
    place = "standard input"
    text = read_standard_input(place, "items")
    is_json = re.match(r"\s*\{", text) is not None
    for entry in _texts(text, place):
        yield entry._replace(value=parse_json(entry.value, entry.place)) if is_json else entry


# ---------------------------------------------------------------- from an entry to an item


def _item(entry: Entry, mode: Mode, layout: Layout, *, in_cells: bool) -> tuple[str, Item]:
    """An entry's place for messages, with its identifier where the layout wants one, and its item.

    Args:
        entry: of the file.
        mode: in which the item is answered.
        layout: how the file calls what its items say.
        in_cells: whether the entry is a row of a table, whose fields are all texts.
    """
    # pydantic is loaded where a file is read, not where the command line is.
    from vispa.files.validation import validated
    from vispa.items.item import Item

    place, table = entry.place, _table(entry, layout)
    names = {field: _name(table, known) for field, known in layout.names.items()}
    given = {field: table[name] for field, name in names.items() if not _says_nothing(table.get(name))}
    if layout.numbered:
        given.setdefault("id", entry.number)
    elif "id" in given:
        place = f"{place} (id {given['id']!r})"
    for field in ("id", "text"):
        if field not in given:
            raise _missing(place, field, layout)
    if in_cells:
        given = with_lists(given, names, place)
    given.setdefault("options", layout.options)
    for field in ("vrd", "explanations"):
        if isinstance(given.get(field), str):
            given[field] = (given[field],)
    if "label" in given:
        given["label"] = _label(given["label"], given["options"], f"{place} field {names['label']}")
    return place, validated(Item, {"mode": mode, **given}, place, names=names, advice=ITEM_ADVICE)


def _has_id(entry: Entry, layout: Layout) -> bool:
    table = _table(entry, layout)
    return any(not _says_nothing(table.get(name)) for name in layout.names["id"])


def _table(entry: Entry, layout: Layout) -> Mapping[str, Any]:
    if isinstance(entry.value, str) and layout.numbered:
        return {layout.names["text"][0]: entry.value}
    if not isinstance(entry.value, Mapping):
        if layout.numbered:
            raise InputError(entry.place, "is neither an object nor a text.", 'Write {"text": "…"}.')
        raise InputError(entry.place, "is not an object.", 'Write {"id": …, …}.')
    return entry.value


def _name(table: Mapping[str, Any], known: tuple[str, ...]) -> str:
    """The name that holds something, else the first."""
    return next((name for name in known if not _says_nothing(table.get(name))), known[0])


def _says_nothing(value: object) -> bool:
    """Whether a field is as good as none: empty fields of tables are, for one."""
    return value is None or (isinstance(value, str) and not value.strip())


def _missing(place: str, field: str, layout: Layout) -> InputError:
    known = layout.names[field]
    if layout.numbered:
        return InputError(place, "has no text.", f"Give one of the fields {', '.join(known)}.")
    advice = "Give it at least 1 character, or name the field under [fields]."
    return InputError(place, f"has no field {known[0]!r}.", advice)


def _label(label: object, options: object, place: str) -> int:
    """The place of the option that a label names, by its own text first: options may be letters themselves."""
    from vispa.modes.answers import plain, read_letter

    texts = [option for option in options if isinstance(option, str)] if isinstance(options, list | tuple) else []
    readable = isinstance(label, str) and 0 < len(texts) <= len(LETTERS)
    own = [number for number, text in enumerate(texts) if plain(text) == plain(str(label))]
    if not readable:
        position = None
    elif len(own) == 1:
        position = own[0]
    else:
        position = read_letter(str(label), len(texts), texts)
    marked = _MARKED.fullmatch(str(label))
    # `A. A little` where A is another option.
    if marked and position is not None and not own:
        others = texts[:position] + texts[position + 1 :]
        position = None if plain(marked["text"]) in map(plain, others) else position
    if position is None:
        raise InputError(place, f"is {label!r}.", "Write the letter or the text of one of the options.")
    return position
