"""Options in groups: a parameter of a command may be a frozen dataclass, each field of which is an option.

Whoever writes a command says which groups it takes and gets instances of them, so that options cannot be
confused with each other; whoever adds an option adds a field to a group.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, wraps
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from typer.models import OptionInfo

Command = TypeVar("Command", bound=Callable[..., None])


@dataclass(frozen=True)
class _Part:
    names: tuple[str, ...]
    taken: bool


def only(*names: str) -> _Part:
    """As the second part of an `Annotated` group: the command has these of its options, the others keep defaults."""
    return _Part(names, taken=True)


def without(*names: str) -> _Part:
    """As the second part of an `Annotated` group: the command lacks these options, or whole groups in the group."""
    return _Part(names, taken=False)


@dataclass(frozen=True)
class Configurable:
    """Marks an option whose default may stand in the configuration file or the environment.

    What the file may hold follows from the option's type and from these:

    Attributes:
        choices: the texts that may be given; any where there are none.
        least: smallest number.
        most: largest number.
        may_be_empty: whether an empty text means something.
        pattern: that the whole text must match.
        meant: what the pattern says, in words.
        also: another type that the file may hold: int or dict, which become text, the latter as JSON.
        path_unless: the words that a text may be; any other text is a path.
    """

    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    may_be_empty: bool = False
    pattern: str | None = None
    meant: str = ""
    also: type | None = None
    path_unless: tuple[str, ...] = ()


@dataclass(frozen=True)
class OptionField:
    """One option of a group.

    Attributes:
        name: of the field and of the command's parameter.
        annotation: its type with what typer and `Configurable` say of it.
        default: built in.
    """

    name: str
    annotation: Any
    default: Any

    @property
    def type(self) -> Any:
        """Type of the value, None perhaps included."""
        return get_args(self.annotation)[0]

    @property
    def configurable(self) -> Configurable | None:
        """How its default may be configured; None where it may not."""
        return next((one for one in get_args(self.annotation)[1:] if isinstance(one, Configurable)), None)


def grouped(command: Command) -> Command:
    """Give a command the options of the groups among its parameters.

    Args:
        command: function with parameters for typer; one annotated with a dataclass is replaced by an option
            for each of its fields, and gets an instance. All are passed by name.

    Raises:
        TypeError: a name in `only` or `without` that the group lacks, or an option that comes twice.
    """
    groups: dict[str, tuple[type, _Part | None]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        group, part = _group_of(parameter.annotation)
        if group is None:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[parameter.name] = group, part
        parameters += [
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.annotation)
            for one in _taken(group, part)
        ]

    @wraps(command)
    def called(**given: Any) -> None:
        for name, (group, part) in groups.items():
            given[name] = _filled(group, {one.name: given.pop(one.name) for one in _taken(group, part)})
        command(**given)

    # What is wrapped has another signature, which typer must not find.
    del called.__wrapped__
    called.__annotations__ = {}
    try:
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    except ValueError as error:
        raise TypeError(f"{command.__name__}: {error}") from error
    return called  # type: ignore[return-value]


def options_of(group: type) -> tuple[OptionField, ...]:
    """The options of a group, those of groups in it included, under the group's heading in `--help`."""
    return tuple(_paths(group).values())


@cache
def _paths(group: type) -> dict[tuple[str, ...], OptionField]:
    """Names of the fields that lead to an option → the option."""
    hints = get_type_hints(group, include_extras=True)
    found: dict[tuple[str, ...], OptionField] = {}
    for field in fields(group):
        hint = hints[field.name]
        if is_dataclass(hint) and isinstance(hint, type):
            found |= {(field.name, *path): one for path, one in _paths(hint).items()}
        else:
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            found[field.name,] = OptionField(field.name, _under_heading(hint, group), default)
    return found


def _under_heading(annotation: Any, group: type) -> Any:
    kind, *more = get_args(annotation)
    shown = [copy(one) for one in more]
    for one in shown:
        if isinstance(one, OptionInfo):
            one.rich_help_panel = getattr(group, "heading", None)
    return Annotated[(kind, *shown)]


def _group_of(annotation: Any) -> tuple[type | None, _Part | None]:
    kind, *more = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return None, None
    return kind, next((one for one in more if isinstance(one, _Part)), None)


def _taken(group: type, part: _Part | None) -> list[OptionField]:
    """The options of a group that a command has."""
    if part is None:
        return list(options_of(group))
    unknown = set(part.names) - {name for path in _paths(group) for name in path}
    if unknown:
        raise TypeError(f"{group.__name__} has no {', '.join(sorted(unknown))}")
    return [one for path, one in _paths(group).items() if part.taken == bool(set(path) & set(part.names))]


def _filled(group: type, given: dict[str, Any]) -> Any:
    """An instance of a group, of the options' values by name; the others keep their defaults."""
    hints = get_type_hints(group)
    values = {}
    for field in fields(group):
        if is_dataclass(hints[field.name]):
            values[field.name] = _filled(hints[field.name], given)
        elif field.name in given:
            values[field.name] = given[field.name]
    return group(**values)
