"""Names that come out of files: identifiers, never paths or markup."""

from __future__ import annotations

import regex

from vispa.errors import InputError

#: Longest name, in characters.
LONGEST_NAME = 100

# Letters of any script with their marks, digits, `_`, `-`, `.` and spaces; begins with a letter, a digit or `_`, and
# ends with none of the last three.
_NAME = regex.compile(r"[\p{L}\p{N}_](?:[\p{L}\p{M}\p{N}_ .-]*[\p{L}\p{M}\p{N}_])?")


def is_name(name: object) -> bool:
    """Whether something can name a value, an estimator or the like.

    Example:
        >>> is_name("self-direction"), is_name("../secrets"), is_name("")
        (True, False, False)
    """
    return isinstance(name, str) and len(name) <= LONGEST_NAME and _NAME.fullmatch(name) is not None


def check_name(field: str, name: object) -> None:
    """Refuse what cannot be a name.

    Raises:
        InputError: it is no text, too long, or holds other signs than a name's.
    """
    if not is_name(name):
        shown = repr(name) if len(str(name)) <= LONGEST_NAME else f"{str(name)[:LONGEST_NAME]!r}…"
        raise InputError(
            field,
            f"{shown} is not a name.",
            f"Use letters, digits, _, - and . alone, {LONGEST_NAME} characters at most.",
        )
