"""Comments of community models that have been written to files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, RootModel

from vispa.errors import InputError
from vispa.evaluation.methods.voice import Voice, check_count, item_key
from vispa.files.append_log import Identifier
from vispa.files.door import read_bytes
from vispa.files.reading import JSON_LINES, json_entries, read_json
from vispa.files.validation import validated
from vispa.items.asking import situation
from vispa.items.item import Item
from vispa.modes.prompts import Prompts
from vispa.readers.base import Failure
from vispa.request import Sampling

K = TypeVar("K")
V = TypeVar("V")

_SUFFIXES = (".json", *JSON_LINES)
_COMMENT_FIELDS = ("comment", "output")
_TEXT_FIELDS = ("situation", "question", "text", "input")


class FileCommunity:
    """Comments from files, one file a community model.

    Each file (`*.json`, or `*.jsonl` with one object a line) is written in one of two ways. As
    Modular Pluralism writes it: an object of the items' identifiers with their comments,
    `{"17": "…", "18": "…"}`, or a list of such objects. Or as a list of objects with the comment
    as `comment` or `output` and the item's own `id`, its text (`situation`, `question`, `text` or
    `input`), or both. Files are joined to items by identifier where an object has one, else by
    exact text, never by position; where it has both, both must agree.

    Args:
        folder: of the files; a file's name without suffix is what its model is called.

    Raises:
        InputError: no file, an object without comment or without anything to join by, or two
            different comments of a model on one item.
    """

    def __init__(self, folder: Path) -> None:
        files = sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES)
        if not files:
            raise InputError(str(folder), f"holds no *{' or *'.join(_SUFFIXES)}.", "Give one file a community model.")
        check_count(len(files), str(folder))
        self._members = {path.stem: _Member(path) for path in files}
        if len(self._members) < len(files):
            raise InputError(str(folder), "holds two files of one name.", "Name each file after its model.")
        digests = {path.stem: hashlib.sha256(read_bytes(path, "items")).hexdigest() for path in files}
        self.settings: dict[str, Any] = {"files": digests}

    def comments(self, items: Sequence[Item], prompts: Prompts, sampling: Sampling) -> list[list[Voice] | Failure]:
        """See `Community.comments`; an item on which a model has no comment fails."""
        return [self._voices(item) for item in items]

    def _voices(self, item: Item) -> list[Voice] | Failure:
        voices = []
        for name, member in self._members.items():
            text = member.comment(item)
            if text is None:
                return Failure(f"The community model {name} has no comment on it.")
            voices.append(Voice(name, text, name))
        return voices


class _Entry(BaseModel):
    """One object of a community file; what else it holds is left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    id: int | str | None = None
    comment: str | None = None
    output: str | None = None
    situation: str | None = None
    question: str | None = None
    text: str | None = None
    input: str | None = None

    def first(self, names: Sequence[str]) -> str | None:
        """The first of some fields that is there."""
        texts: list[str | None] = [getattr(self, name) for name in names]
        return next((text.strip() for text in texts if text is not None), None)


class _Named(RootModel[dict[str, str]]):
    """Identifier → comment, as Modular Pluralism writes it."""

    model_config = ConfigDict(strict=True)


class _Member:
    """The comments of one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._by_id: dict[tuple[bool, Identifier], tuple[str | None, str]] = {}
        # An object's names are texts, whatever the identifiers are in the task.
        self._by_name: dict[str, str] = {}
        self._by_text: dict[str, str] = {}
        for place, entry in _entries(path):
            if isinstance(entry, Mapping) and not set(entry) & set(_Entry.model_fields):
                for name, comment in validated(_Named, entry, place).root.items():
                    self._keep(self._by_name, name, comment.strip(), place)
            else:
                self._add(validated(_Entry, entry, place), place)
        if not (self._by_id or self._by_name or self._by_text):
            raise InputError(str(path), "holds no comment.", "Give the comments of one model on the task's items.")

    def _add(self, entry: _Entry, place: str) -> None:
        comment, text = entry.first(_COMMENT_FIELDS), entry.first(_TEXT_FIELDS)
        if comment is None:
            raise InputError(place, f"has no text {' or '.join(_COMMENT_FIELDS)}.", "Add the model's comment.")
        if entry.id is not None:
            self._keep(self._by_id, (isinstance(entry.id, str), entry.id), (text, comment), place)
        elif text is not None:
            self._keep(self._by_text, text, comment, place)
        else:
            raise InputError(place, "has neither id nor text.", f"Add id, or one of {', '.join(_TEXT_FIELDS)}.")

    @staticmethod
    def _keep(known: dict[K, V], key: K, comment: V, place: str) -> None:
        """Keep a comment, unless another one is there."""
        if known.setdefault(key, comment) != comment:
            raise InputError(place, "comments anew on an item that has a comment.", "Keep one comment an item.")

    def comment(self, item: Item) -> str | None:
        """The comment on an item.

        Raises:
            InputError: the identifier's text in the file is another one, so the file belongs to another task.
        """
        texts = (item.text, item.prompt, situation(item))
        text, comment = self._by_id.get(item_key(item), (None, None))
        if comment is None:
            by_text = next((self._by_text[text] for text in texts if text in self._by_text), None)
            return self._by_name.get(str(item.id), by_text)
        if text is not None and text not in texts:
            raise InputError(
                f"{self.path} id {item.id!r}", "has another text than the task's item.", "Give this task's comments."
            )
        return comment


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """What a community file holds, each with its place: one object, or the entries of a list."""
    if path.suffix.lower() in JSON_LINES:
        yield from ((place, value) for _, place, value in json_entries(path))
        return
    found = read_json(path, "items")
    if isinstance(found, list):
        yield from ((f"{path} item {number}", entry) for number, entry in enumerate(found, 1))
    else:
        yield str(path), found
