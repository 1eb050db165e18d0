"""`vispa batch`."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.cli.console import print_json, print_line, progress_bars
from vispa.cli.grouping import grouped
from vispa.cli.options import AsJson, Asking
from vispa.cli.setup import Setup, refuse_idle
from vispa.errors import VispaError
from vispa.items.reading import check_item_text, read_items

if TYPE_CHECKING:
    from vispa.items.answering import BatchSummary


@grouped
def batch(
    context: typer.Context,
    items_file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Texts: VITAL or ModPlural JSON, JSON Lines, CSV, or text lines.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON Lines file; continued if it exists.")],
    limit: Annotated[int | None, typer.Option(help="Answer the first N items only.", min=1)] = None,
    overwrite: Annotated[bool, typer.Option(help="Begin anew although there is an output.")] = False,
    *,
    asking: Asking,
    setup: Setup,
    as_json: AsJson = False,
) -> None:
    """Answer a file of texts, one JSON line each; stopped runs continue where they were.

    In steerable mode an item's own target (`vrd` or `attribute`) is used unless --toward is given.

    Example: `vispa batch situations.json -o answers.jsonl`
    """
    mode, reading = asking.checked_mode, setup.reading
    from vispa.items.answering import answer_file, check_batch_output

    check_batch_output(output, (items_file, setup.steering.recipe_file, reading.prompts, Path(reading.weights)))
    started = time.perf_counter()
    remote = None
    if asking.server is not None:
        from vispa.cli.remote import Remote

        remote = Remote(context, setup, asking)
    else:
        refuse_idle(context, setup.idle(mode))
    items = read_items(items_file, mode)[:limit]
    for item in items:
        check_item_text(item)
    if remote is not None:
        with progress_bars() as progress:
            _report(remote.answer_file(items, output, overwrite=overwrite, started=started, progress=progress), as_json)
        return
    known = setup.check()
    given = {"toward": asking.toward, "options": asking.choices, "passages": reading.passages}
    shared = {**given, **setup.request_options(known)}
    from vispa.items.asking import checked_requests, item_request

    requests = {item.id: item_request(item, shared, own_stances=setup.own_stances) for item in items}
    checked_requests(requests, known)
    with progress_bars() as progress:
        found = answer_file(
            setup.load(known, progress),
            items,
            requests,
            output,
            {**setup.settings(), "mode": mode, **given},
            sampling=setup.decoding.sampling,
            overwrite=overwrite,
            started=started,
            progress=progress,
        )
    _report(found, as_json)


def _report(found: BatchSummary, as_json: bool) -> None:
    """Print what was done; end with exit code 1 where items have no answer."""
    if as_json:
        print_json(asdict(found))
    else:
        print_line("  ".join(f"{name.replace('_', ' ')}: {figure}" for name, figure in asdict(found).items()))
    if found.failed:
        raise VispaError(
            f"{found.output}: {found.failed:,} of {found.items:,} items have no answer; their lines say why (`error`). "
            "Repeat the command to ask them again."
        )
