"""Checking what a file holds as a whole, by a model of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from vispa.errors import InputError
from vispa.files.reading import check_value, field_place, shortened
from vispa.files.wanted import TOO_SHORT, wanted

ErrorT = TypeVar("ErrorT", bound=InputError)
ModelT = TypeVar("ModelT", bound=BaseModel)
#: What pydantic calls a field that the model does not have.
UNKNOWN = "extra_forbidden"


class FileModel(BaseModel):
    """Base of models of files: closed, immutable, of exact types, with finite numbers only."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())


def validated(
    model: type[ModelT],
    data: object,
    place: str,
    *,
    advice: str = "",
    names: Mapping[str, str] | None = None,
    error: type[InputError] = InputError,
) -> ModelT:
    """What a file holds, as a model of it.

    Types are exact as in JSON: no text becomes a number, no number a truth; lists may stand for
    tuples, and whole numbers for floats.

    Args:
        model: to check against.
        data: as `vispa.files.reading` gives it: texts, numbers, truths, None, lists and mappings.
        place: the file, or the entry in it.
        advice: what to do about a field that is wrong; said by the fault's kind where it is empty.
        names: name in the model → name in the file, where the two differ.
        error: class of the refusal.

    Raises:
        InputError: names place, field, what is wrong with it and what to do; of the class `error`.

    Example:
        >>> class Visit(FileModel):
        ...     days: int
        >>> validated(Visit, {"days": 3}, "visit.json").days
        3
    """
    try:
        check_value(data, place)
        return model.model_validate_json(json.dumps(data, default=dict), strict=True)
    except ValidationError as fault:
        raise refusal(fault, model, data, place, advice=advice, names=names, error=error) from fault
    except InputError as fault:
        raise error(fault.field, fault.problem, fault.advice) from fault


def validated_line(
    model: type[ModelT], line: bytes, place: str, *, advice: str = "", error: type[InputError] = InputError
) -> ModelT:
    """A line that this package wrote, as a model of it; faster than `validated`, and as exact.

    A model's text may hold any character, so that none is refused here but half surrogate pairs.

    Raises:
        InputError: see `validated`; or no JSON, or not UTF-8.
    """
    try:
        return model.model_validate_json(line, strict=True)
    except ValidationError as fault:
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            raise error(place, "is not valid JSON.", advice or "Repair the line.") from fault
        raise refusal(fault, model, data, place, advice=advice, error=error) from fault


def refusal(
    fault: ValidationError,
    model: type[BaseModel],
    data: object,
    place: str,
    *,
    advice: str = "",
    names: Mapping[str, str] | None = None,
    error: type[ErrorT],
) -> ErrorT:
    """The first fault that pydantic found, in this package's words; see `validated`."""
    found = first_fault(fault.errors(include_url=False), data)
    path = found.path
    if names and path and isinstance(path[0], str):
        path = (names.get(path[0], path[0]), *path[1:])
    where = field_place(place, path)
    if found.kind == UNKNOWN:
        known = [(names or {}).get(name, name) for name in model.model_fields]
        choices = f"Known: {', '.join(known)}." if len(path) == 1 else found.advice
        return error(where, found.problem, advice or choices)
    if found.should_be:
        advice = f"{found.should_be} {advice}".rstrip()
    return error(where, found.problem, advice or found.advice)


class Found(NamedTuple):
    """A fault in this package's words.

    Attributes:
        path: where in the data it is.
        kind: as pydantic calls it.
        problem: what is wrong there.
        should_be: what should be there, as a sentence; empty where that is no matter of its kind.
        advice: what to do, where nobody knows better.
    """

    path: tuple[str | int, ...]
    kind: str
    problem: str
    should_be: str
    advice: str


def first_fault(errors: Sequence[Mapping[str, Any]], data: object) -> Found:
    """The first of pydantic's faults; where a field may be one thing or another, the one that came farthest is meant.

    Args:
        errors: as pydantic lists them, at least one.
        data: in which they were found.
    """
    found = [(path_in(one["loc"], data, missing=one["type"] == "missing"), one) for one in errors]
    beneath = [(path, one) for path, one in found if path[: len(found[0][0])] == found[0][0]]
    path, first = max(beneath, key=lambda pair: len(pair[0]))
    kind, given = first["type"], first.get("input")
    if kind == "missing":
        return Found(path, kind, "is missing.", "", "Add it.")
    if kind == UNKNOWN:
        return Found(path, kind, "is unknown.", "", "Remove it.")
    cause = first.get("ctx", {}).get("error")
    words = [wanted(one) for other, one in beneath if other == path]
    if isinstance(cause, Exception) or not all(words):
        return Found(path, kind, _sentence(str(cause or first["msg"])), "", "Repair it.")
    problem = "is empty." if given == "" or (kind in TOO_SHORT and not given) else f"is {shortened(given)}."
    return Found(path, kind, problem, f"It should be {' or '.join(dict.fromkeys(map(str, words)))}.", "")


def path_in(location: tuple[str | int, ...], data: object, *, missing: bool) -> tuple[str | int, ...]:
    """The part of pydantic's location that lies in the data: names of types and functions do not."""
    path: list[str | int] = []
    here: Any = data
    for part in location:
        in_list = isinstance(here, list | tuple) and isinstance(part, int) and part < len(here)
        if in_list or (isinstance(here, Mapping) and part in here):
            here = here[part]
        elif not (missing and part == location[-1]):
            continue
        path.append(part)
    return tuple(path)


def _sentence(problem: str) -> str:
    return problem if problem.endswith(".") else problem + "."
