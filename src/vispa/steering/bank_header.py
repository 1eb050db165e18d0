"""The header of a bank's file, checked as a whole."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vispa.errors import BankError, InputError
from vispa.files.names import LONGEST_NAME, check_name
from vispa.steering.activations import Reading
from vispa.steering.estimators import Contrast

#: Raise the number when activations are read or directions fitted in another way: banks of other
#: numbers are fitted anew.
FORMAT = "vispa-bank-3"
#: Had no checksums.
OLDER_FORMATS = ("vispa-bank-2",)

#: What to do about a bank that cannot be used.
BANK_ADVICE = "Fit it anew with `vispa fit --force`."


def _named(name: str) -> str:
    try:
        check_name("", name)
    except InputError as error:
        raise ValueError(error.problem) from error
    return name


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} is named twice")
    return names


#: Part of a file's name in the cache, so that nothing else than a digest may stand there.
Digest = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_named)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, protected_namespaces=())


class InfoHeader(_Part):
    """The fields of `vispa.steering.bank.BankInfo`."""

    model: str
    model_fingerprint: Digest
    taxonomy_fingerprint: Digest
    values: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_once)]
    versions: dict[str, str]


class EntryHeader(_Part):
    """How an entry's directions came about."""

    reading: Reading
    contrast: Contrast
    imported: bool = False


class BankHeader(_Part):
    """All that a bank's file says beside its tensors."""

    format: str
    info: InfoHeader
    entries: dict[Name, EntryHeader]
    recipe: dict[str, Any]
    digests: dict[str, Digest] = {}


def parsed_header(text: str, place: str) -> BankHeader:
    """A header from its JSON text.

    Args:
        text: the JSON text.
        place: the file, for messages.

    Raises:
        BankError: not of a bank, or with a field that cannot be; the message names it.
    """
    kind = _format(text)
    if kind not in (FORMAT, *OLDER_FORMATS):
        raise BankError(place, f"is not a bank of format {FORMAT}.", BANK_ADVICE)
    try:
        return BankHeader.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"] if part != "[key]")
        problem = first["msg"].removeprefix("Value error, ")
        raise BankError(place, f"has a header whose field {field!r} cannot be ({problem}).", BANK_ADVICE) from error


def _format(text: str) -> object:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return header.get("format") if isinstance(header, dict) else None
