"""Items that are piped in: the same as those of a file."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.errors import InputError
from vispa.items.reading import STANDARD_INPUT, read_items

JSON_LINES = '{"id": "a", "text": "Eating meat"}\n\n{"situation": "Telling a lie"}\n'
TEXTS = "Eating meat\n\n  Telling a lie \n"


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(("text", "suffix"), [(JSON_LINES, ".jsonl"), (TEXTS, ".txt"), (f"\n  {JSON_LINES}", ".jsonl")])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_piped_items_are_those_of_a_file(
    text: str, suffix: str, mark: bytes, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = mark + text.replace("\n", end).encode()
    file = tmp_path / f"items{suffix}"
    file.write_bytes(data)
    pipe(monkeypatch, data)
    assert read_items(STANDARD_INPUT) == read_items(file) and len(read_items(file)) == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds no item"),
        (b'{"text": "Rest"}\n{"text": \n', "standard input line 2: is not valid JSON"),
        (b'{"text": "Rest"}\n{"id": 1}\n', "standard input line 2: has no text"),
        (b"Rest\xff", "standard input: is not UTF-8"),
        (b"\x1f\x8b\x08\x00", "standard input: is compressed"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_line(data: bytes, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, data)
    with pytest.raises(InputError, match=said):
        read_items(STANDARD_INPUT)


@pytest.mark.parametrize("text", [JSON_LINES, TEXTS])
def test_a_batch_that_is_piped_in_goes_on(text: str, tmp_path: Path) -> None:
    output = tmp_path / "answers.jsonl"
    command = ["batch", "-", "-o", str(output), "--model", "embedded", "--k", "1", "--max-new-tokens", "4"]
    assert CliRunner().invoke(app, command, input=text).exit_code == 0
    whole = output.read_bytes()
    output.write_bytes(whole[: whole.index(b"\n") + 9])
    assert CliRunner().invoke(app, command, input=text).exit_code == 0
    assert output.read_bytes() == whole and whole.count(b"\n") == 2


def test_many_texts_are_selected_for_from_a_pipe() -> None:
    found = CliRunner().invoke(app, ["select", "--input", "-", "--k", "1"], input=TEXTS)
    assert [json.loads(line)["id"] for line in found.stdout.splitlines()] == [1, 3]
