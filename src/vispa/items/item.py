"""One item of a file or task: a text, how it is to be answered, and what is known of the right answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictInt, StrictStr, ValidationInfo, field_validator

from vispa.records import Record
from vispa.request import LETTERS, Mode


def _stripped(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty, and needs at least 1 character")
    return text.strip()


_Text = Annotated[StrictStr, AfterValidator(_stripped)]
_Share = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class Item(Record):
    """One item of a file or task.

    Attributes:
        id: the data set's own identifier, unique within its file; figures are joined by it.
        mode: in which mode it is answered.
        text: the situation or question, for which values are selected.
        prompt: what a model is asked, in the data set's own words; the text where it has none.
        options: texts of the answer options, in the order of their letters.
        attribute: whom the answer is for or what it is about (`POLPARTY_Democrat`, a country).
        gold_distribution: share of each option, as the file has it.
        vrd: values, rights or duties: the target of a steerable item, the gold of an Overton one.
        label: position of the right option, from 0.
        explanations: what an Overton response should cover.

    Example:
        >>> Item(id=1, text="Feeding pigeons", vrd=("Care", "Public health")).target
        'Care, Public health'
    """

    id: StrictStr | StrictInt
    mode: Mode = "overton"
    text: _Text
    prompt: _Text = Field(default_factory=lambda given: str(given["text"]))
    options: Annotated[tuple[_Text, ...], Field(max_length=len(LETTERS))] = ()
    attribute: _Text | None = None
    gold_distribution: tuple[_Share, ...] | None = None
    vrd: tuple[_Text, ...] = ()
    label: int | None = None
    explanations: tuple[_Text, ...] = ()

    @property
    def target(self) -> str | None:
        """The item's values, rights or duties in one text."""
        return ", ".join(self.vrd) or None

    @field_validator("label")
    @classmethod
    def _check_label(cls, label: int | None, info: ValidationInfo) -> int | None:
        options = info.data.get("options", ())
        if label is not None and not 0 <= label < len(options):
            raise ValueError(f"is {label} with {len(options)} options")
        return label
