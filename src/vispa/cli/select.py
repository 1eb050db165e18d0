"""`vispa select`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vispa.cli import options as o
from vispa.cli.console import print_json, print_line, progress_bars, text_argument
from vispa.errors import InputError
from vispa.items.reading import check_item_text, read_items
from vispa.request import check_text
from vispa.selection import SELECTORS

_CHUNK = 1024


def select(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(help="The text; standard input where it is missing or `-`.")] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="File of many texts (JSON, JSON Lines, CSV or text lines).")
    ] = None,
    k: o.K = None,
    threshold: o.Threshold = 0.0,
    diversity: o.Diversity = 0.0,
    selector: o.SelectorName = "embedding",
    selector_model: o.SelectorModel = None,
    taxonomy: o.TaxonomyFolder = None,
    device: o.Device = None,
    trust_remote_code: o.TrustRemoteCode = False,
    as_json: o.AsJson = False,
) -> None:
    """Score the values for a text and show the most relevant; with --input, print JSON Lines.

    Example: `vispa select "Skipping my vaccination" --k 3`
    """
    if input_file is not None and text is not None:
        raise InputError("--input", "and a text are both given.", "Give one of them.")
    setup = o.Setup(
        k=k,
        threshold=threshold,
        diversity=diversity,
        taxonomy=taxonomy,
        selector=selector,
        selector_model=selector_model,
        device=device,
        trust_remote_code=trust_remote_code,
    )
    values = setup.check()
    o.refuse_idle(context, dict.fromkeys(SELECTORS[selector].idle, f"with the {selector} selector"))
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

    def choose_values(texts: list[str]) -> list[list[dict[str, Any]]]:
        chosen = [
            chooser.choose(row, k=o.count_option(k), threshold=threshold, diversity=diversity)
            for row in chooser.scores(texts)
        ]
        return [[one.model_dump() for one in row] for row in chosen]

    if text is not None:
        found = choose_values([text])[0]
        if as_json:
            print_json({"text": text.strip(), "values": found, "selector": chooser.selector.name})
        else:
            for chosen in found:
                print_line(f"{chosen['score']:.3f}  {chosen['value']}")
        return
    with progress_bars() as progress:
        for start in range(0, len(items), _CHUNK):
            chunk = items[start : start + _CHUNK]
            for item, found in zip(chunk, choose_values([item.text for item in chunk]), strict=True):
                print_json({"id": item.id, "values": found})
            progress("selecting", len(chunk), len(items))
