"""Errors that `vispa` raises on purpose; every message says what was wrong and what to do."""

from __future__ import annotations

from traceback import walk_tb
from typing import Any

#: Longest part of a message (field, problem, advice), in characters.
LONGEST_PART = 600
# Most places that are told of an error; of a recursion without end there are a thousand.
_PLACES = 20


class VispaError(Exception):
    """Base of all errors of this package; the command line ends with exit code 1 on it."""

    def __reduce__(self) -> tuple[Any, ...]:
        """It travels between processes whatever its kind is made of."""
        return _again, (type(self), self.args, vars(self))


def _again(kind: type[VispaError], arguments: tuple[Any, ...], fields: dict[str, Any]) -> VispaError:
    error = kind.__new__(kind, *arguments)
    vars(error).update(fields)
    return error


class InputError(VispaError):
    """The caller's input is at fault; the command line ends with exit code 2.

    Args:
        field: what the caller wrote that is wrong (`text`, `--k`, `pairs/karma.csv line 3`).
        problem: what is wrong with it.
        advice: what to do instead.
    """

    def __init__(self, field: str, problem: str, advice: str) -> None:
        self.field, self.problem, self.advice = field, problem, advice
        super().__init__(f"{cut(field)}: {cut(problem)} {cut(advice)}")


class TaxonomyError(InputError):
    """A taxonomy's files cannot be used as they are."""


class ModelError(InputError):
    """A model cannot be loaded, or is not one that can be steered."""


class FetchError(VispaError):
    """A model cannot be fetched: no network, no package index, no pip; nobody's mistake.

    Args:
        model: its name.
        problem: why it cannot be.
        advice: how to come by it otherwise.
    """

    def __init__(self, model: str, problem: str, advice: str) -> None:
        self.model, self.problem, self.advice = model, problem, advice
        super().__init__(f"{model}: {cut(problem)} {cut(advice)}")


class TextError(VispaError):
    """A model cannot take a text; of many that are answered together, it fails alone."""


class ContextError(TextError):
    """A text is longer than what a model reads."""


class LanguageError(InputError, TextError):
    """A text is in a language that its reader does not know; of many that are answered together, it fails alone."""


class BankError(InputError):
    """A vector bank is damaged, or belongs to another model or taxonomy."""


class OutputError(VispaError):
    """An output cannot be written to its end (a full disk, a size limit, a file that has gone).

    Args:
        place: what was being written.
        problem: why it could not be.
        kept: what of the work is kept, and what to do.
    """

    def __init__(self, place: str, problem: str, kept: str) -> None:
        self.place, self.problem, self.kept = place, problem, kept
        super().__init__(f"{place}: {problem} {kept}")


class BusyError(VispaError):
    """So much waits for the model that nothing more is taken; ask again later.

    Args:
        waiting: rows that wait.
        limit: most that may.
    """

    def __init__(self, waiting: int, limit: int) -> None:
        self.waiting, self.limit = waiting, limit
        super().__init__(f"{waiting:,} rows wait for the model, of {limit:,} that may. Ask again later, or for less.")


class ClosedError(VispaError):
    """What answers is ending, and takes or finishes nothing more."""


class EngineError(VispaError):
    """The engine failed while it wrote, for no fault of the request's; it goes on with what comes next."""


class ReaderSetupError(InputError):
    """A model behind an API takes nothing of what it is asked as it was set up: its key, its name, its address."""


class NumericalError(VispaError):
    """NaN or infinity where a finite number is needed; names row, value and block.

    Attributes:
        row: number of the row in its batch, where it is one row's.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


def cut(text: str) -> str:
    """A part of a message without its middle where that is long: what somebody wrote stands in messages."""
    return text if len(text) <= LONGEST_PART else f"{text[: LONGEST_PART // 2]} … {text[-LONGEST_PART // 2 :]}"


def check_choice(field: str, given: str, allowed: tuple[str, ...]) -> None:
    """Refuse a word that is not one of those allowed."""
    if given not in allowed:
        raise InputError(field, f"is {given!r}.", f"Choose {' or '.join(allowed)}.")


def kind_and_place(error: BaseException) -> str:
    """An error by its kind and where it was raised, the inmost place first.

    Its words are left out: they may quote a user.
    """
    frames = list(walk_tb(error.__traceback__))[-_PLACES:]
    places = " < ".join(f"{frame.f_code.co_name}:{line}" for frame, line in reversed(frames))
    return f"{type(error).__name__} at {places}" if places else type(error).__name__
