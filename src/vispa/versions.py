"""Versions of what an answer depends on."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("vispa", "torch", "transformers", "tokenizers", "numpy", "scikit-learn")


@cache
def versions() -> dict[str, str]:
    """Package name → version, Python's included."""
    return {"python": platform.python_version(), **{package: _version(package) for package in _PACKAGES}}


def package_version() -> str:
    """This package's own version, from its metadata."""
    return _version("vispa")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
