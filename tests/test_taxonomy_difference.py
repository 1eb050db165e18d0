"""Two versions of a taxonomy: what became of each value, and what stays valid."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import write_taxonomy
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.taxonomy import Taxonomy
from vispa.taxonomy.difference import TaxonomyDifference, ValueDifference, difference
from vispa.taxonomy.taxonomy import BUILT_IN

Change = Callable[[Path], None]


@pytest.fixture
def compared(tmp_path: Path) -> Callable[[Change], TaxonomyDifference]:
    """What a change of a folder makes of three values."""
    (tmp_path / "a").mkdir()
    write_taxonomy(tmp_path / "a")

    def compare(change: Change) -> TaxonomyDifference:
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        change(tmp_path / "b")
        return difference(Taxonomy.load(tmp_path / "a"), Taxonomy.load(tmp_path / "b"))

    return compare


def written(old: str, new: str, file: str = "values.toml") -> Change:
    """Puts other words into a file."""

    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))

    return change


def renamed(old: str, new: str, more: str = "") -> Change:
    """Gives a value another slug and label."""

    def change(folder: Path) -> None:
        written(f'[{old}]\nlabel = "{old}"', f'[{new}]\n{more}label = "{new}"')(folder)
        (folder / "pairs" / f"{old}.csv").rename(folder / "pairs" / f"{new}.csv")

    return change


def one(found: TaxonomyDifference, slug: str) -> ValueDifference:
    return next(value for value in found.values if value.value == slug)


def test_nothing_changed(compared: Callable[[Change], TaxonomyDifference]) -> None:
    found = compared(lambda folder: None)
    assert found.is_none and found.comparisons_stay
    assert {(value.kind, value.directions_stay, value.scores_stay) for value in found.values} == {("same", True, True)}


def test_a_definition_changes_scores_and_no_direction(compared: Callable[[Change], TaxonomyDifference]) -> None:
    found = compared(written("The value of calm.", "Being at rest."))
    value = one(found, "calm")
    assert (value.kind, value.fields, value.was) == ("changed", ("definition",), None)
    assert (value.directions_stay, value.scores_stay, value.labels_stay) == (True, False, True)
    assert found.comparisons_stay and not found.is_none


def test_pairs_are_counted(compared: Callable[[Change], TaxonomyDifference]) -> None:
    found = compared(written("I rested about a coin.,I shouted about a coin.\n", "A,B\nC,D\n", "pairs/calm.csv"))
    value = one(found, "calm")
    assert (value.pairs_added, value.pairs_dropped, value.reordered) == (2, 1, False)
    assert (value.directions_stay, value.scores_stay, value.labels_stay) == (False, False, True)
    assert one(found, "thrift").directions_stay and not found.comparisons_stay


def test_opposing_sentences_leave_comparisons_valid(compared: Callable[[Change], TaxonomyDifference]) -> None:
    found = compared(written("I shouted", "I yelled", "pairs/calm.csv"))
    assert found.comparisons_stay and not one(found, "calm").directions_stay


def test_another_order_of_pairs_is_another_split(compared: Callable[[Change], TaxonomyDifference]) -> None:
    def swapped(folder: Path) -> None:
        path = folder / "pairs" / "calm.csv"
        head, first, second, *rest = path.read_text().splitlines()
        path.write_text("\n".join((head, second, first, *rest)) + "\n")

    value = one(compared(swapped), "calm")
    assert (value.kind, value.reordered, value.pairs_added, value.directions_stay) == ("changed", True, 0, False)


@pytest.mark.parametrize(
    ("change", "by"),
    [
        ((renamed("calm", "quiet", 'aliases = ["calm"]\n'),), "alias"),
        ((renamed("calm", "quiet"),), "pairs"),
        ((renamed("calm", "quiet"), written("I ", "We ", "pairs/quiet.csv")), "definition"),
    ],
)
def test_a_renamed_value_is_found(
    compared: Callable[[Change], TaxonomyDifference], change: tuple[Change, ...], by: str
) -> None:
    found = compared(lambda folder: [step(folder) for step in change] and None)
    value = one(found, "quiet")
    assert (value.kind, value.was, value.by) == ("changed", "calm", by)
    assert not found.of_kind("added") and not found.of_kind("removed")
    assert value.directions_stay == (by != "definition")


def test_a_value_that_is_like_no_other_is_new(compared: Callable[[Change], TaxonomyDifference]) -> None:
    found = compared(
        lambda folder: (
            [
                step(folder)
                for step in (
                    renamed("calm", "order"),
                    written("The value of calm.", "Things in their places, all year long."),
                    written("I ", "We ", "pairs/order.csv"),
                )
            ]
            and None
        )
    )
    assert [value.value for value in found.of_kind("added")] == ["order"]
    assert [value.value for value in found.of_kind("removed")] == ["calm"]
    assert (one(found, "order").pairs_added, one(found, "calm").pairs_dropped) == (8, 8)
    assert not found.comparisons_stay


def test_scores_of_a_built_in_value_do_not_depend_on_its_pairs(tmp_path: Path) -> None:
    shutil.copytree(BUILT_IN / "pairs", tmp_path / "pairs")
    shutil.copy(BUILT_IN / "values.toml", tmp_path)
    written("I ", "We ", "pairs/honor.csv")(tmp_path)
    value = one(difference(Taxonomy.built_in(), Taxonomy.load(tmp_path)), "honor")
    assert (value.kind, value.directions_stay, value.scores_stay) == ("changed", False, True)


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_taxonomy(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    renamed("calm", "quiet")(tmp_path / "b")
    printed = CliRunner().invoke(app, ["taxonomy", "diff", str(tmp_path / "a"), str(tmp_path / "b")])
    assert printed.exit_code == 0, printed.output
    assert "renamed from calm (told by pairs)" in " ".join(printed.output.split())
    told = CliRunner().invoke(app, ["taxonomy", "diff", str(tmp_path / "a"), str(tmp_path / "b"), "--json"])
    valid = json.loads(told.output)["valid"]
    assert valid["directions_of_own_pairs"] == ["quiet", "thrift", "candor"] == valid["directions_against_others"]
    assert valid["selection_scores"] == ["thrift", "candor"]
