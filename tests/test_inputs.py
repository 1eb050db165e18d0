"""Reading files of situations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vispa.errors import InputError
from vispa.items.item import Item
from vispa.items.reading import read_items


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_vital_json(tmp_path: Path) -> None:
    rows = [
        {"situation": "Feeding pigeons", "input": "Please comment: Feeding pigeons", "vrd": ["Care"], "id": 77},
        {"question": "Question: Is tea good?\nOptions: A. Yes B. No\nAnswer:", "options": ["Yes", "No"], "id": "C_1"},
    ]
    assert read_items(write(tmp_path, "a.json", json.dumps(rows))) == [
        Item(id=77, text="Feeding pigeons", prompt="Please comment: Feeding pigeons", vrd=("Care",)),
        Item(id="C_1", text="Question: Is tea good?\nOptions: A. Yes B. No\nAnswer:", options=("Yes", "No")),
    ]


def test_fields_of_the_other_modes(tmp_path: Path) -> None:
    row = {
        "question": "Is tea good?",
        "options": ["Yes ", "No"],
        "attribute": "Chile",
        "vrd": "Health",
        "gold_distribution": [0.25, 0.75],
    }
    (item,) = read_items(write(tmp_path, "a.json", json.dumps([row])))
    assert (item.options, item.attribute, item.target, item.gold_distribution) == (
        ("Yes", "No"),
        "Chile",
        "Health",
        (0.25, 0.75),
    )
    for field, value in (("options", "Yes"), ("options", ["Yes", ""]), ("gold_distribution", [1, -1])):
        with pytest.raises(InputError, match=field):
            read_items(write(tmp_path, "b.json", json.dumps([{**row, field: value}])))


def test_plain_formats(tmp_path: Path) -> None:
    expected = [Item(id=1, text="Feeding pigeons"), Item(id=2, text="Selling, a boat")]
    lines = '{"text": "Feeding pigeons"}\n"Selling, a boat"\n'
    assert read_items(write(tmp_path, "a.jsonl", lines)) == expected
    assert read_items(write(tmp_path, "a.csv", 'situation\nFeeding pigeons\n"Selling, a boat"\n')) == expected
    assert read_items(write(tmp_path, "a.txt", "Feeding pigeons\nSelling, a boat\n")) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text": \n', "a.jsonl line 2: is not valid JSON"),
        ("a.json", '[\n{"text": "a"},\n{]', "a.json line 3: is not valid JSON"),
        ("a.json", '{"text": "a"}', "is not a JSON list"),
        ("a.jsonl", "[1]\n", "line 1: is neither an object nor a text"),
        ("a.jsonl", '{"id": 3}\n', "line 1: has no text"),
        ("a.jsonl", '{"text": "   "}\n', "line 1: has no text"),
        ("a.jsonl", '{"text": "a", "id": [1]}\n', r"field id: is \[1\]"),
        ("a.jsonl", '{"text": "a", "id": 1}\n{"text": "b", "id": 1}\n', "holds the id 1 twice"),
        ("a.jsonl", '{"text": "a", "id": 2}\n{"text": "b"}\n', r"a\.jsonl line 2: has no id and is called 2 by its"),
        ("a.jsonl", '{"text": "a"}\n{"text": "b", "id": 1}\n', r"a\.jsonl line 1: has no id and is called 1 by its"),
        ("a.jsonl", '{"text": "a", "id": "2"}\n{"text": "b"}\n', r"a\.jsonl line 2: has no id and is called 2 by its"),
        ("a.csv", "id,text\n2,a\n,b\n", r"a\.csv line 3: has no id and is called 2 by its place"),
        ("a.csv", "id,text\n,a\n1,b\n", r"a\.csv line 2: has no id and is called 1 by its place"),
        ("a.tsv", "text\tid\na\t3\nb\nc\t\n", r"a\.tsv line 4: has no id and is called 3 by its place"),
        ("a.csv", "id,text\n7,a\n7,b\n", "holds the id '7' twice"),
        ("a.csv", "name\nx\n", "has the columns name"),
        ("a.txt", " \n\n", "holds no item"),
    ],
)
def test_faults_name_the_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_items(write(tmp_path, name, text))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": 1.5}, "field id: is 1.5"),
        ({"id": True}, "field id: is True"),
        ({"input": 5}, "field input: is 5"),
        ({"attribute": ["Chile"]}, "field attribute: is "),
        ({"vrd": 3}, "field vrd: is 3"),
        ({"vrd": ["Care", 3]}, r"field vrd\[1\]: is 3"),
        ({"vrd": ["Care", " "]}, r"field vrd\[1\]: is empty"),
        ({"options": "Yes|No"}, "field options: is 'Yes|No'"),
        ({"options": ["Yes", None]}, r"field options\[1\]: is None"),
        ({"options": ["Yes", " "]}, r"field options\[1\]: is empty"),
        ({"gold_distribution": [0.5, True]}, r"field gold_distribution\[1\]: is True"),
        ({"gold_distribution": {"Yes": 1}}, "field gold_distribution: is "),
        ({"gold_distribution": [float("inf")]}, r"field gold_distribution\[0\]: is no finite number"),
        ({"extra": {"deep": ["\ud800"]}}, r"field extra.deep\[0\]: holds half a surrogate pair"),
    ],
)
def test_fields_of_other_types_are_refused_by_name(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=rf"a\.json item 1 {message}"):
        read_items(write(tmp_path, "a.json", json.dumps([{"text": "Feeding pigeons", **fields}])))


def test_empty_fields_are_as_good_as_none(tmp_path: Path) -> None:
    fields = {"id": "", "input": " ", "attribute": None, "vrd": [], "options": [], "gold_distribution": None}
    path = write(tmp_path, "a.jsonl", json.dumps({"situation": "", "text": "Feeding pigeons", **fields}))
    assert read_items(path) == [Item(id=1, text="Feeding pigeons")]
    path = write(tmp_path, "a.csv", "id,situation,text,vrd,options\n,,Feeding pigeons,,\n")
    assert read_items(path) == [Item(id=1, text="Feeding pigeons")]


def test_items_with_and_without_an_id_may_stand_together(tmp_path: Path) -> None:
    found = read_items(write(tmp_path, "a.csv", "id,text\n3,a\n,b\nx,c\n"))
    assert [item.id for item in found] == ["3", 2, "x"]
    # Whoever gives ids of both types means two items.
    found = read_items(write(tmp_path, "a.jsonl", '{"text": "a", "id": 1}\n{"text": "b", "id": "1"}\n'))
    assert [item.id for item in found] == [1, "1"]


def test_missing_and_undecodable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_items(tmp_path / "missing.json")
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match=r"is not UTF-8 \(byte 3, line 1\)"):
        read_items(tmp_path / "a.txt")


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    lambda text: text.strip()
)


@given(st.lists(texts, min_size=1, max_size=8))
def test_json_lines_round_trip(tmp_path_factory: pytest.TempPathFactory, found: list[str]) -> None:
    path = tmp_path_factory.mktemp("round") / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in found), encoding="utf-8")
    assert [item.text for item in read_items(path)] == [text.strip() for text in found]
