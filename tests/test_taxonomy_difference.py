"""Two versions of a taxonomy: what became of each value, and what stays valid."""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from conftest import write_taxonomy
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.taxonomy import Taxonomy
from vispa.taxonomy.difference import Kind, TaxonomyDifference, ValueDifference, _common, difference
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


def test_sides_and_order_of_sentences_have_no_part_in_scores(
    compared: Callable[[Change], TaxonomyDifference],
) -> None:
    found = compared(
        written('definition = "The value of calm."', 'definition = "The value of calm."\npolarity = "avoid"')
    )
    value = one(found, "calm")
    assert (value.fields, value.directions_stay, value.scores_stay) == (("polarity",), False, True)
    assert not found.comparisons_stay and one(found, "thrift").scores_stay


def tables_in_order(*places: int) -> Change:
    """Puts the values of a folder into another order."""

    def change(folder: Path) -> None:
        tables = re.split(r"(?m)^(?=\[)", (folder / "values.toml").read_text())[1:]
        (folder / "values.toml").write_text("\n".join(tables[place] for place in places))

    return change


@pytest.mark.parametrize(
    ("changes", "reordered", "stay"),
    [
        ((tables_in_order(2, 0, 1),), True, True),
        ((tables_in_order(1, 0, 2),), True, True),
        ((tables_in_order(1, 0, 2), renamed("calm", "quiet")), True, True),
        ((tables_in_order(1, 0, 2), written("I rested", "I slept", "pairs/calm.csv")), True, False),
        ((tables_in_order(2, 1),), True, False),
        ((tables_in_order(0, 2),), False, False),
        ((renamed("calm", "quiet"),), False, True),
    ],
)
def test_the_order_of_values_is_told_apart_from_their_sentences(
    compared: Callable[[Change], TaxonomyDifference], changes: tuple[Change, ...], reordered: bool, stay: bool
) -> None:
    found = compared(lambda folder: [step(folder) for step in changes] and None)
    assert (found.reordered, found.comparisons_stay, found.is_none) == (reordered, stay, False)


def test_values_that_take_each_others_slugs_are_compared_anew(
    compared: Callable[[Change], TaxonomyDifference],
) -> None:
    def swap(folder: Path) -> None:
        first, second = folder / "pairs" / "calm.csv", folder / "pairs" / "thrift.csv"
        texts = first.read_text(), second.read_text()
        second.write_text(texts[0])
        first.write_text(texts[1])

    found = compared(swap)
    assert not found.comparisons_stay and not found.reordered


words = st.text(st.sampled_from("abcé 愛"), max_size=40)


@given(words, words)
def test_what_is_common_in_order_bounds_the_likeness(first: str, second: str) -> None:
    row = [0] * (len(second) + 1)
    for sign in first:
        found = [0]
        for place, other in enumerate(second):
            found.append(row[place] + 1 if sign == other else max(found[place], row[place + 1]))
        row = found
    assert _common(first, second) == row[-1]
    assert (
        SequenceMatcher(None, first, second, autojunk=False).ratio() * (len(first) + len(second)) <= 2 * row[-1] + 1e-9
    )


@pytest.mark.parametrize(("replaced", "kind"), [(0, "changed"), (6, "changed"), (40, "added")])
def test_long_definitions_are_compared_soon(tmp_path: Path, replaced: int, kind: Kind) -> None:
    """Many values of other slugs and pairs: who is whom is told by their definitions, each likest to one."""
    source = random.Random(7)
    for folder in ("a", "b"):
        (tmp_path / folder / "pairs").mkdir(parents=True)
    tables: dict[str, list[str]] = {"a": [], "b": []}
    for number in range(60):
        told = ["".join(source.choices("abcdefghij", k=7)) for _ in range(50)]
        for folder, prefix in (("a", "old"), ("b", "new")):
            slug = f"{prefix}{number}"
            tables[folder].append(f'[{slug}]\nlabel = "{slug}"\nfamily = "f"\ndefinition = "{" ".join(told)}"\n')
            pairs = "".join(f"{slug} {row},no {slug} {row}\n" for row in range(2))
            (tmp_path / folder / "pairs" / f"{slug}.csv").write_text(f"positive,negative\n{pairs}")
            told = [*("".join(source.choices("klmnopqrst", k=7)) for _ in range(replaced)), *told[replaced:]]
    for folder, texts in tables.items():
        (tmp_path / folder / "values.toml").write_text("".join(texts))
    before, after = Taxonomy.load(tmp_path / "a"), Taxonomy.load(tmp_path / "b")
    begun = time.process_time()
    found = difference(before, after)
    # Comparing all definitions block by block takes many times as long.
    assert time.process_time() - begun < 4
    new = [value for value in found.values if value.value.startswith("new")]
    assert {value.kind for value in new} == {kind}
    if kind == "changed":
        assert [value.was for value in new] == [f"old{number}" for number in range(60)]


def test_the_command_says_what_order_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_taxonomy(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    tables_in_order(2, 1, 0)(tmp_path / "b")
    printed = CliRunner().invoke(app, ["taxonomy", "diff", str(tmp_path / "a"), str(tmp_path / "b")])
    assert "values reordered" in printed.output and "against the others: stay" in printed.output
    told = CliRunner().invoke(app, ["taxonomy", "diff", str(tmp_path / "a"), str(tmp_path / "b"), "--json"])
    assert json.loads(told.output)["reordered"] is True


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
