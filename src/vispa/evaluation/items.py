"""The items of a task, checked one by one, and the reading of their files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StrictInt, StrictStr, ValidationInfo, field_validator

from vispa.errors import InputError
from vispa.files.reading import json_entries
from vispa.files.validation import validated
from vispa.modes.answers import read_letter
from vispa.records import Record
from vispa.request import LETTERS, MAX_CHARACTERS, Mode

# How far a distribution's sum may be from 1: published shares are rounded to two digits.
_ROUNDING = 0.011

_Probability = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
_Text = Annotated[StrictStr, Field(min_length=1)]


class TaskItem(Record):
    """One item of a task.

    Attributes:
        id: the data set's own identifier, unique within its task; figures are joined by it.
        mode: in which mode it is answered.
        text: the situation or question, for which values are selected.
        prompt: what a model is asked, in the data set's own words.
        options: texts of the answer options, in the order of their letters.
        attribute: whom the answer is for or what it is about (`POLPARTY_Democrat`, a country).
        gold_distribution: share of each option, as the file has it; sums to 1 up to rounding.
        vrd: values, rights or duties: the target of a steerable item, the gold of an Overton one.
        label: position of the right option, from 0.
        explanations: what an Overton response should cover.
    """

    id: StrictStr | StrictInt
    mode: Mode
    text: Annotated[_Text, Field(max_length=MAX_CHARACTERS)]
    prompt: Annotated[_Text, Field(max_length=MAX_CHARACTERS)]
    options: Annotated[tuple[_Text, ...], Field(max_length=len(LETTERS))] = ()
    attribute: _Text | None = None
    gold_distribution: tuple[_Probability, ...] | None = None
    vrd: tuple[_Text, ...] = ()
    label: int | None = None
    explanations: tuple[_Text, ...] = ()

    @property
    def target(self) -> str | None:
        """The item's values, rights or duties in one text."""
        return ", ".join(self.vrd) or None

    @field_validator("text", "options", "vrd", "explanations", "attribute", mode="before")
    @classmethod
    def _strip(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return tuple(entry.strip() if isinstance(entry, str) else entry for entry in value)
        return value.strip() if isinstance(value, str) else value

    @field_validator("gold_distribution")
    @classmethod
    def _check_gold(cls, shares: tuple[float, ...] | None, info: ValidationInfo) -> tuple[float, ...] | None:
        options = info.data.get("options", ())
        if shares is not None:
            if len(shares) != len(options):
                raise ValueError(f"has {len(shares)} shares, options {len(options)}")
            total = math.fsum(shares)
            if abs(total - 1) > _ROUNDING:
                raise ValueError(f"sums to {total:.4g}, not 1")
        return shares

    @field_validator("label")
    @classmethod
    def _check_label(cls, label: int | None, info: ValidationInfo) -> int | None:
        options = info.data.get("options", ())
        if label is not None and not 0 <= label < len(options):
            raise ValueError(f"is {label} with {len(options)} options")
        return label


def read_entries(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of a JSON list or a JSON Lines file, each with its place for messages.

    Raises:
        InputError: unreadable, not UTF-8, malformed, or something other than objects.
    """
    for _, place, entry in json_entries(path):
        if not isinstance(entry, Mapping):
            raise InputError(place, "is not an object.", 'Write {"id": …, …}.')
        yield place, entry


def read_item(
    entry: Mapping[str, Any], place: str, *, mode: Mode, fields: Mapping[str, str], options: tuple[str, ...] = ()
) -> TaskItem:
    """One item from its object in a file.

    A prompt that is missing is the text. A label is the letter or the text of an option. A
    single string may stand for a list of one.

    Args:
        entry: the object.
        place: where it is, for messages.
        mode: the task's.
        fields: name in `TaskItem` → name in the file, where the two differ.
        options: the task's own, for items without.

    Raises:
        InputError: names place, identifier and field.
    """
    names = {name: fields.get(name, name) for name in TaskItem.model_fields if name != "mode"}
    given = {name: entry[file_name] for name, file_name in names.items() if entry.get(file_name) is not None}
    if "id" in given:
        place = f"{place} (id {given['id']!r})"
    for name in ("id", "text"):
        if name not in given:
            raise InputError(place, f"has no field {names[name]!r}.", "Add it, or name the field under [fields].")
    given.setdefault("prompt", given["text"])
    given.setdefault("options", options)
    for name in ("vrd", "explanations"):
        if isinstance(given.get(name), str):
            given[name] = (given[name],)
    if "label" in given:
        given["label"] = _label(given["label"], given["options"], f"{place} field {names['label']}")
    advice = "Repair the item or leave it out."
    return validated(TaskItem, {"mode": mode, **given}, place, names=names, advice=advice)


def _label(label: object, options: object, place: str) -> int:
    texts = [option for option in options if isinstance(option, str)] if isinstance(options, list | tuple) else []
    position = read_letter(label, len(texts), texts) if isinstance(label, str) and 0 < len(texts) <= 26 else None
    if position is None:
        raise InputError(place, f"is {label!r}.", "Write the letter or the text of one of the options.")
    return position
