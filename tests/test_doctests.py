"""The examples in docstrings run, save those that show a call on what only a caller has."""

from __future__ import annotations

import doctest
import importlib
import re

import pytest
from test_house import modules

#: Examples that show a call on what only a caller has: a loaded model, its bank, an output file, a hub.
CALLERS = {
    "vispa.evaluation.intervals",
    "vispa.files.append_log",
    "vispa.generation.scheduler",
    "vispa.generation.transformers",
    "vispa.live.doors",
    "vispa.models.loading",
    "vispa.models.nli",
    "vispa.pipeline",
    "vispa.selection.nli",
    "vispa.steering.activations",
    "vispa.steering.intervention",
}
WITH_EXAMPLES = {name for name, path in modules().items() if re.search(r"^\s*>>> ", path.read_text("utf-8"), re.M)}


@pytest.mark.parametrize("name", sorted(WITH_EXAMPLES - CALLERS))
def test_examples_in_docstrings_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted and not found.failed


def test_the_left_out_have_examples() -> None:
    assert CALLERS <= WITH_EXAMPLES
