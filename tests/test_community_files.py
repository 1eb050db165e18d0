"""Files of community models' comments, as Modular Pluralism writes them and as lists of objects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vispa.errors import InputError
from vispa.evaluation.methods.community_files import FileCommunity
from vispa.files.append_log import Identifier
from vispa.items.item import Item
from vispa.modes.prompts import built_in_prompts
from vispa.readers.base import Failure


def item(identifier: Identifier, text: str = "Walking a goat") -> Item:
    return Item(id=identifier, mode="overton", text=text, prompt=text)


def said(folder: Path, content: str, *items: Item, name: str = "left.json") -> list[str | None]:
    """What the file's model says to each item."""
    (folder / name).write_text(content, encoding="utf-8")
    found = FileCommunity(folder).comments(items, built_in_prompts(), 5)
    return [None if isinstance(voices, Failure) else voices[0].text for voices in found]


OBJECT = {"17": "Goats are fine. ", "H_002": "Poor goat."}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("left.json", json.dumps(OBJECT)),
        ("left.json", json.dumps([OBJECT])),
        ("left.json", json.dumps([{key: text} for key, text in OBJECT.items()])),
        ("left.jsonl", "".join(json.dumps({key: text}) + "\n" for key, text in OBJECT.items())),
        ("left.jsonlines", "\ufeff" + json.dumps(OBJECT)),
        ("left.ndjson", json.dumps({"id": 17, "output": "Goats are fine."}) + '\r\n{"H_002": "Poor goat."}'),
    ],
)
def test_comments_by_identifier_as_modular_pluralism_writes_them(tmp_path: Path, name: str, content: str) -> None:
    items = [item(17), item("H_002"), item(18), item("17")]
    found = said(tmp_path, content, *items, name=name)
    assert found[:3] == ["Goats are fine.", "Poor goat.", None]
    # A number in an object with `id` is not the text of the same digits; a name stands for both.
    assert found[3] == (None if '"id"' in content else "Goats are fine.")


def test_an_identifier_of_its_own_goes_before_a_name_and_a_name_before_a_text(tmp_path: Path) -> None:
    entries = [{"17": "by name"}, {"id": 17, "comment": "by number"}, {"text": "Walking a goat", "comment": "by text"}]
    assert said(tmp_path, json.dumps(entries), item(17), item("17"), item(9)) == ["by number", "by name", "by text"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"17": 5}', "left.json field 17: is 5"),
        ('{"17": null}', "left.json field 17: is None"),
        ('{"17": {"comment": "x"}}', "left.json field 17: is {"),
        ('{"17": "x", "17": "y"}', "left.json: holds an object with the name '17' twice"),
        ('[{"17": "x"}, {"17": "y"}]', "left.json item 2: comments anew"),
        ('[{"id": 1.5, "comment": "x"}]', "left.json item 1 field id: is 1.5"),
        ('[{"id": true, "comment": "x"}]', "left.json item 1 field id: is True"),
        ('[{"id": 1, "comment": ["x"]}]', "left.json item 1 field comment: is "),
        ('{"17": "\\udc00"}', "left.json field 17: holds half a surrogate pair"),
        ('"17"', "left.json: is '17'. It should be an object"),
        ("{}", "left.json: holds no comment"),
        ("[]", "left.json: holds no comment"),
        ('{"17": "x"', "left.json line 1: is not valid JSON"),
    ],
)
def test_bad_files_name_place_and_field(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        said(tmp_path, content, item(17))
    assert message in str(error.value)
