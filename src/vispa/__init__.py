"""VISPA: pluralistic alignment by automatic value selection and activation (arXiv 2601.12758).

The public names are loaded when they are first used, so that importing the package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vispa.modes.mixture import Mixture
    from vispa.pipeline import Vispa
    from vispa.records import Comment, DistributionalResponse, OvertonResponse, Selection, SteerableResponse
    from vispa.request import Request
    from vispa.steering.bank import VectorBank
    from vispa.steering.recipe import Recipe, Steer
    from vispa.taxonomy import Taxonomy, Value

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vispa' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
