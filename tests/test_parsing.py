"""Reading TOML and JSON files, and what is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vispa.cli.setup import recipe_file
from vispa.errors import InputError
from vispa.files.reading import json_entries, read_toml
from vispa.items.reading import Layout, check_unique, read_items
from vispa.modes.prompts import built_in_prompts

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda of: st.lists(of) | st.dictionaries(texts, of),
    max_leaves=4,
)


@settings(max_examples=30)
@given(st.lists(values, max_size=3), st.booleans())
def test_lists_and_lines_hold_the_same(tmp_path_factory: pytest.TempPathFactory, found: list, mark: bool) -> None:
    folder = tmp_path_factory.mktemp("entries")
    lines = [json.dumps(value, ensure_ascii=False) for value in found]
    contents = {
        "a.json": json.dumps(found),
        "b.jsonl": "".join(line + "\n" for line in lines),
        "c.NDJSON": "\r\n\n".join(lines),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(("\ufeff" * mark + content).encode())
        assert [entry.value for entry in json_entries(folder / name)] == found
    assert [entry.number for entry in json_entries(folder / "a.json")] == list(range(1, len(found) + 1))
    assert [entry.number for entry in json_entries(folder / "c.NDJSON")] == list(range(1, 2 * len(found), 2))


def test_places_name_list_items_and_lines(tmp_path: Path) -> None:
    for name, place in (("a.json", "item 2"), ("line 7 .jsonl", "line 2")):
        path = tmp_path / name
        path.write_text("[1,\n2]" if name == "a.json" else "1\n2\n")
        assert [entry.place for entry in json_entries(path)][1] == f"{path} {place}"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"[\n1,\n{]", "a.json line 3: is not valid JSON"),
        ("on line 7.json", b"[\n1,\n{]", "on line 7.json line 3: is not valid JSON"),
        ("a.jsonl", b"1\n\n{]\n", "a.jsonl line 3: is not valid JSON"),
        ("a.json", b'{"a": 1}', "a.json: is not a JSON list"),
        ("a.json", b"[" * 100_000, "a.json: is nested too deeply"),
        ("a.jsonl", b"1\n" + b"[" * 100_000, "a.jsonl line 2: is nested too deeply"),
        ("a.json", b"[1" + b"0" * 5000 + b"]", "a.json: holds a number of too many digits"),
        ("a.jsonl", b"1\n1" + b"0" * 5000, "a.jsonl line 2: holds a number of too many digits"),
        ("a.json", b'["caf\xe9"]', "a.json: is not UTF-8 (byte 5, line 1)"),
    ],
)
def test_faults_of_json_name_the_place(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)):
        list(json_entries(tmp_path / name))


@pytest.mark.parametrize("read", [read_toml, recipe_file, built_in_prompts().overridden])
def test_faults_of_toml_are_refused_everywhere(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "a.toml"
    with pytest.raises(InputError, match="cannot be read"):
        read(path)
    for content, message in (
        (b"a = \n", "is not valid TOML .*line 1"),
        (b"a = 1" + b"0" * 5000, "number of too many digits"),
        (b"a = " + b"[" * 100_000, "is nested too deeply"),
        (b"# caf\xe9", "is not UTF-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read(path)


def test_toml_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf[b]\r\na = 'x'\r\n")
    assert read_toml(tmp_path / "a.toml") == {"b": {"a": "x"}}


@given(st.lists(st.integers(0, 3) | st.sampled_from("0123"), max_size=5))
def test_identifiers_are_unique_unless_two_are_equal_and_of_one_type(found: list[int | str]) -> None:
    twice = any(repr(a) == repr(b) for place, a in enumerate(found) for b in found[:place])
    if twice:
        with pytest.raises(InputError, match=r"a\.json: holds the id .* twice"):
            check_unique(found, Path("a.json"))
    else:
        check_unique(found, Path("a.json"))


@pytest.mark.parametrize(
    ("label", "options", "place"),
    [
        ("B", ("yes", "no"), 1),
        ("no", ("yes", "no"), 1),
        ("B. no", ("yes", "no"), 1),
        # Options that are letters themselves.
        ("A", ("B", "A", "O"), 1),
        ("C", ("C", "B", "A"), 0),
        ("b", ("B", "A", "O"), 0),
        ("B.", ("A", "O", "B"), 2),
        ("2", ("1", "2", "3"), 1),
        (2, ("1", "2", "3"), None),
        # A letter of one option with the text of another.
        ("A. A little", ("A lot", "A little"), None),
        ("A) a little.", ("A lot", "A little"), None),
        ("(A) no", ("yes", "no"), None),
        ("A. yes, certainly", ("yes", "no"), 0),
    ],
)
def test_a_label_is_an_options_text_before_it_is_a_letter(
    tmp_path: Path, label: str | int, options: tuple[str, ...], place: int | None
) -> None:
    item = {"id": 1, "text": "x", "options": list(options), "label": label}
    (tmp_path / "a.json").write_text(json.dumps([item]))
    names = {name: (name,) for name in ("id", "text", "options", "label")}
    if place is None:
        with pytest.raises(InputError, match="field label: is"):
            read_items(tmp_path / "a.json", "steerable", Layout(names))
    else:
        assert read_items(tmp_path / "a.json", "steerable", Layout(names))[0].label == place
