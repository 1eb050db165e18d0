"""Versions of what an answer depends on."""

from __future__ import annotations

import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("vispa", "torch", "transformers", "tokenizers", "numpy", "scikit-learn")


@cache
def versions(engine: str = "transformers") -> dict[str, str]:
    """Package name → version, Python's included.

    Args:
        engine: what ran the model; a package.
    """
    packages = dict.fromkeys((*_PACKAGES, engine))
    return {"python": platform.python_version(), **{package: _version(package) for package in packages}}


def package_version() -> str:
    """This package's own version, from its metadata."""
    return _version("vispa")


def _version(package: str) -> str:
    # vLLM for processors is a distribution of its own.
    for name in (package, f"{package}-cpu"):
        with suppress(PackageNotFoundError):
            return version(name)
    return "not installed"
