"""The file `values.toml`, checked as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field

from vispa.errors import InputError, TaxonomyError
from vispa.files.names import check_name
from vispa.files.reading import read_toml
from vispa.files.validation import FileModel, validated
from vispa.files.visible import is_blank, visible_line
from vispa.taxonomy.value import Polarity, Value

#: Most values of a taxonomy; a bank of more would not fit into memory.
MAX_VALUES = 1000

# Labels and aliases stand in prompts, hypotheses and tables, where these signs mean something.
_MARKUP = "<>[]{}|`\\"


def _prose(text: str) -> str:
    if is_blank(text):
        raise ValueError("is empty")
    if visible_line(text) != text:
        raise ValueError(f"holds a line end or another control character ({visible_line(text)[:60]})")
    return text.strip()


def _name(text: str) -> str:
    text = _prose(text)
    sign = next((sign for sign in text if sign in _MARKUP), None)
    if sign is not None:
        raise ValueError(f"holds the sign {sign}; use words")
    if not any(map(str.isalnum, text)):
        raise ValueError("holds no letter or digit; use words")
    return text


Name = Annotated[str, Field(max_length=100), AfterValidator(_name)]
Prose = Annotated[str, Field(max_length=2000), AfterValidator(_prose)]
Fields = TypeVar("Fields", bound=FileModel)
Remark = Annotated[str, Field(max_length=2000), AfterValidator(lambda text: text and _prose(text))]


class NameFields(FileModel):
    """What a table of `values.LANGUAGE.toml` says; see `vispa.taxonomy.value.Names`."""

    label: Name
    definition: Prose


class ValueFields(NameFields):
    """What a table of `values.toml` says; see `vispa.taxonomy.Value`."""

    family: Name
    theory: Remark = ""
    source: Remark = ""
    polarity: Polarity = "promote"
    aliases: Annotated[tuple[Name, ...], Field(max_length=50)] = ()


def read_values(path: Path) -> list[Value]:
    """The values of a file, in its order.

    Args:
        path: TOML with a table for each value, named by its slug.

    Raises:
        TaxonomyError: unreadable, no TOML, no value or too many, or a value that cannot be; names table and field.
    """
    table = read_tables(path)
    if not table:
        raise TaxonomyError(str(path), "defines no value.", "Add a table such as [benevolence].")
    if len(table) > MAX_VALUES:
        raise TaxonomyError(str(path), f"defines {len(table):,} values.", f"Define at most {MAX_VALUES:,}.")
    return [_value(path, slug, fields) for slug, fields in table.items()]


def read_tables(path: Path) -> dict[str, Any]:
    """A TOML file of a taxonomy.

    Raises:
        TaxonomyError: unreadable, or no TOML.
    """
    try:
        return read_toml(path)
    except InputError as error:
        raise TaxonomyError(error.field, error.problem, error.advice) from error


def checked_slug(slug: str, place: str) -> str:
    """A slug, which names files and columns too.

    Raises:
        TaxonomyError: it is no name.
    """
    try:
        check_name(place, slug)
    except InputError as error:
        raise TaxonomyError(error.field, error.problem, error.advice) from error
    return slug


def _value(path: Path, slug: str, fields: Any) -> Value:
    checked_slug(slug, str(path))
    return Value(slug=slug, **checked_fields(ValueFields, path, slug, fields).model_dump())


def checked_fields(model: type[Fields], path: Path, slug: str, fields: Any) -> Fields:
    """The table of a value.

    Raises:
        TaxonomyError: it is none, or a field cannot be.
    """
    place = f"{path} [{slug}]"
    if not isinstance(fields, dict):
        raise TaxonomyError(place, "is not a table.", f"Write [{slug}] and its fields below it.")
    return validated(model, fields, place, error=TaxonomyError)
