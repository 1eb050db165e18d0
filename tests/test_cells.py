"""Lists in the cells of tables of items."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import pytest

from vispa.errors import InputError
from vispa.evaluation.tasks import load_task
from vispa.items import cells
from vispa.items.item import Item
from vispa.items.reading import read_items


def table(folder: Path, rows: list[list[str]], suffix: str = "csv") -> Path:
    """A file of rows, with quotes where they are needed."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter="," if suffix == "csv" else "\t").writerows(rows)
    path = folder / f"a.{suffix}"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("mode", ["overton", "steerable", "distributional"])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize(
    ("field", "cell", "expected"),
    [
        ("options", "Yes|No", ("Yes", "No")),
        ("options", " Yes | No, never |\tMaybe ", ("Yes", "No, never", "Maybe")),
        ("options", 'Say "yes"|Say "no"', ('Say "yes"', 'Say "no"')),
        ("options", '["Yes", "No"]', ("Yes", "No")),
        ("options", ' ["Yes"] ', ("Yes",)),
        ("options", '["[Refused]", "Yes | No"]', ("[Refused]", "Yes | No")),
        ("options", "[]", ()),
        ("options", "", ()),
        ("options", "  ", ()),
        ("gold_distribution", "0.25|0.75", (0.25, 0.75)),
        ("gold_distribution", " .25 | 75e-2 |0", (0.25, 0.75, 0.0)),
        ("gold_distribution", "[0.25, 0.75]", (0.25, 0.75)),
        ("gold_distribution", "1", (1.0,)),
        ("gold_distribution", "[1]", (1.0,)),
        ("gold_distribution", "", None),
        ("vrd", "Care", ("Care",)),
        ("vrd", "Care|Public health", ("Care", "Public health")),
        ("vrd", '["Care", "Either | or"]', ("Care", "Either | or")),
        ("vrd", "", ()),
    ],
)
def test_a_cell_holds_a_list(tmp_path: Path, field: str, cell: str, expected: Any, suffix: str, mode: Any) -> None:
    (item,) = read_items(table(tmp_path, [["text", field], ["Feeding pigeons", cell]], suffix), mode)
    assert getattr(item, field) == expected


@pytest.mark.parametrize("mode", ["overton", "distributional"])
@pytest.mark.parametrize(
    ("field", "cell", "message"),
    [
        ("options", "Yes", "options: is 'Yes'. Write them with | between them, such as Yes|No, or as a JSON list"),
        ("options", "Yes;No", "options: is 'Yes;No'. Write them with |"),
        ("options", "Yes, No", "options: is 'Yes, No'. Write them with |"),
        ("options", '{"A": "Yes"}', "options: is '{"),
        ("options", "['Yes', 'No']", "options: is not valid JSON (Expecting value). Write them with |"),
        ("options", '["Yes", "No"', "options: is not valid JSON"),
        ("options", '["Yes"]|No', "options: is not valid JSON"),
        ("options", '["Yes", NaN]', "options: is no finite number"),
        ("options", '["Yes", 2]', "options[1]: is 2. It should be a text"),
        ("options", '[["Yes", "No"]]', "options[0]: is ['Yes', 'No']. It should be a text"),
        ("options", "Yes|", "options[1]: is empty"),
        ("options", "Yes||No", "options[1]: is empty"),
        ("gold_distribution", "0.5;0.5", "gold_distribution: is '0.5;0.5'. Write numbers with | between them"),
        ("gold_distribution", "0,5|0,5", "gold_distribution: is '0,5|0,5'. Write numbers"),
        ("gold_distribution", "50%|50%", "gold_distribution: is '50%|50%'. Write numbers"),
        ("gold_distribution", "1_0|2", "gold_distribution: is '1_0|2'. Write numbers"),
        ("gold_distribution", "0.5|", "gold_distribution: is '0.5|'. Write numbers"),
        ("gold_distribution", '["0.5"]', "gold_distribution[0]: is '0.5'. It should be a"),
        ("gold_distribution", "nan|1", "gold_distribution[0]: is no finite number"),
        ("gold_distribution", "-1|2", "gold_distribution[0]: is -1.0"),
        ("gold_distribution", "[0.5, ]", "gold_distribution: is not valid JSON"),
        ("vrd", "[Care", "vrd: is not valid JSON (Expecting value). Write texts with | between them"),
        ("vrd", "Care|", "vrd[1]: is empty"),
    ],
)
def test_a_cell_that_holds_no_list_is_refused(tmp_path: Path, field: str, cell: str, message: str, mode: Any) -> None:
    path = table(tmp_path, [["text", field], ["Feeding pigeons", ""], ["Eating meat", cell]])
    with pytest.raises(InputError, match=re.escape(f"a.csv line 3 field {message}")):
        read_items(path, mode)


def test_every_list_of_an_item_has_a_way_into_a_cell() -> None:
    hints = get_type_hints(Item)
    lists = {name for name, hint in hints.items() if "tuple[" in str(hint) or get_origin(hint) is tuple}
    assert lists == set(cells._LISTS)


def test_a_task_may_lie_in_a_table_with_names_of_its_own(tmp_path: Path) -> None:
    rows = [["id", "asked", "choices", "shares"], ["a", "Is it so?", "Yes|No", "0.5|0.5"], ["b", "And now?", "Y|", ""]]
    task = tmp_path / "task.toml"
    task.write_text(
        'name = "tests/table"\nfile = "a.csv"\nmode = "distributional"\nmetric = "distribution"\nsource = "the tests"\n'
        'licence = "none"\n[fields]\ntext = "asked"\noptions = "choices"\ngold_distribution = "shares"\n'
    )
    table(tmp_path, rows[:2])
    (item,) = load_task(task).items
    assert (item.options, item.gold_distribution) == (("Yes", "No"), (0.5, 0.5))
    table(tmp_path, rows)
    with pytest.raises(InputError, match=r"a\.csv line 3 \(id 'b'\) field choices\[1\]: is empty"):
        load_task(task)
