"""Values in free words, which help to train the encoder."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from training.readings import READ_ONCE, SPLITS, key, learnt_from
from training.told_values import TOLD_VALUES, built_in_names, told_values, without_names
from vispa.selection.labelled import load_situations


def test_every_situation_that_is_learnt_from_has_some_and_no_other() -> None:
    learnt = learnt_from()
    assert learnt.texts == (*load_situations().texts, *load_situations(READ_ONCE).texts)
    told = told_values(learnt.texts)
    assert all(told) and all(":" in one for each in told for one in each)
    with TOLD_VALUES.open(encoding="utf-8", newline="") as file:
        assert {row["situation"] for row in csv.DictReader(file)} == {key(text) for text in learnt.texts}
    # Nothing that figures are reported on, or that is chosen by, is learnt from.
    for split in ("development", "test"):
        assert not {*learnt.texts} & {*load_situations(SPLITS[split]).texts}


def test_a_text_that_nobody_told_of_has_none(tmp_path: Path) -> None:
    path = tmp_path / "told.csv"
    path.write_text(f"situation,values\n{key('A walk')},ease: nothing to hurry for ; joy: gladness\n", encoding="utf-8")
    assert told_values(["A walk", "A run"], path) == [("ease: nothing to hurry for", "joy: gladness"), ()]


@pytest.mark.parametrize("name", ["self-direction", "Self Direction", "autonomy", "SELF_DIRECTION"])
def test_what_goes_by_a_name_of_a_value_that_is_left_out_is_left_out(name: str) -> None:
    told = [(f"{name}: choosing one's own way", "thrift: wasting nothing")]
    assert without_names(told, built_in_names(["self-direction"])) == [("thrift: wasting nothing",)]
    assert without_names(told, built_in_names(["karma"])) == told
