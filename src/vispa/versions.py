"""Versions of what an answer depends on."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("vispa", "torch", "transformers", "tokenizers", "numpy", "scikit-learn")


@cache
def versions() -> dict[str, str]:
    """Package name → version, Python's included."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
