"""Names of devices and models that lead nowhere are refused in words of their own."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.errors import InputError, ModelError
from vispa.models.placement import usable_device
from vispa.models.sources.named import named_model
from vispa.selection import SELECTORS


@pytest.mark.parametrize("device", ["meta", "meta:0"])
def test_a_device_that_holds_no_numbers(device: str) -> None:
    with pytest.raises(ModelError, match=f"device: '{device}' holds shapes alone"):
        usable_device(device)


@pytest.mark.parametrize("command", ["get", "remove"])
def test_the_model_in_the_package_is_neither_fetched_nor_removed(command: str) -> None:
    found = CliRunner().invoke(app, ["models", command, "embedded"])
    assert isinstance(found.exception, ModelError) and "'embedded' ships with the package" in str(found.exception)


@pytest.mark.parametrize("name", ["", "Embedded", "embedded "])
def test_other_names_are_of_no_model(name: str) -> None:
    with pytest.raises(ModelError, match="is not a named model"):
        named_model(name)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("model", ["", " ", "\t"])
@pytest.mark.parametrize("command", ["select", "respond"])
def test_a_selector_reads_no_model_without_a_name(selector: str, model: str, command: str) -> None:
    found = CliRunner().invoke(app, [command, "Feeding ducks", "--selector", selector, "--selector-model", model])
    assert isinstance(found.exception, InputError)
    # A selector that takes no model says that first.
    assert re.match("--selector-model: (is empty|has no effect)", str(found.exception))
