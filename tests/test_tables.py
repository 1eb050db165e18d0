"""Reading tables, and checking what files hold by models of them."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import Field

from vispa.errors import BankError, InputError
from vispa.files.tables import read_table
from vispa.files.validation import FileModel, validated
from vispa.items.reading import read_items

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
names = texts.filter(lambda name: name.strip() and not name.startswith("\ufeff"))


@settings(max_examples=60, deadline=None)
@given(
    st.data(),
    st.lists(names, min_size=1, max_size=4, unique_by=str.strip),
    st.sampled_from(["csv", "tsv"]),
    st.booleans(),
)
def test_whatever_csv_writes_reads_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, columns: list[str], suffix: str, mark: bool
) -> None:
    assume(len(columns) > 1 or not set(columns[0]) & set(",;\t"))
    rows = data.draw(st.lists(st.lists(texts, min_size=len(columns), max_size=len(columns)), max_size=4))
    written = io.StringIO(newline="")
    csv.writer(written, delimiter="," if suffix == "csv" else "\t").writerows([columns, *rows])
    path = tmp_path_factory.mktemp("table") / f"a.{suffix}"
    path.write_bytes(("\ufeff" * mark + written.getvalue()).encode())
    table = read_table(path, needed=columns)
    assert list(table.columns) == [name.strip() for name in columns]
    # Spaces before a field are no part of it, unless they stand in quotes.
    read = [[field.lstrip(" ") for field in row.fields.values()] for row in table.rows]
    assert read == [[field.lstrip(" ") for field in row] for row in rows]


def write(folder: Path, text: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("text\nI lied, and I am glad\n", 2, "has 2 fields for 1 columns"),
        ("text,id\nBees,1\n\nI lied, and I am glad,2\n", 4, "has 3 fields for 2 columns"),
        ('text,id\n"Two\nlines",1\nOne, two,2\n', 4, "has 3 fields for 2 columns"),
        ('text,id\nBees,1\n"Never closed,2\nWasps,3\n', 3, "has a quote that is not closed"),
        ('text\n"Bees" and wasps\n', 2, "has a field that goes on after its closing quote"),
        ('id,text\n1, "Lying" is bad\n2,Bees\n', 2, "has a field that goes on after its closing quote"),
        ('id,text\n1,Bees\n2,"Lying" is "bad"\n', 3, "has a field that goes on after its closing quote"),
        ('id,text\n1,"Lying is bad\n2,"Wasps"\n3,Bees\n', 2, "has a quote that is not closed before line 3"),
        ('id,text\n1, "Lying is bad\n2, "Wasps"\n', 2, "has a quote that is not closed before line 3"),
        ('id,text\n1,Bees\n2,"Lying\n3,Ants\n4,Say "no"\n', 3, "has a quote that is not closed before line 5"),
        ('id,text\n1,Say "no"\n2,"Lying is bad\n3,Bees\n', 3, "has a quote that is not closed"),
        ('id,"text\n1,Bees\n2,Wasps\n', 1, "has a quote that is not closed"),
        ("text,id,text\nBees,1,Wasps\n", 1, "names the column 'text' twice"),
        ("text,\nI lied, and I am glad\n", 1, "gives column 2 no name"),
        ("\r\n,text\n0,Bees\n", 2, "gives column 1 no name"),
    ],
)
def test_nothing_of_a_table_is_lost_silently(tmp_path: Path, text: str, line: int, message: str) -> None:
    for read in (read_table, read_items):
        with pytest.raises(InputError, match=re.escape(f"a.csv line {line}: {message}")):
            read(write(tmp_path, text))
        if '"' not in text:
            with pytest.raises(InputError, match=re.escape(f"a.tsv line {line}: {message}")):
                read(write(tmp_path, text.replace(",", "\t"), "a.tsv"))


@pytest.mark.parametrize(
    "text",
    [
        'text, note\n"I waited, and rested.", "I ""shouted"", and left."\n',
        'text,  note\n  "I waited, and rested.",   "I ""shouted"", and left."\n',
        ' text ,note \n"I waited, and rested.", "I ""shouted"", and left."\n',
        '"text", "note"\r\n "I waited, and rested.","I ""shouted"", and left."\r\n',
        '" text", "note "\n "I waited, and rested.", "I ""shouted"", and left."',
    ],
)
def test_spaces_around_delimiters_belong_to_no_field(tmp_path: Path, text: str) -> None:
    table = read_table(write(tmp_path, text), needed=("text", "note"))
    assert table.columns == ("text", "note")
    assert [row.fields for row in table.rows] == [{"text": "I waited, and rested.", "note": 'I "shouted", and left.'}]
    assert [item.text for item in read_items(tmp_path / "a.csv")] == ["I waited, and rested."]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ('Lying is "bad"', 'Lying is "bad"'),
        ('Say "no" or "yes" to it', 'Say "no" or "yes" to it'),
        ('Using 5" nails', 'Using 5" nails'),
        (' Using nails of 5"', 'Using nails of 5"'),
        ('"""Lying"" is bad"', '"Lying" is bad'),
        (' """Lying"" is bad"', '"Lying" is bad'),
        ('"Lying\n""is"" bad"', 'Lying\n"is" bad'),
    ],
)
def test_quotes_are_kept_and_take_no_row_with_them(tmp_path: Path, field: str, text: str) -> None:
    for name, sign in (("a.csv", ","), ("a.tsv", "\t")):
        path = write(tmp_path, f"id,text\n1,{field}\n2,Bees\n".replace(",", sign), name)
        assert [(item.id, item.text) for item in read_items(path)] == [("1", text), ("2", "Bees")]


