"""`vispa select`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vispa.checks import check_k, check_text, check_threshold
from vispa.cli.console import print_json, progress_bars, text_argument
from vispa.errors import InputError
from vispa.inputs import check_item_text, read_items
from vispa.taxonomy import Taxonomy

_CHUNK = 1024


def select(
    text: Annotated[str | None, typer.Argument(help="The text; standard input where it is missing or `-`.")] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="File of many texts (JSON, JSON Lines, CSV or text lines).")
    ] = None,
    k: Annotated[int, typer.Option("--k", help="How many values to select.")] = 6,
    threshold: Annotated[float, typer.Option(help="Least relevance of a selected value, 0 to 1.")] = 0.0,
    encoder: Annotated[str, typer.Option(help="Sentence-transformers model by name or path.")] = "all-MiniLM-L6-v2",
    taxonomy: Annotated[Path | None, typer.Option(help="Folder of your own taxonomy.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score the values for a text and show the most relevant; with --input, print JSON Lines.

    Example: `vispa select "Skipping my vaccination" --k 3`
    """
    if input_file is not None and text is not None:
        raise InputError("--input", "and a text are both given.", "Give one of them.")
    values = Taxonomy.load(taxonomy) if taxonomy else Taxonomy.built_in()
    check_k(k, len(values))
    check_threshold(threshold)
    if input_file is not None:
        items = read_items(input_file)
        for item in items:
            check_item_text(item)
    else:
        text = text_argument(text)
        check_text(text)
    from vispa.selection.embedding import EmbeddingSelector
    from vispa.selection.selector import choose

    def choose_values(texts: list[str]) -> list[list[dict[str, Any]]]:
        chosen = choose(selector.scores(texts), values, k=k, threshold=threshold)
        return [[one.model_dump() for one in row] for row in chosen]

    selector = EmbeddingSelector(values, encoder)
    if text is not None:
        found = choose_values([text])[0]
        if as_json:
            print_json({"text": text.strip(), "values": found, "selector": selector.name})
        else:
            for chosen in found:
                typer.echo(f"{chosen['score']:.3f}  {chosen['value']}")
        return
    with progress_bars() as progress:
        for start in range(0, len(items), _CHUNK):
            chunk = items[start : start + _CHUNK]
            for item, found in zip(chunk, choose_values([item.text for item in chunk]), strict=True):
                print_json({"id": item.id, "values": found})
            progress("selecting", len(chunk), len(items))
