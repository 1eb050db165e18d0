"""A taxonomy whose values no judge tells apart is refused before a model is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import write_taxonomy
from typer.testing import CliRunner

from vispa.cli.judging import check_judged
from vispa.cli.main import app
from vispa.errors import InputError
from vispa.taxonomy import Taxonomy


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A taxonomy of one value."""
    folder = write_taxonomy(tmp_path)
    (folder / "values.toml").write_text((folder / "values.toml").read_text().split("[thrift]")[0])
    for slug in ("thrift", "candor"):
        (folder / "pairs" / f"{slug}.csv").unlink()
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["tune"],
        ["tune", "--json"],
        ["inspect", "--only", "expression", "-o", "out"],
        ["inspect", "--only", "quality,expression", "-o", "out", "--json"],
        ["doctor"],
        ["doctor", "--json"],
        ["doctor", "--recipe", "published"],
    ],
    ids=" ".join,
)
def test_one_value_is_refused_by_the_options_name(
    one: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vispa.models.loading.load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    name, *options = command
    result = CliRunner().invoke(app, [name, "embedded", "--taxonomy", str(one), *options])
    assert result.exit_code != 0 and not result.stdout
    told = f"{result.exception} {result.output}"
    assert "--taxonomy: has one value. Name a folder of at least two" in told and "takes part" not in told


def test_values_that_can_be_told_apart_pass(one: Path, small_taxonomy: Taxonomy) -> None:
    check_judged(small_taxonomy)
    check_judged(Taxonomy.built_in())
    with pytest.raises(InputError, match="--taxonomy"):
        check_judged(Taxonomy.load(one))
