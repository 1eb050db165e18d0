"""The door through which files and standard input are read."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import re
import socket
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vispa.errors import InputError
from vispa.files import limits
from vispa.files.door import check_file, read_bytes, read_standard_input, read_text, text_lines
from vispa.files.reading import json_entries, parse_json, read_json, read_toml
from vispa.files.tables import read_table
from vispa.items.reading import read_items

READERS: tuple[Callable[[Path], object], ...] = (
    read_toml,
    read_items,
    read_table,
    lambda path: read_text(path, "items"),
    lambda path: list(json_entries(path)),
    lambda path: read_json(path, "mixture"),
    check_file,
)


def special(folder: Path, kind: str) -> Path:
    if kind == "device":
        return Path("/dev/zero")
    path = folder / "a.jsonl"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.close()
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
@pytest.mark.parametrize("kind", ["FIFO", "device", "folder", "socket"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = special(Path(), kind)
    message = "is a folder" if kind == "folder" else "is no regular file"
    for read in READERS:
        started = time.monotonic()
        with pytest.raises(InputError, match=f"{re.escape(str(path))}: {message}"):
            read(path)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("name", ["absent.json", "a\0b", "x" * 300])
def test_paths_that_lead_nowhere(tmp_path: Path, name: str) -> None:
    for read in READERS:
        with pytest.raises(InputError):
            read(tmp_path / name)


@pytest.mark.parametrize("kind", sorted(limits.MAX_BYTES))
def test_a_file_may_be_as_large_as_its_kind(tmp_path: Path, kind: limits.Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.MAX_BYTES[kind] >= 2**20
    monkeypatch.setitem(limits.MAX_BYTES, kind, 1000)
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 1000)
    assert len(read_bytes(path, kind)) == 1000
    path.write_bytes(b"x" * 1001)
    with pytest.raises(InputError, match=r"a\.txt: is larger than 1,000 bytes"):
        read_bytes(path, kind)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.truncate(2**40)
    for read in READERS[:-1]:
        with pytest.raises(InputError, match=r"is larger than [0-9,]+ MiB"):
            read(path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_a_file_whose_size_is_not_known_is_read() -> None:
    assert "Name:" in read_text(Path("/proc/self/status"), "items")


class Endless(io.RawIOBase):
    """A stream that never ends; counts what is taken from it."""

    taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        buffer[:] = b"y" * len(buffer)
        self.taken += len(buffer)
        return len(buffer)


def test_endless_standard_input_is_refused_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Endless()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(stream)))
    with pytest.raises(InputError, match="text: is larger than 1 MiB"):
        read_standard_input()
    assert stream.taken < 2 * limits.MAX_BYTES["text"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"one\ntwo \xff", r"is not UTF-8 \(byte 8, line 2\)"),
        (b"\xef\xbb\xbfone\r\rtwo \xe9", r"is not UTF-8 \(byte 12, line 3\)"),
        (b"one\x0c\xc2\x85\xe2\x80\xa8two \xe9", r"is not UTF-8 \(byte 13, line 1\)"),
        ("one".encode("utf-16"), "UTF-16"),
        (b"one\r\ntw\0o", "NUL character in line 2"),
        (b"\xed\xa0\x80", r"is not UTF-8 \(byte 0, line 1\)"),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(
    tmp_path: Path, data: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_text(path, "items")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    with pytest.raises(InputError, match=message):
        read_standard_input()


def zipped(text: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", text)
    return archive.getvalue()


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("xz", lzma.compress), ("zip", zipped)])
@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl", "json", "toml"])
def test_a_compressed_file_is_called_so(tmp_path: Path, name: str, pack: Callable[[bytes], bytes], suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(pack(b"A dog\n" * 100))
    with pytest.raises(InputError, match=rf"a.{suffix}: is compressed \({name}\). Unpack it"):
        read_toml(path) if suffix == "toml" else read_items(path)


@pytest.mark.parametrize("text", ['{"text": "a"}\n{"text": "b"}\n', '["a"]\n["b"]', '"a"\n"b"', '["a"] b'])
def test_lines_in_a_file_of_one_list_are_told_their_suffix(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"Extra data.*Write one list, or name the file a.jsonl"):
        read_items(path)
    # A file that is no list has no lines to make entries of.
    with pytest.raises(InputError, match=r"Extra data.*Repair the line"):
        read_json(path, "settings")


@pytest.mark.parametrize("suffix", ["txt", "csv", "tsv", "json", "jsonl", "jsonlines", "ndjson"])
def test_a_byte_order_mark_is_left_out_everywhere(tmp_path: Path, suffix: str) -> None:
    content = {"txt": "A dog", "csv": "text\nA dog", "tsv": "text\nA dog", "json": '["A dog"]'}
    path = tmp_path / f"a.{suffix}"
    path.write_text("\ufeff" + content.get(suffix, '"A dog"'), encoding="utf-8")
    assert [item.text for item in read_items(path)] == ["A dog"]


@pytest.mark.parametrize("character", ["\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029"])
def test_only_line_ends_end_lines(tmp_path: Path, character: str) -> None:
    text = f"one{character}half"
    assert text_lines(f"{text}\r\n{text}\r{text}\n\n{text}") == [text, text, text, "", text]
    contents = {
        "a.txt": f"{text}\r\nb",
        "a.csv": f"text\n{text}\nb\n",
        "a.tsv": f"text\n{text}\nb\n",
        "a.jsonl": f'"one\\u{ord(character):04x}half"\r"b"',
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content, encoding="utf-8", newline="")
        assert [item.text for item in read_items(tmp_path / name)] == [text, "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [1, NaN]}', r"field a\[1\]: is no finite number"),
        ('{"a": -Infinity}', "field a: is no finite number"),
        ('{"a": 1e400}', "field a: is no finite number"),
        ('{"a": {"b c": 1' + "0" * 400 + "}}", r"field a\.'b c': is no finite number"),
        ('{"a": 1' + "0" * 6000 + "}", "too many digits"),
        ('{"a": "x\\ud800y"}', r"field a: holds half a surrogate pair \(U\+D800\)"),
        ('{"a\\udfff": 1}', r"field name: holds half a surrogate pair \(U\+DFFF\)"),
        ('{"a": ["x\\u0000"]}', r"field a\[0\]: holds a NUL character"),
        ('{"a": ' + "[" * 70 + "]" * 70 + "}", "nested too deeply"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"a": 1, "b": 2, "a": 1}', "holds an object with the name 'a' twice"),
    ],
)
def test_json_that_nothing_can_use(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"here.*{message}"):
        parse_json(text, "here")
    for name, content, place in (("a.json", f"[1, {text}]", ""), ("a.jsonl", f"1\n{text}", "line 2")):
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=rf"{name}.*{place}.*{message}"):
            list(json_entries(tmp_path / name))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[b]\na = [1.0, inf]", r"field b\.a\[1\]: is no finite number"),
        ("a = -nan", "field a: is no finite number"),
        ("a = 1e400", "field a: is no finite number"),
        ("a = 1" + "0" * 400, "field a: is no finite number"),
        ("a = 1" + "0" * 6000, "too many digits"),
        ("a = 'x\0'", "holds a NUL character"),
        ('a = "x\\u0000"', "field a: holds a NUL character"),
        ("a = 1979-05-27", "field a: is '1979-05-27'"),
        ("a = " + "[" * 70 + "]" * 70, "nested too deeply"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("a" + ".a" * 200_000 + " = 1", "nested too deeply"),
        ("[a" + " . 'b c'" * 100_000 + "]", "nested too deeply"),
        ("a = 1\na = 2", "is not valid TOML"),
    ],
)
def test_toml_that_nothing_can_use(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    started = time.monotonic()
    with pytest.raises(InputError, match=rf"a\.toml.*{message}"):
        read_toml(tmp_path / "a.toml")
    assert time.monotonic() - started < 5


def test_long_texts_in_toml_are_read_in_no_time(tmp_path: Path) -> None:
    texts = {"a": "x" * 200_000, "b": ". " * 100_000, "c": "…" * 50_000, "d": "a.b." * 10}
    (tmp_path / "a.toml").write_text("".join(f'{name} = "{text}"\n' for name, text in texts.items()), encoding="utf-8")
    started = time.monotonic()
    assert read_toml(tmp_path / "a.toml") == texts
    assert time.monotonic() - started < 5
