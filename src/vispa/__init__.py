"""VISPA: pluralistic alignment by automatic value selection and activation (arXiv 2601.12758).

The public names are loaded when they are first used, so that importing the package is cheap.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

# Without a handler of the application's own, nothing is shown.
logging.getLogger(__name__).addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from vispa.modes.mixture import Mixture
    from vispa.pipeline import Vispa
    from vispa.records import Comment, DistributionalResponse, OvertonResponse, Selection, SteerableResponse
    from vispa.request import Request
    from vispa.steering.bank import VectorBank
    from vispa.steering.recipe import Recipe, Steer
    from vispa.taxonomy import Taxonomy, Value

    __version__: str

_HOMES = {
    "Vispa": "vispa.pipeline",
    "Request": "vispa.request",
    "Mixture": "vispa.modes.mixture",
    "Taxonomy": "vispa.taxonomy",
    "Value": "vispa.taxonomy",
    "VectorBank": "vispa.steering.bank",
    "Recipe": "vispa.steering.recipe",
    "Steer": "vispa.steering.recipe",
    "Selection": "vispa.records",
    "Comment": "vispa.records",
    "OvertonResponse": "vispa.records",
    "SteerableResponse": "vispa.records",
    "DistributionalResponse": "vispa.records",
}

__all__ = [
    "Comment",
    "DistributionalResponse",
    "Mixture",
    "OvertonResponse",
    "Recipe",
    "Request",
    "Selection",
    "Steer",
    "SteerableResponse",
    "Taxonomy",
    "Value",
    "VectorBank",
    "Vispa",
]


if not TYPE_CHECKING:
    # Type checkers see the imports above; a function here would let every name through.
    def __getattr__(name: str) -> object:
        if name == "__version__":
            return import_module("vispa.versions").package_version()
        if name not in _HOMES:
            raise AttributeError(f"module 'vispa' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)
