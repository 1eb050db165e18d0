"""What all commands share: the one door that output goes through, progress bars, reading the text argument.

Whatever is printed is data: texts of users and models, names, paths, replies of servers. None of
it is read as markup, and what cannot be seen is written out (`vispa.files.visible`).
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from vispa.errors import InputError, OutputError
from vispa.files.door import read_standard_input
from vispa.files.visible import visible_line, visible_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

# A line that may be as long as it needs to be, in characters.
_ENDLESS = 100_000
# A column whose words have at most so many characters is never broken within one; another one, where its words may be,
# has at least so many.
_WHOLE, _LEAST_FOLDED = 24, 12


class ReaderGone(Exception):
    """The reader of standard output has gone, as in `vispa values | head`."""


def print_line(text: str = "") -> None:
    """One line on standard output; a line end in it is written out."""
    _write(visible_line(text) + "\n")


def print_text(text: str) -> None:
    """A text of several lines on standard output."""
    _write(visible_text(text) + "\n")


def print_json(data: Any) -> None:
    """One JSON object on standard output; escaped where the output's encoding or a terminal asks for it."""
    text = json.dumps(data, ensure_ascii=False)
    hides = visible_line(text) != text
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        hides = True
    _write((json.dumps(data) if hides else text) + "\n")


def print_drawn(drawn: RenderableType) -> None:
    """A table or the like on standard output, within `line_width`; its texts are made by `cell`."""
    from rich.table import Table

    # Drawn first and written after: rich itself would see to closed pipes and encodings in its own way.
    held = _Held(getattr(sys.stdout, "encoding", None) or "ascii")
    width = line_width()
    endless = _console(held, _ENDLESS)
    if not isinstance(drawn, Table):
        _console(held, width or _ENDLESS).print(drawn)
    elif _takes_widths(drawn, endless, width):
        endless.print(drawn)
    else:
        _console(held, width or _ENDLESS).print(_records(drawn, width or _ENDLESS))
    # Cells are filled up with spaces.
    _write("\n".join(line.rstrip() for line in held.getvalue().split("\n")))


def _console(held: io.StringIO, width: int) -> Console:
    from rich.console import Console

    terminal = sys.stdout is not None and sys.stdout.isatty()
    # Without a height rich asks some terminal for its size, whoever's it is.
    return Console(
        file=held,
        width=width,
        height=25,
        force_terminal=terminal or None,
        markup=False,
        highlight=False,
        emoji=False,
    )


def line_width() -> int | None:
    """Most characters of a line: those of the terminal, or what `COLUMNS` says; here it is decided for all commands.

    None for a file or a pipe: there a line is as long as it needs to be.
    """
    import os
    import shutil

    if not os.environ.get("COLUMNS") and (sys.stdout is None or not sys.stdout.isatty()):
        return None
    return shutil.get_terminal_size().columns


def _takes_widths(table: Table, console: Console, width: int | None) -> bool:
    """Give each column of a table its width; False where a line has no room for all of them.

    A column of numbers, of names or of what else has no spaces is never broken, nor is one that is not to wrap; any
    other breaks between its words, and one whose `overflow` is to fold also within a long word, if nothing else helps.
    """
    from rich.measure import Measurement

    least, most, folded = [], [], []
    for column in table.columns:
        cells = [Measurement.get(console, console.options, one) for one in column.cells]
        head = Measurement.get(console, console.options, column.header if table.show_header else "")
        longest, word = (max((sizes[place] for sizes in cells), default=0) for place in (1, 0))
        whole = column.no_wrap or longest == word
        least.append(max(head.minimum, longest if whole else word))
        most.append(max(head.maximum, longest))
        folds = column.overflow == "fold" and not column.no_wrap and word > _WHOLE
        folded.append(max(head.minimum, _LEAST_FOLDED) if folds else least[-1])
        # Else its heading would not be broken between words either.
        column.no_wrap = False
    _set_widths(table, most)
    beside = console.measure(table).maximum - sum(most)
    room = (sum(most) if width is None else width - beside) - sum(least)
    if room < 0:
        room, least = room + sum(least) - sum(folded), folded
    # Those that lack little have it all: headings before prose.
    for place in sorted(range(len(least)), key=lambda place: most[place] - least[place]):
        more = max(0, min(room, most[place] - least[place]))
        least[place] += more
        room -= more
    _set_widths(table, least)
    return room >= 0


