"""`vispa batch`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli.console import print_json, print_line, resumable_bars
from vispa.cli.grouping import grouped
from vispa.cli.options import AsJson, Asking, Spreading
from vispa.cli.selected import note_below
from vispa.cli.setup import Setup, refuse_idle
from vispa.errors import VispaError
from vispa.items.reading import check_item_text, read_items

if TYPE_CHECKING:
    from vispa.files.append_log import Identifier
    from vispa.items.answering import BatchSummary
    from vispa.items.item import Item
    from vispa.items.workers import Work
    from vispa.readers.base import Failure
    from vispa.records import Response
    from vispa.request import Request
    from vispa.study.value_use import UseOverTime

# So many values are printed; --json gives all.
_SHOWN = 6


@grouped
def batch(
    context: typer.Context,
    items_file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Texts: VITAL or ModPlural JSON, JSON Lines, CSV, or text lines; `-` for standard input.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON Lines file; continued if it exists.")],
    limit: Annotated[int | None, typer.Option(help="Answer the first N items only.", min=1)] = None,
    overwrite: Annotated[bool, typer.Option(help="Begin anew although there is an output.")] = False,
    *,
    asking: Asking,
    spreading: Spreading,
    setup: Setup,
    as_json: AsJson = False,
) -> None:
    """Answer a file of texts, one JSON line each; stopped runs continue where they were.

    In steerable mode an item's own target (`vrd` or `attribute`) is used unless --toward is given.

    Example: `vispa batch situations.json -o answers.jsonl`
    """
    mode, reading = asking.checked_mode, setup.reading
    from vispa.items.answering import answer_file, check_batch_output
    from vispa.items.begun import check_begun_so_far, items_digest

    check_batch_output(output, (items_file, setup.steering.recipe_file, reading.prompts, Path(reading.weights)))
    how: dict[str, Any] = {"overwrite": overwrite, "max_failures": spreading.max_failures}
    how["started"] = time.perf_counter()
    remote = None
    if asking.server is not None:
        from vispa.cli.remote import Remote

        refuse_idle(context, dict.fromkeys(("ray", "workers"), "with --server, which answers"))
        remote = Remote(context, setup, asking)
    else:
        refuse_idle(context, setup.idle(mode) | spreading.idle())
    items = read_items(items_file, mode)[:limit]
    for item in items:
        check_item_text(item)
    bars = partial(resumable_bars, ("answering",), len(items), overwrite=overwrite)
    if remote is not None:
        # Of why an item failed a server says the words, not the kind.
        how["tells_kinds"] = False
        with bars() as progress:
            _report(remote.answer_file(items, output, progress=progress, **how), setup, as_json)
        return
    known = setup.check(runs_here=spreading.ray is None)
    given = {"toward": asking.toward, "options": asking.choices, "passages": reading.passages}
    shared = {**given, **setup.request_options(known, mode)}
    from vispa.items.asking import checked_requests, item_request

    requests = {item.id: item_request(item, shared, own_stances=setup.own_stances) for item in items}
    checked_requests(requests, known, setup.mixture.values)
    options, sampling = {**setup.settings(), "mode": mode, **given}, setup.decoding.sampling
    how["digest"] = digest = items_digest(items)
    if not overwrite:
        # Before seconds go into loading a model.
        check_begun_so_far(output, digest, options, sampling)
    with bars() as progress:
        how["progress"] = progress
        if spreading.ray is not None:
            found = _over_ray(spreading, setup, items, requests, output, options, how)
        else:
            vispa = setup.load(known, progress)
            found = answer_file(vispa, items, requests, output, options, sampling=sampling, **how)
    _report(found, setup, as_json)


def _over_ray(
    spreading: Spreading,
    setup: Setup,
    items: Sequence[Item],
    requests: Mapping[Identifier, Request],
    output: Path,
    options: dict[str, Any],
    how: dict[str, Any],
) -> BatchSummary:
    """As `answer_file`, by workers, each of which loads the setup's pipeline."""
    from vispa.items.answering import answered_file
    from vispa.items.failing import Lost
    from vispa.items.workers import Workers

    assert spreading.ray is not None
    with Workers(partial(_work, setup, options), spreading.ray, spreading.workers, Lost) as workers:
        settings, _ = workers.about()
        return answered_file(partial(workers.answers, ""), items, requests, output, settings, **how)


def _work(setup: Setup, options: dict[str, Any], threads: int) -> Work[Response | Failure]:
    """What a worker makes ready."""
    from vispa.items.answering import batch_settings, responder
    from vispa.items.workers import Work

    own, sampling = setup.on_threads(threads), setup.decoding.sampling
    vispa = own.load(own.check())
    respond = responder(vispa, sampling)
    return Work(batch_settings(vispa, options, sampling), lambda _, asked: respond(asked))


def _report(found: BatchSummary, setup: Setup, as_json: bool) -> None:
    """Print what was done; end with exit code 1 where items have no answer."""
    from vispa.study.value_use import over_time, read_uses

    uses = read_uses(Path(found.output))
    use = over_time(uses)
    if as_json:
        print_json({**asdict(found), "value_use": asdict(use)})
    else:
        # Where nothing failed, nothing may pass.
        shown = {**asdict(found), "may_pass": found.may_pass if found.failed else None}
        figures = {name: figure for name, figure in shown.items() if figure is not None}
        print_line("  ".join(f"{name.replace('_', ' ')}: {figure}" for name, figure in figures.items()))
        _print_use(use)
    note_below(setup.selecting.threshold, uses)
    if found.failed:
        from vispa.items.failing import what_to_do

        raise VispaError(
            f"{found.output}: {found.failed:,} of {found.items:,} items have no answer; their lines say why (`error`). "
            f"{what_to_do(found.failed, found.may_pass)}"
        )


def _print_use(use: UseOverTime) -> None:
    """Which values the answers use, and whether that changed from the first half of them to the second."""
    if not use.shares:
        return
    shown = [f"{value} {share:.0%}" for value, share in list(use.shares.items())[:_SHOWN]]
    print_line(f"value use: {', '.join(shown)}{', …' if len(use.shares) > _SHOWN else ''}")
    if use.halves is not None:
        alarm = "; it drifts: see `vispa drift`" if use.halves.is_alarming else ""
        print_line(
            f"distance of the second half's from the first's: {use.halves.distance:.3f} "
            f"(alarm level {use.halves.alarm_level:.3f}){alarm}"
        )
