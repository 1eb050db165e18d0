"""The methods that a run compares; a new one is a file here, a line in `METHODS` and its name in `METHOD_NAMES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vispa.evaluation.method_names import check_methods
from vispa.evaluation.methods.base import Bench, Method
from vispa.evaluation.methods.echo import Echo
from vispa.evaluation.methods.modplural import ModPlural
from vispa.evaluation.methods.moe import MoE
from vispa.evaluation.methods.personas import Personas
from vispa.evaluation.methods.prompting import Prompting
from vispa.evaluation.methods.vanilla import Vanilla
from vispa.evaluation.methods.vispa_method import VispaMethod

__all__ = ["METHODS", "Bench", "Method", "check_methods", "make_methods"]

#: Name → makes the method; the names are those of `METHOD_NAMES`.
METHODS: dict[str, Callable[[Bench], Method]] = {
    "vanilla": Vanilla,
    "prompting": Prompting,
    "personas": Personas,
    "moe": MoE,
    "modplural": ModPlural,
    "vispa": VispaMethod,
    "echo": Echo,
}


def make_methods(names: Sequence[str], bench: Bench) -> list[Method]:
    """The methods of a run, in the order of their names.

    Raises:
        InputError: see `check_methods`; or a method lacks something: an estimator in the bank, a
            selector, a community.
    """
    checked = check_methods(names, tuple(METHODS))
    return [METHODS[name](bench) if name in METHODS else VispaMethod(bench, name) for name in checked]
