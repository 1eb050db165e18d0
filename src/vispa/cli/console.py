"""What all commands share: output, progress bars, reading the text argument."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vispa.errors import InputError


def print_json(data: Any) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False) + "\n")


def text_argument(text: str | None) -> str:
    """The argument, or standard input where it is missing or `-`.

    Raises:
        InputError: neither is given, or standard input is not UTF-8.
    """
    if text is not None and text != "-":
        return text
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("text", "is missing.", "Give it as an argument, or on standard input.")
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("text", f"is not UTF-8 (byte {error.start}).", "Send it with UTF-8 encoding.") from error


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
    if not sys.stderr.isatty():
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
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.advance(tasks[stage], done)

        yield report
