"""Tests that need vLLM, which has an environment of its own: `.ci/vllm` makes it and runs them."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

# One thread, and no binding of this process to a core.
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

REASON = "needs vLLM, which .ci/vllm installs in an environment of its own"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_spec("vllm") is None:
        for item in items:
            if "with_vllm" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason=REASON))
