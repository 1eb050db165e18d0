"""Files and folders that a case may need, made by name."""

from __future__ import annotations

import gzip
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

Maker = bytes | Callable[[Path], object]


def _json(data: Any) -> bytes:
    return json.dumps(data).encode()


def _link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def _link_to_nothing(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def _link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _socket(path: Path) -> None:
    # The address of a socket is short: made under a short name, and moved.
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


def _sparse(size: int) -> Callable[[Path], None]:
    """A file that has no content but a size."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return make


#: What no text file may be, whatever its format: kind → maker, and a word of the refusal.
UNREADABLE: dict[str, tuple[Maker, str]] = {
    "fifo": (os.mkfifo, "is no regular file"),
    "folder": (Path.mkdir, "is a folder"),
    "socket": (_socket, "is no regular file"),
    "loop": (_link_to_itself, "cannot be read"),
    "dangling": (_link_to_nothing, "cannot be read"),
    "zeros": (_link_to_zeros, "is no regular file"),
    "utf-16": ("﻿a = 1\n".encode("utf-16-le"), "begins as UTF-16"),
    "latin-1": (b"caf\xe9 = 1\n", "is not UTF-8 (byte 3, line 1)"),
    "cut-utf-8": (b"a = 1\nb = 2 \xe2\x82", "line 2"),
    "surrogate-bytes": (b"a = '\xed\xa0\x80'", "is not UTF-8"),
    "gzip": (gzip.compress(b"a = 1"), "is compressed (gzip)"),
    "nul": (b"a = 1\nb\0 = 2", "holds a NUL character in line 2"),
}

#: Situations that cannot be read as such: file name → content, and words of the refusal.
ITEMS: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "empty.txt": (b"", ("holds no item",)),
    "blank.txt": (b"\xef\xbb\xbf \r\n\t\n", ("holds no item",)),
    "empty.json": (b"", ("empty.json", "is empty")),
    "none.json": (b"[]", ("holds no item",)),
    "object.json": (b'{"text": "Feeding ducks"}', ("is not a JSON list", ".jsonl")),
    "number.json": (b"17", ("is not a JSON list",)),
    "cut.json": (b'[{"text": "Feeding ducks"},\n{"te', ("line 2", "not valid JSON")),
    "tail.json": (b'["Feeding ducks"] ["more"]', ("not valid JSON",)),
    "numbers.json": (b"[1, 2]", ("item 1", "neither an object nor a text")),
    "null.json": (b'["Feeding ducks", null]', ("item 2", "neither an object nor a text")),
    "nested.json": (b'[["Feeding ducks"]]', ("item 1", "neither an object nor a text")),
    "no-text.json": (b'[{"txt": "Feeding ducks"}]', ("item 1", "has no text", "situation")),
    "text-list.json": (b'[{"text": ["Feeding ducks"]}]', ("item 1", "text", "It should be")),
    "blank-text.json": (b'[{"text": "\\u200b"}]', ("1", "text", "is empty")),
    "escape-only.json": (b'[{"text": "\\u001b"}]', ("1", "text", "is empty")),
    "surrogate.json": (b'[{"text": "a \\ud83d b"}]', ("item 1", "half a surrogate pair")),
    "surrogate-name.json": (b'[{"\\udc00": 1, "text": "a"}]', ("item 1", "half a surrogate pair")),
    "nul.json": (b'[{"text": "a\\u0000b"}]', ("item 1", "NUL")),
    "nan.json": (b'[{"text": "a", "score": NaN}]', ("item 1", "score", "finite number")),
    "infinity.json": (b'[{"text": "a", "more": [-Infinity]}]', ("item 1", "more[0]", "finite number")),
    "digits.json": (b'[{"text": "a", "id": 1' + b"0" * 400 + b"}]", ("item 1", "id", "finite number")),
    "very-many-digits.json": (b'[{"text": "a", "id": ' + b"7" * 9000 + b"}]", ("too many digits",)),
    "exponent.json": (b'[{"text": "a", "n": 1e999}]', ("item 1", "finite number")),
    "deep.json": (b"[" * 100_000, ("nested too deeply",)),
    "deep-object.json": (b'[{"text": "a", "x": ' + b'{"x":' * 200 + b"1" + b"}" * 201 + b"]", ("nested too deeply",)),
    "id-twice.json": (b'[{"id": "q", "text": "a"}, {"id": "q", "text": "b"}]', ("'q' twice",)),
    "id-float.json": (b'[{"id": 1.5, "text": "a"}]', ("item 1", "field id", "1.5", "a text or a whole number")),
    "id-list.json": (b'[{"id": [], "text": "a"}]', ("item 1", "field id", "[]")),
    "id-true.json": (b'[{"id": true, "text": "a"}]', ("item 1", "field id", "True")),
    "name-twice.json": (b'[{"text": "a", "text": "b"}]', ("'text' twice",)),
    "options-text.json": (b'[{"text": "a", "options": "Yes"}]', ("item 1", "field options", "It should be")),
    "options-numbers.json": (b'[{"text": "a", "options": [1]}]', ("item 1", "field options", "It should be")),
    "long.json": (_json(["x" * 20_001]), ("20,001 characters", "20,000")),
    "bare.jsonl": (b'{"text": "a"}\nFeeding ducks\n', ("line 2", "not valid JSON")),
    "two-on-a-line.jsonl": (b'{"text": "a"} {"text": "b"}\n', ("line 1", "not valid JSON")),
    "id-twice.ndjson": (b'\n{"id": 3, "text": "a"}\n\n{"id": 3, "text": "b"}', ("3 twice",)),
    "cut.jsonlines": (b'{"text": "a"}\n{"text": "b', ("line 2",)),
    "header-only.csv": (b"situation\n", ("holds no item",)),
    "empty.csv": (b"", ("empty.csv",)),
    "comma.csv": (b"id,situation\n1,Feeding ducks, geese and swans\n", ("line 2", "quot")),
    "quote.csv": (b'id,situation\n1,"Feeding ducks\n2,Running\n', ("line 2", "quote")),
    "column-twice.csv": (b"situation,situation\na,b\n", ("situation", "twice")),
    "no-text-column.csv": (b"id,topic\n1,a\n", ("id, topic", "situation")),
    "huge-field.csv": (b"situation\n" + b"x" * 200_000 + b"\n", ("200,000 characters",)),
    "tabs.tsv": (b"id\tsituation\n1\ta\tb\n", ("line 2",)),
    "quote.tsv": (b'id\tsituation\n1\t"a\n', ("quote",)),
    "missing.tsv": (_link_to_nothing, ("cannot be read",)),
    "large.json": (_sparse(513 * 2**20), ("larger than 512 MiB",)),
    "terminal.txt": (b"\x07\x1b\n", ("is empty",)),
}

#: TOML that cannot be read as such, whatever it is for.
TOML: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "unclosed": (b'a = "x', ("not valid TOML", "end of document")),
    "no-value": (b"a =\n", ("not valid TOML",)),
    "json": (b'{"a": 1}', ("not valid TOML",)),
    "twice": (b"a = 1\na = 2\n", ("not valid TOML",)),
    "nan": (b"a = nan", ("field a", "finite")),
    "infinite": (b"[a]\nb = [1, -inf]", ("field a.b[1]", "finite")),
    "date": (b"a = 2024-02-30", ("not valid TOML",)),
    "day": (b"a = 2024-02-03", ("field a", "as text")),
    "digits": (b"a = 1" + b"0" * 400, ("field a", "finite")),
    "very-many-digits": (b"a = " + b"9" * 9000, ("too many digits",)),
    "deep": (b"a = " + b"[" * 100_000, ("nested too deeply",)),
    "deep-tables": (b"a = " + b"{b = " * 300 + b"1" + b"}" * 300, ("nested too deeply",)),
    "dotted": (b".".join([b"a"] * 50_000) + b" = 1", ("nested too deeply",)),
    "escape-surrogate": (b'a = "\\ud800"', ("not valid TOML",)),
    "nul-escape": (b'a = "x\\u0000"', ("field a", "NUL")),
    "large": (_sparse(2**20 + 1), ("larger than 1 MiB",)),
}


def make(folder: Path, name: str, maker: Maker) -> Path:
    """Make a file in a folder; folders on the way are made."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(maker, bytes):
        path.write_bytes(maker)
    else:
        maker(path)
    return path
