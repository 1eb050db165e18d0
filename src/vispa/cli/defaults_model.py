"""What a configuration file of the command line may hold; apart from `defaults`, because pydantic loads slowly."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, create_model

from vispa.cli.grouping import Configurable, OptionField
from vispa.files.reading import shortened
from vispa.files.validation import FileModel


def defaults_file(options: Iterable[OptionField], *others: str) -> type[FileModel]:
    """Model of a configuration file.

    Args:
        options: the configurable ones, each under the name of its parameter.
        others: names of texts that are no options.
    """
    types = {name: _text(Configurable()) for name in others}
    types |= {one.name: _type(one.type, one.configurable) for one in options if one.configurable is not None}
    known: dict[str, Any] = {name: (kind, None) for name, kind in types.items()}
    return create_model("DefaultsFile", __base__=FileModel, **known)


def _type(kind: Any, rule: Configurable) -> Any:
    if kind in (int, float):
        return Annotated[kind, Field(ge=rule.least, le=rule.most)]
    if rule.pattern is not None:
        # One check of all that may be given: of a union pydantic would speak of each part by itself.
        return Annotated[int | str if rule.also is int else str, AfterValidator(partial(_matching, rule))]
    return dict[str, JsonValue] | _text(rule) if rule.also is dict else _text(rule)


def _text(rule: Configurable) -> Any:
    if rule.choices:
        return Literal[rule.choices]
    return Annotated[str, Field(min_length=0 if rule.may_be_empty else 1)]


def _matching(rule: Configurable, given: int | str) -> int | str:
    if re.fullmatch(rule.pattern or "", str(given)) is None:
        raise ValueError(f"is {shortened(given)}; it should be {rule.meant}")
    return given
