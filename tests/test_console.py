"""Output: data stays data, every console gets the answer, a full or closed one is told apart from a fault."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vispa.cli import compare, console, inspect, main, respond
from vispa.errors import InputError, OutputError
from vispa.evaluation.intervals import PairedDifference
from vispa.files.visible import is_blank, visible_line, visible_text
from vispa.request import check_text

#: Texts that restyle, move, hide, turn round or break a terminal's output where they are not plain text.
HOSTILE = [
    "[/bold] closing nothing",
    "a [/INST] b [INST] c",
    "[red]not red[/red] [link=https://example.org]x[/link]",
    "[bold",
    "\\[x] [\\] \\",
    ":smile: :warning:",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]8;;https://example.org\x1b\\click\x1b]8;;\x1b\\",
    "\x9b2Jcleared",
    "over\rwritten",
    "back\x08\x08space",
    "nul\x00l and del\x7f",
    "right to left \u202eevil\u202c",
    "isolated \u2066text\u2069",
    "lone \ud800 surrogate",
    "para\u2029graph, line\u2028break, next\x85line",
    "{name} %s %(x)s $(id) `id`",
]
FORBIDDEN = {*map(chr, (*range(9), *range(11, 32), *range(127, 160))), *"\u2028\u2029\u202a\u202b\u202c\u202d\u202e"}
FORBIDDEN |= set("\u2066\u2067\u2068\u2069")


# ---------------------------------------------------------------- texts


@given(st.text(st.characters(exclude_categories=[])))
def test_what_is_visible_holds_nothing_hidden(text: str) -> None:
    line, lines = visible_line(text), visible_text(text)
    assert not FORBIDDEN & set(line) and not {"\n", "\t"} & set(line)
    assert not FORBIDDEN & set(lines)
    line.encode()
    lines.encode()
    plain = "".join(one for one in text if one.isprintable() and one not in FORBIDDEN)
    if plain == text:
        assert line == lines == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\x1b[1m", r"a\x1b[1m"),
        ("\u202e", r"\u202e"),
        ("a\nb\tc", r"a\nb\tc"),
        ("é 日本 😀\u200d \u200f", "é 日本 😀\u200d \u200f"),
    ],
)
def test_hidden_characters_are_written_as_escapes(text: str, line: str) -> None:
    assert visible_line(text) == line


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "\u200b",
        "\u2060\ufeff \u200d",
        "\x00\x1b",
        "\u3164",
        "\u2800\u2800",
        "\u0301",
        "\ufe0f",
        "\u202e \u2069",
    ],
)
def test_a_text_without_a_visible_character_is_empty(text: str) -> None:
    assert is_blank(text)
    with pytest.raises(InputError, match="text: is empty"):
        check_text(text)


@pytest.mark.parametrize("text", ["a", ".", "\u200b☝\ufe0f", "é", "日", "𝔘", "١", " x "])
def test_a_text_with_one_is_not(text: str) -> None:
    assert not is_blank(text)
    check_text(text)


# ---------------------------------------------------------------- what the commands print


class Said(SimpleNamespace):
    """A record of which only what holds texts is given; all else is empty."""

    def __getattr__(self, name: str) -> tuple[()]:
        return ()


def answer(mode: str, text: str) -> Said:
    """An answer in which every text is the same."""
    return Said(
        mode=mode,
        values=[SimpleNamespace(value=text, score=0.5)],
        comments=[SimpleNamespace(value=text, text=text, steered=True, refused=False, ending="own", repeats=None)],
        response=text,
        claims=[SimpleNamespace(text=text, supported=False)],
        silent=(text,),
        target=text,
        chosen=0,
        options=(text, "No"),
        distribution=(0.25, 0.75),
        answer=None,
        mixture=text,
        weights=(1.0,),
    )


def comparison(text: str) -> SimpleNamespace:
    difference = PairedDifference(difference=0.0, low=0.0, high=0.0, confidence=0.95, p_value=1.0, n=2)
    method = SimpleNamespace(differences={text: difference}, flipped_by=text, gained=(text,), lost=())
    return SimpleNamespace(
        task=text,
        items=1,
        judge=text,
        budget=3,
        outdated={text: text},
        methods={text: method},
        only_in_first=(text,),
        only_in_second=(),
    )


PRINTERS: dict[str, Callable[[str], None]] = {
    **{
        mode: lambda text, mode=mode: respond._print(answer(mode, text))
        for mode in ("overton", "steerable", "distributional")
    },
    "compare": lambda text: compare._print(comparison(text)),
    "inspect": lambda text: inspect._print_table(text, [{"value": text, "accuracy": 0.5}]),
    "line": console.print_line,
    "text": console.print_text,
}


@pytest.mark.parametrize("printer", PRINTERS)
@pytest.mark.parametrize("text", HOSTILE)
def test_data_is_printed_as_plain_text(
    printer: str, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    PRINTERS[printer](text)
    printed = capsys.readouterr().out
    assert not FORBIDDEN & set(printed)
    assert (visible_line(text) if printer == "line" else visible_text(text)) in printed


@pytest.mark.parametrize("text", HOSTILE)
def test_errors_are_printed_as_plain_text(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise InputError(text, "is wrong.", "Mend it.")

    monkeypatch.setattr(main, "app", fail)
    assert main._run() == 2
    assert capsys.readouterr().err == f"vispa: {visible_line(text)}: is wrong. Mend it.\n"


@pytest.mark.parametrize("text", HOSTILE)
def test_stages_are_shown_as_plain_text(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "300")
    with console.progress_bars() as progress:
        progress(text, 1, 2)
        assert sys.stdout is not terminal
        console.print_json({})
    # Moving the cursor is the bar's own business; what the text says is plain.
    for hidden in ("\x1b]", "\x07", "\x9b", "\u202e", "\x1b[2J", "\x00"):
        assert hidden not in terminal.getvalue()
    assert visible_line(text).split()[0] in terminal.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_json_holds_the_text_and_nothing_hidden(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"text": text})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"text": text}
    assert not FORBIDDEN & set(printed) and printed.count("\n") == 1


# ---------------------------------------------------------------- consoles


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "shift_jis", "koi8-r", "utf-8", "utf-16"])
def test_every_console_gets_the_whole_answer(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"text": "café — “日本” 😀 \x9b\u202e", "n": [1.5, None]}
    out = stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    console.print_json(data)
    assert json.loads(out.buffer.getvalue().decode(encoding)) == data  # type: ignore[attr-defined]
    out = stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    respond._print(answer("distributional", "naïve 日"))  # type: ignore[arg-type]
    console.print_line("end")
    printed = out.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert "na" in printed and "75.0%" in printed and printed.rstrip().endswith("end")


def vispa(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, **options.pop("environment", {})}  # type: ignore[dict-item]
    command = [sys.executable, "-m", "vispa", *arguments]
    return subprocess.run(command, env=environment, stderr=subprocess.PIPE, timeout=60, **options)  # type: ignore[call-overload]


@pytest.mark.parametrize("arguments", [("values",), ("values", "--json"), ("values", "karma")])
def test_a_console_without_unicode_loses_nothing(arguments: tuple[str, ...]) -> None:
    plain, narrow = (
        vispa(*arguments, stdout=subprocess.PIPE, environment={"PYTHONIOENCODING": encoding, "LC_ALL": "C"})
        for encoding in ("utf-8", "ascii")
    )
    assert plain.returncode == narrow.returncode == 0 and narrow.stderr == b""
    if "--json" in arguments:
        assert json.loads(narrow.stdout) == json.loads(plain.stdout)
    assert narrow.stdout.isascii() and narrow.stdout.count(b"\n") == plain.stdout.count(b"\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [("values",), ("values", "--json"), ("values", "karma")])
def test_a_full_output_is_said_once(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        found = vispa(*arguments, stdout=full)
    assert found.returncode == 1
    assert found.stderr.startswith(b"vispa: standard output: cannot be written (No space left on device). Files that")
    assert found.stderr.count(b"\n") == 1


@pytest.mark.parametrize("arguments", [("values", "--json"), ("--help",), ("values", "--help"), ("bank", "--help")])
def test_a_reader_that_has_gone_is_no_fault(arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    found = vispa(*arguments, stdout=writing)
    os.close(writing)
    assert (found.returncode, found.stderr) == (0, b"")


def test_a_closed_output_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputError, match="standard output: is closed"):
        console.print_line("x")


def test_options_that_are_none_are_refused_in_one_line() -> None:
    for arguments in (("values", "--\x1b[31m"), ("mixture", "a", "-o", "b", "--folds", "[/bold]"), ("\x1b[2J[/x]",)):
        found = vispa(*arguments, stdout=subprocess.PIPE)
        assert found.returncode == 2 and found.stdout == b""
        assert found.stderr.startswith(b"vispa: ") and found.stderr.count(b"\n") == 1 and b"\x1b" not in found.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/far/away\x1b"),
            r"/far/away\x1b: cannot be written (No space",
        ),
        (OSError(errno.EFBIG, "File too large"), "a file: cannot be written (File too large). What was written before"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "cannot be written (Disk quota exceeded)"),
        (OutputError("out.jsonl", "was deleted.", "Repeat."), "vispa: out.jsonl: was deleted. Repeat."),
        (ValueError("[/x]\x1b[31m"), r"internal error: ValueError: [/x]\x1b[31m (run with"),
        (ConnectionError("reset"), "internal error: ConnectionError: reset"),
    ],
)
def test_a_full_disk_is_no_internal_error(
    error: Exception, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(main, "app", fail)
    monkeypatch.setattr(main, "_leave_output", lambda: None)
    assert main._run() == 1
    assert words in capsys.readouterr().err