def _set_widths(table: Table, widths: Sequence[int]) -> None:
    for column, width in zip(table.columns, widths, strict=True):
        column.width = width


def _records(table: Table, width: int) -> Text:
    """A table's rows one below the other, each cell behind its heading, for lines that are too short for the table."""
    import textwrap

    from rich.cells import cell_len

    heads = [f"{_plain(column.header)} " if table.show_header else "" for column in table.columns]
    lines = [_plain(table.title)] if table.title else []
    for row in zip(*(map(_plain, column.cells) for column in table.columns), strict=True):
        packed = [row[0]]
        for head, text in zip(heads[1:], row[1:], strict=True):
            part = f"  {head}{text}" if text else ""
            if len(packed) == 1 or cell_len(packed[-1] + part) > width:
                packed.append("")
            packed[-1] += part
        for line in filter(None, packed):
            # Prose may be longer than a line by itself.
            lines += textwrap.wrap(
                line, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
            )
    return cell("\n".join(lines))


def _plain(drawn: RenderableType | None) -> str:
    """The text of a heading or cell; none of a bar."""
    from rich.text import Text

    return drawn.plain if isinstance(drawn, Text) else drawn if isinstance(drawn, str) else ""


def shows_styles() -> bool:
    """Whether standard output is a terminal that words can be shaded on."""
    import os

    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def print_note(text: str) -> None:
    """One line on standard error."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(visible_line(text) + "\n")
        sys.stderr.flush()


def confirm(question: str) -> None:
    """Ask, on standard error, whether to go on; anything but yes ends the command."""
    import typer

    if sys.stdin is None:
        raise typer.Abort
    typer.confirm(visible_line(question), abort=True, err=True)


def cell(text: str, style: str = "") -> Text:
    """A text for a table: plain, its line ends kept."""
    from rich.text import Text

    return Text(visible_text(text), style=style)


def flush_output() -> None:
    """See that everything printed has gone out.

    Raises:
        OutputError, ReaderGone: as the printing functions.
    """
    _write("")


def _write(text: str) -> None:
    """Write to standard output.

    Raises:
        OutputError: it is closed, or there is no room.
        ReaderGone: it is a pipe that nobody reads any more.
    """
    kept = "Files that the command wrote are kept; only what it prints is missing."
    if sys.stdout is None:
        raise OutputError("standard output", "is closed.", kept)
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGone from error
    except (OSError, ValueError) as error:
        problem = f"cannot be written ({getattr(error, 'strerror', None) or error})."
        raise OutputError("standard output", problem, kept) from error


class _Held(io.StringIO):
    """A text in memory that names the encoding it is for, so that rich draws with characters that it has."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of standard output."""
        return self._encoding


def text_argument(text: str | None) -> str:
    """The argument, or standard input where it is missing or `-`.

    Raises:
        InputError: neither is given, or standard input is too long or not UTF-8.
    """
    if text is not None and text != "-":
        return text
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("text", "is missing.", "Give it as an argument, or on standard input.")
    return read_standard_input()


def names_argument(values: str | None) -> tuple[str, ...]:
    """Names separated by commas."""
    if values is None:
        return ()
    names = tuple(name.strip() for name in values.split(",") if name.strip())
    if not names:
        raise InputError("--values", "names no value.", "Write for example --values honor,karma.")
    return names


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars on standard error, one a stage; silent when that is not a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # Standard output is left alone, so that an answer's lines go where they are sent.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(visible_line(stage), total=total)
            progress.advance(tasks[stage], done)

        yield report


@contextmanager
def resumable_bars(
    stages: Collection[str], total: int, *, overwrite: bool
) -> Iterator[Callable[[str, int, int], None]]:
    """As `progress_bars`, for work that an interrupted command goes on with: says then how far it came.

    Args:
        stages: whose items count.
        total: number of the items of all of them.
        overwrite: the command would delete what is done where it is repeated as it is.
    """
    done = 0
    try:
        with progress_bars() as progress:

            def report(stage: str, count: int, of: int) -> None:
                nonlocal done
                done += count if stage in stages else 0
                progress(stage, count, of)

            yield report
    except KeyboardInterrupt:
        # What is asked again counts twice.
        if done:
            how = "repeat the command" + (" without --overwrite" if overwrite else "")
            print_note(f"vispa: {min(done, total):,} of {total:,} items are done; {how} to go on.")
        raise
