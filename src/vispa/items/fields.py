"""What an item of a file may say beside its text, checked by a model."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from vispa.files.append_log import Identifier
from vispa.files.validation import FileModel


def _stripped(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text.strip()


def _stripped_or_none(text: str | None) -> str | None:
    return text.strip() or None if text is not None else None


_Text = Annotated[str, AfterValidator(_stripped)]
_OptionalText = Annotated[str | None, AfterValidator(_stripped_or_none)]
_Share = Annotated[float, Field(ge=0)]


class ItemFields(FileModel):
    """The fields with a meaning; see `vispa.items.reading.Item` for what they say.

    Attributes:
        id: identifier; empty where the item has none.
        input: the data set's own wording of the request.
        options: what may be answered.
        vrd: value, right or duty; or several.
        attribute: group or country.
        gold_distribution: share of each option.
    """

    model_config = ConfigDict(extra="ignore")

    id: Identifier | None = None
    input: _OptionalText = None
    options: tuple[_Text, ...] | None = None
    vrd: _OptionalText | tuple[_Text, ...] = None
    attribute: _OptionalText = None
    gold_distribution: tuple[_Share, ...] | None = None
