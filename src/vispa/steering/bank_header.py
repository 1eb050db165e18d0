"""The header of a bank's file, checked as a whole."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, model_validator

from vispa.errors import BankError, InputError
from vispa.files.names import LONGEST_NAME, check_name
from vispa.files.reading import parse_json
from vispa.files.validation import FileModel, validated
from vispa.steering.estimators.base import Contrast
from vispa.steering.readings import Reading

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


class InfoHeader(FileModel):
    """The fields of `vispa.steering.bank.BankInfo`."""

    model: str
    model_fingerprint: Digest
    taxonomy_fingerprint: Digest
    values: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_once)]
    versions: dict[str, str]
    sentences: tuple[Digest, ...] = ()
    tokenizer: Digest | Literal[""] = ""

    @model_validator(mode="after")
    def _one_each(self) -> InfoHeader:
        if self.sentences and len(self.sentences) != len(self.values):
            raise ValueError(f"{len(self.sentences)} sentences' fingerprints for {len(self.values)} values")
        return self


class EntryHeader(FileModel):
    """How an entry's directions came about."""

    reading: Reading
    contrast: Contrast
    imported: bool = False


class StrengthsHeader(FileModel):
    """What was measured for a recipe: value → fraction of the residual norm."""

    recipe: dict[str, Any]
    fractions: dict[Name, Annotated[float, Field(gt=0)]]


class BankHeader(FileModel):
    """All that a bank's file says beside its tensors."""

    format: str
    info: InfoHeader
    entries: dict[Name, EntryHeader]
    recipe: dict[str, Any]
    strengths: tuple[StrengthsHeader, ...] = ()
    tuning: dict[str, JsonValue] | None = None
    digests: dict[str, Digest] = Field(default_factory=dict)


def parsed_header(text: str, place: str) -> BankHeader:
    """A header from its JSON text.

    Args:
        text: the JSON text.
        place: the file, for messages.

    Raises:
        BankError: not of a bank, or with a field that cannot be; the message names it.
    """
    try:
        data = parse_json(text, place)
    except InputError:
        data = None
    kind = data.get("format") if isinstance(data, dict) else None
    if kind not in (FORMAT, *OLDER_FORMATS):
        raise BankError(place, f"is not a bank of format {FORMAT}.", BANK_ADVICE)
    return validated(BankHeader, data, place, advice=BANK_ADVICE, error=BankError)
