"""Files of answers of any length: read line by line, the memory that it takes does not grow with them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vispa.cli.batch import _report
from vispa.cli.setup import Setup
from vispa.errors import InputError
from vispa.files import limits
from vispa.files import lines as reading
from vispa.files.append_log import AnswerLog, retried_path, whole_lines
from vispa.files.door import read_text, text_lines
from vispa.files.lines import WholeLines, byte_lines, utf8_lines
from vispa.items import answering
from vispa.items.answering import BatchRun, BatchSummary
from vispa.items.begun import check_begun, settings_path
from vispa.items.item import Item
from vispa.readers.base import Failure
from vispa.study.value_use import read_uses

ITEMS = [Item(id=number, text=f"text {number}") for number in range(12)]
LONG = "long " * 100


class Answer:
    """An answer, as far as a line of answers needs one."""

    def model_dump(self, **_: object) -> dict[str, object]:
        return {"response": LONG, "values": [{"value": "karma", "score": 0.5}], "error": None}


def failing(*failed: int) -> Callable[[Sequence[Item]], Sequence[Answer | Failure]]:
    return lambda chunk: [Failure(f"{LONG}fails") if item.id in failed else Answer() for item in chunk]


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file that a run wrote may be read whole."""
    monkeypatch.setitem(limits.MAX_BYTES, "run", 600)
    monkeypatch.setattr(answering, "CHUNK", 3)


# ---------------------------------------------------------------- what was larger than a file may be


@pytest.mark.parametrize("failed", [(), (0,), (2, 3, 11), tuple(range(12))])
def test_an_output_over_the_limit_of_a_file_ends_and_is_gone_on_with(
    failed: tuple[int, ...], tmp_path: Path, small_limit: None, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, output = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    BatchRun(ITEMS, whole, {}).run(failing())
    assert BatchRun(ITEMS, output, {}).run(failing(*failed)) == 12
    assert output.stat().st_size > limits.MAX_BYTES["run"]
    # A stop in the midst of the last line, and of the lines of items that were asked again.
    output.write_bytes(output.read_bytes()[:-5])
    run = BatchRun(ITEMS, output, {})
    assert (run.run(failing()), run.failed) == (len({*failed, 11}), 0)
    assert output.read_bytes() == whole.read_bytes() and not retried_path(output).exists()
    _report(BatchSummary(str(output), 12, 12, 0, 1.0, 1, 1.0, 1), Setup(), as_json=True)
    assert json.loads(capsys.readouterr().out)["value_use"] == {"answers": 12, "shares": {"karma": 1.0}, "halves": None}


@pytest.mark.parametrize("again", [(), (1,), (0, 5, 6), (11,)])
def test_what_fails_again_keeps_its_newest_line(again: tuple[int, ...], tmp_path: Path, small_limit: None) -> None:
    output = tmp_path / "out.jsonl"
    BatchRun(ITEMS, output, {}).run(failing(*range(12)))
    run = BatchRun(ITEMS, output, {})
    assert (run.run(failing(*again)), run.failed, run.log.failed) == (12, len(again), list(again))
    found = [json.loads(line) for line in WholeLines(output)]
    assert [one["id"] for one in found] == list(range(12))
    assert [one["id"] for one in found if one["error"]] == list(again)


def test_answers_without_their_settings_are_refused_whatever_their_size(tmp_path: Path, small_limit: None) -> None:
    output = tmp_path / "out.jsonl"
    BatchRun(ITEMS, output, {}).run(failing())
    settings_path(output).unlink()
    with pytest.raises(InputError, match=r"settings\.json: is missing"):
        check_begun(output, {})


# ---------------------------------------------------------------- one line


@pytest.mark.parametrize(
    ("length", "end", "number"), [(101, b"\n", 1), (101, b"", 1), (101, b"\n", 3), (5000, b"", 3), (100, b"\n", None)]
)
def test_a_line_without_an_end_does_not_fill_the_memory(
    length: int, end: bytes, number: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_LINE", 100)
    path = tmp_path / "a.jsonl"
    before = [b"{}\n"] * ((number or 1) - 1)
    path.write_bytes(b"".join([*before, b"x" * (length - len(end)) + end]))
    if number is None:
        assert [len(line) for line in byte_lines(path)] == [100]
        return
    for read in (byte_lines, utf8_lines, WholeLines):
        with pytest.raises(InputError, match=f"a.jsonl line {number}: is longer than 100 bytes. Name a file with one"):
            list(read(path))


@given(st.binary(max_size=40))
def test_whole_lines_of_a_file_are_those_of_its_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("lines") / "a"
    path.write_bytes(data)
    assert list(WholeLines(path)) == whole_lines(data)
    assert b"".join(byte_lines(path)) == data


@given(st.text(st.sampled_from(["a", "é", "\n", "\r", "\u2028", "\f", " "]), max_size=30), st.booleans())
def test_lines_of_a_text_are_those_of_the_whole_text(
    tmp_path_factory: pytest.TempPathFactory, text: str, marked: bool
) -> None:
    path = tmp_path_factory.mktemp("lines") / "a"
    path.write_bytes(b"\xef\xbb\xbf" * marked + text.encode())
    assert list(utf8_lines(path)) == text_lines(read_text(path, "run"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}\n\xff\n", "a.jsonl line 2: is not UTF-8 (byte 0 of the line). Save the file with UTF-8 encoding."),
        (b"\xff\n", "a.jsonl: is not UTF-8 (byte 0, line 1)"),
        (b"{}\r{}\n\n{\0}\n", "a.jsonl line 4: holds a NUL character. Remove it"),
        (b"\x1f\x8b\n", "a.jsonl: is compressed (gzip)"),
        (b"\xff\xfe{\0}\0\n\0", "a.jsonl: is not UTF-8 (it begins as UTF-16 does)"),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError) as found:
        list(utf8_lines(path))
    assert message in str(found.value)


@pytest.mark.parametrize("read", [byte_lines, utf8_lines, read_uses])
def test_what_is_no_file_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    for place, problem in ((tmp_path / "missing", "cannot be read"), (tmp_path, "is a folder")):
        with pytest.raises(InputError, match=problem):
            list(read(place))  # type: ignore[call-overload]
    assert list(WholeLines(tmp_path / "missing")) == []


# ---------------------------------------------------------------- memory


def resumed(path: Path) -> None:
    log = AnswerLog(path, "Choose another.")
    items = [Item(id=number, text="x") for number in range(800)]
    log.resume(items)
    log.settle(items)
    assert log.done == 800


def taken_in(path: Path) -> None:
    retried_path(path).write_bytes(path.read_bytes())
    path.write_bytes(b"".join(json.dumps({"id": number, "error": "x"}).encode() + b"\n" for number in range(800)))
    tracemalloc.reset_peak()
    log = AnswerLog(path, "Choose another.")
    log.resume([Item(id=number, text="x") for number in range(800)])
    assert log.done == 800 and not log.failed


@pytest.mark.parametrize("read", [resumed, taken_in, read_uses])
def test_a_file_is_not_held_whole(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        for number in range(800):
            line = {"id": number, "values": [{"value": "karma", "score": 0.5}], "text": "x" * 15_000}
            file.write(json.dumps(line).encode() + b"\n")
    size = path.stat().st_size
    tracemalloc.start()
    try:
        read(path)
        assert tracemalloc.get_traced_memory()[1] < size / 2
    finally:
        tracemalloc.stop()
