"""The methods that a run compares; a new one is a file here and a line in `METHODS`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from vispa.errors import InputError
from vispa.evaluation.methods.base import Bench, Method
from vispa.evaluation.methods.echo import Echo
from vispa.evaluation.methods.modplural import ModPlural
from vispa.evaluation.methods.moe import MoE
from vispa.evaluation.methods.personas import Personas
from vispa.evaluation.methods.prompting import Prompting
from vispa.evaluation.methods.vanilla import Vanilla
from vispa.evaluation.methods.vispa_method import VispaMethod

__all__ = ["METHODS", "Bench", "Method", "check_methods", "make_methods"]

#: Name → makes the method; `vispa` also comes as `vispa:ESTIMATOR` and `vispa+SELECTOR`.
METHODS: dict[str, Callable[[Bench], Method]] = {
    "vanilla": Vanilla,
    "prompting": Prompting,
    "personas": Personas,
    "moe": MoE,
    "modplural": ModPlural,
    "vispa": VispaMethod,
    "echo": Echo,
}
# A variant's name becomes the name of a file too.
_VARIANT = re.compile(r"vispa(:[\w-]+)?(\+[\w-]+)?")


def check_methods(names: Sequence[str]) -> tuple[str, ...]:
    """The names, once none is unknown; cheap, so that it comes before a model is loaded.

    Raises:
        InputError: no name, an unknown one, or one that occurs twice.
    """
    if not names:
        raise InputError("methods", "names none.", f"Choose of {', '.join(METHODS)}.")
    for name in names:
        if name not in METHODS and not _VARIANT.fullmatch(name):
            raise InputError(
                "methods",
                f"names {name!r}.",
                f"Choose of {', '.join(METHODS)}, vispa:ESTIMATOR, vispa+nli.",
            )
    if len(set(names)) < len(names):
        raise InputError("methods", "names one twice.", "Name each method once.")
    return tuple(names)


def make_methods(names: Sequence[str], bench: Bench) -> list[Method]:
    """The methods of a run, in the order of their names.

    Raises:
        InputError: see `check_methods`; or a method lacks something: an estimator in the bank, a
            selector, a community.
    """
    return [METHODS[name](bench) if name in METHODS else VispaMethod(bench, name) for name in check_methods(names)]
