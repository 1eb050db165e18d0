"""`vispa select`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vispa.cli.console import print_json, print_line, progress_bars, text_argument
from vispa.cli.grouping import grouped, only
from vispa.cli.options import AsJson
from vispa.cli.setup import Setup, refuse_idle
from vispa.errors import InputError
from vispa.items.reading import check_item_text, read_items
from vispa.request import check_text
from vispa.selection import SELECTORS

_CHUNK = 1024


_OF_SELECTING = (
    "k", "threshold", "diversity", "selector", "selector_model", "taxonomy", "device", "trust_remote_code",
)  # fmt: skip


@grouped
def select(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(help="The text; standard input where it is missing or `-`.")] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="File of many texts (JSON, JSON Lines, CSV or text lines).")
    ] = None,
    *,
    setup: Annotated[Setup, only(*_OF_SELECTING)],
    as_json: AsJson = False,
) -> None:
    """Score the values for a text and show the most relevant; with --input, print JSON Lines.

    Example: `vispa select "Skipping my vaccination" --k 3`
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
    from vispa.selection.choosing import Chooser

    with progress_bars() as progress:
        chooser = Chooser(setup.make_selector(values, progress))

    def chosen(texts: list[str]) -> list[list[dict[str, Any]]]:
        limits = {"k": selecting.count, "threshold": selecting.threshold, "diversity": selecting.diversity}
        return [
            [one.model_dump() for one in chooser.choose(row, **limits)]  # type: ignore[arg-type]
            for row in chooser.scores(texts)
        ]

    if text is not None:
        _print(text, chosen([text])[0], chooser.selector.name, as_json)
        return
    with progress_bars() as progress:
        for start in range(0, len(items), _CHUNK):
            chunk = items[start : start + _CHUNK]
            for item, found in zip(chunk, chosen([item.text for item in chunk]), strict=True):
                print_json({"id": item.id, "values": found})
            progress("selecting", len(chunk), len(items))


def _print(text: str, values: list[dict[str, Any]], selector: str, as_json: bool) -> None:
    if as_json:
        print_json({"text": text.strip(), "values": values, "selector": selector})
        return
    for one in values:
        print_line(f"{one['score']:.3f}  {one['value']}")
