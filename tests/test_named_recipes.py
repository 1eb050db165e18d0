"""Recipes that go by a word, in Python and on the command line; what is said where none was tuned."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from random_banks import random_bank
from typer.testing import CliRunner

from vispa import Recipe, Vispa
from vispa.cli.defaults import defaults
from vispa.cli.main import app
from vispa.errors import InputError
from vispa.steering import named_recipes
from vispa.steering.named_recipes import needed_estimators, resolved_recipe
from vispa.steering.recipe import embedded_recipe, portable_recipe


@pytest.fixture(autouse=True)
def unsaid() -> None:
    named_recipes._say_portable.cache_clear()


def test_words_are_recipes() -> None:
    bank = replace(random_bank(), recipe=Recipe(amount=0.7))
    assert resolved_recipe("published", bank) == Recipe()
    assert resolved_recipe("portable", bank) == portable_recipe()
    assert resolved_recipe("tuned", bank) == resolved_recipe(None, bank) == bank.recipe
    assert resolved_recipe(Recipe(amount=0.8), bank) == Recipe(amount=0.8)
    assert [needed_estimators(word) for word in (None, "tuned", "published", Recipe("mean"))] == [
        (), (), ("probe",), ("mean",),
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"recipe: is 'best'\. Choose tuned or published or portable"):
        resolved_recipe("best", bank)


def test_that_none_was_tuned_is_said_once_and_only_where_it_counts(caplog: pytest.LogCaptureFixture) -> None:
    bank = replace(random_bank(), recipe=portable_recipe())
    resolved_recipe("portable", bank)
    resolved_recipe("published", bank)
    resolved_recipe(None, replace(bank, tuning={}))
    assert resolved_recipe("tuned", replace(bank, tuning={})) == portable_recipe()
    assert not caplog.records
    for _ in range(3):
        assert resolved_recipe(None, bank) == portable_recipe()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for what in (bank.info.model, f"`vispa tune {bank.info.model}`", "--recipe published"):
        assert what in record.getMessage()
    with pytest.raises(InputError, match=r"no tuned one .*vispa tune"):
        resolved_recipe("tuned", bank)


def test_the_pipeline_takes_words(caplog: pytest.LogCaptureFixture) -> None:
    vispa = Vispa.from_pretrained("embedded", recipe="published")
    assert vispa.recipe == Recipe()
    assert vispa.variant(recipe="tuned").recipe == embedded_recipe()
    with pytest.raises(InputError, match="recipe: is 'paper'"):
        Vispa.from_pretrained("no/such/model", recipe="paper")  # type: ignore[arg-type]
    assert not caplog.records


def steering(*arguments: str) -> dict[str, object]:
    command = ["respond", "Feeding ducks", "--k", "1", "--max-new-tokens", "2", "--json", *arguments]
    result = CliRunner().invoke(app, command)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return json.loads(result.stdout)["provenance"]["steering"]


def test_words_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A file of the same name needs its folder.
    Path("published").write_text('estimator = "mean_difference"\nmagnitude = "coefficient"\namount = 0.5\n')
    assert steering("--recipe", "published")["estimator"] == "probe"
    assert steering("--recipe", "./published")["estimator"] == "mean_difference"
    assert steering("--recipe", "tuned")["estimator"] == embedded_recipe().estimator
    assert steering("--recipe", "portable")["estimator"] == portable_recipe().estimator
    with pytest.raises(InputError, match="plubished"):
        steering("--recipe", "plubished")


def test_words_in_the_configuration_are_no_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv("VISPA_CONFIG", str(file))
    for given, value in (("published", "published"), ("mine.toml", str(tmp_path / "mine.toml"))):
        file.write_text(f'recipe = "{given}"\n')
        assert defaults()["recipe"].value == value
