"""`vispa select`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.cli.console import print_json, progress_bars, text_argument
from vispa.cli.grouping import grouped, only
from vispa.cli.options import AsJson
from vispa.cli.selected import note_below, print_selected
from vispa.cli.setup import Setup, refuse_idle
from vispa.errors import InputError, TextError, VispaError
from vispa.items.reading import check_item_text, read_items
from vispa.request import Request, check_text
from vispa.selection import SELECTORS

if TYPE_CHECKING:
    from vispa.items.item import Item
    from vispa.records import Selection

    _Choosing = Callable[[Sequence[str]], Sequence[Sequence[Selection]]]

_CHUNK = 1024
# Texts at a time that are explained, each scored once a word.
_EXPLAINED = 16


_OF_SELECTING = (
    "k", "threshold", "diversity", "selector", "selector_model", "taxonomy", "language", "device", "trust_remote_code",
)  # fmt: skip


@grouped
def select(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(help="The text; standard input where it is missing or `-`.")] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="File of many texts (JSON, JSON Lines, CSV or text lines), or `-`.")
    ] = None,
    why: Annotated[bool, typer.Option("--why", help="Show which words carry each value's score.")] = False,
    *,
    setup: Annotated[Setup, only(*_OF_SELECTING)],
    as_json: AsJson = False,
) -> None:
    """Score the values for a text and show the most relevant; with --input, print JSON Lines.

    Example: `vispa select "Skipping my vaccination" --k 3 --why`
    """
    if input_file is not None and text is not None:
        raise InputError("--input", "and a text are both given.", "Give one of them.")
    selecting = setup.selecting
    values = setup.check()
    refuse_idle(context, dict.fromkeys(SELECTORS[selecting.selector].idle, f"with the {selecting.selector} selector"))
    if input_file is not None:
        items = read_items(input_file)
        for item in items:
            check_item_text(item)
    else:
        text = text_argument(text)
        check_text(text)
        text = text.strip()
        setup.check_readable([text], values)
    from vispa.selection.choosing import Chooser

    with progress_bars() as progress:
        chooser = Chooser(setup.make_selector(values, progress))

    def chosen(texts: Sequence[str]) -> Sequence[tuple[Selection, ...]]:
        requests = [Request(one, **setup.request_options(values)) for one in texts]
        return chooser.explain(texts, chooser.select(requests)) if why else chooser.select(requests)

    if text is not None:
        (found,) = chosen([text])
        if as_json:
            print_json(chooser.record(text, found))
        else:
            print_selected(text, found, values)
        note_below(selecting.threshold, [found])
        return
    selected = _print_many(items, chosen, _EXPLAINED if why else _CHUNK)
    note_below(selecting.threshold, selected)
    if failed := len(items) - len(selected):
        raise VispaError(f"{failed:,} of {len(items):,} texts have no values; their lines say why (`error`).")


def _print_many(items: Sequence[Item], chosen: _Choosing, size: int) -> list[Sequence[Selection]]:
    """Print a line for each item, so many at a time; gives the values of those that have any."""
    from vispa.readers.apart import answered_apart

    selected = []
    with progress_bars() as progress:
        for start in range(0, len(items), size):
            chunk = items[start : start + size]
            answers: list[Sequence[Selection] | TextError] = answered_apart(
                [item.text for item in chunk], chosen, lambda error: error
            )
            for item, answer in zip(chunk, answers, strict=True):
                if isinstance(answer, TextError):
                    print_json({"id": item.id, "error": str(answer)})
                else:
                    selected.append(answer)
                    print_json({"id": item.id, "values": [one.model_dump() for one in answer]})
            progress("selecting", len(chunk), len(items))
    return selected