@pytest.mark.parametrize(
    ("name", "header", "sign", "word"),
    [
        ("a.csv", "id;text", ";", "commas"),
        ("a.csv", "id\ttext", "\t", "commas"),
        ("a.csv", '"id";"text"', ";", "commas"),
        ("a.txt.csv", "\ufeffid; text", ";", "commas"),
        ("a.tsv", "id,text", ",", "tabs"),
        ("a.tsv", '"id";"text"', ";", "tabs"),
    ],
)
def test_a_header_parted_by_another_sign_says_so(tmp_path: Path, name: str, header: str, sign: str, word: str) -> None:
    for row in ("1 I waited", "1, I waited, and rested", '"1" "I waited"', '"1"\t"I waited; and rested"'):
        path = write(tmp_path, f"{header}\n{row.replace(' ', sign, 1)}\n", name)
        for read in (read_table, read_items):
            with pytest.raises(InputError, match=f"has a single column, .*Separate fields with {word}"):
                read(path)


def test_tables_without_a_header_are_refused(tmp_path: Path) -> None:
    for text in ("", "\ufeff", "\n\r\n"):
        with pytest.raises(InputError, match="is empty"):
            read_table(write(tmp_path, text))


def test_a_row_reaches_the_columns_that_are_needed(tmp_path: Path) -> None:
    path = write(tmp_path, "id,left,right,note\n1,a,b\n2,a\n")
    assert [row.fields for row in read_table(path).rows] == [
        {"id": "1", "left": "a", "right": "b"},
        {"id": "2", "left": "a"},
    ]
    with pytest.raises(InputError, match=r"a\.csv line 3: has 2 fields for 4 columns, so that 'right' is missing"):
        read_table(path, needed=("left", "right"))
    with pytest.raises(InputError, match=r"a\.csv line 3: has no text"):
        read_items(write(tmp_path, "id,text\n1,Bees\n2\n"))


def test_long_fields_and_lines_within_quotes_are_read_whole(tmp_path: Path) -> None:
    long = "bees, " * 50_000
    path = write(tmp_path, f'text,id\r\n"{long}",7\r\n"One\r\n""two"", three",8\r\n')
    assert [(item.id, item.text) for item in read_items(path)] == [("7", long.strip()), ("8", 'One\r\n"two", three')]
    assert [row.line for row in read_table(path).rows] == [2, 3]


class Part(FileModel):
    share: float


class Whole(FileModel):
    name: str
    parts: tuple[Part, ...] = ()
    by_value: dict[str, float] = Field(default_factory=dict)
    either: int | str | None = None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "w.json field name: is missing. Add it."),
        ({"name": "a", "nmae": 1}, "w.json field nmae: is unknown. Known: name, parts, by_value, either."),
        ({"name": 5}, "w.json field name: is 5. It should be a text."),
        ({"name": "a", "parts": [{"share": 1}, {"share": "2"}]}, "field parts[1].share: is '2'. It should be"),
        ({"name": "a", "parts": [{"share": True}]}, "field parts[0].share: is True."),
        ({"name": "a", "parts": [{}]}, "field parts[0].share: is missing"),
        ({"name": "a", "by_value": {"karma\nx": None}}, "field by_value.'karma\\nx': is None."),
        ({"name": "a", "either": 1.5}, "field either: is 1.5."),
        ({"name": "a", "by_value": {"b": float("nan")}}, "field by_value.b: is no finite number"),
        ([], "w.json: is []. It should be an object."),
        ({"name": "a", "parts": "x" * 1000}, "field parts: is 'xxx"),
    ],
)
def test_models_of_files_name_field_and_remedy(data: object, message: str) -> None:
    with pytest.raises(BankError, match=re.escape(message)) as error:
        validated(Whole, data, "w.json", error=BankError)
    assert len(str(error.value)) < 200


def test_models_of_files_take_what_json_and_toml_mean() -> None:
    found = validated(Whole, {"name": "a", "parts": [{"share": 1}], "by_value": {"b": 2}, "either": "c"}, "w.json")
    assert (found.parts[0].share, found.by_value, found.either) == (1.0, {"b": 2.0}, "c")
