"""What the methods that a run compares are called; apart from the methods, which load what makes answers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vispa.errors import InputError

#: The names of all methods; `vispa` also comes as `vispa:ESTIMATOR` and `vispa+SELECTOR`.
METHOD_NAMES = ("vanilla", "prompting", "personas", "moe", "modplural", "vispa", "echo")
# A variant's name becomes the name of a file too.
_VARIANT = re.compile(r"vispa(:[\w-]+)?(\+[\w-]+)?")


def check_methods(names: Sequence[str], known: Sequence[str] = METHOD_NAMES) -> tuple[str, ...]:
    """The names, once none is unknown; cheap, so that it comes before a model is loaded.

    Args:
        names: of the methods of a run.
        known: of all methods.

    Raises:
        InputError: no name, an unknown one, or one that occurs twice.
    """
    if not names:
        raise InputError("methods", "names none.", f"Choose of {', '.join(known)}.")
    for name in names:
        if name not in known and not _VARIANT.fullmatch(name):
            raise InputError(
                "methods",
                f"names {name!r}.",
                f"Choose of {', '.join(known)}, vispa:ESTIMATOR, vispa+nli.",
            )
    if len(set(names)) < len(names):
        raise InputError("methods", "names one twice.", "Name each method once.")
    return tuple(names)


def asks_pipeline(names: Sequence[str]) -> bool:
    """Whether one of the methods is the pipeline's own, in whatever variant."""
    return any(_VARIANT.fullmatch(name) for name in names)
