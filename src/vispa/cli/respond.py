"""`vispa respond`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.cli import options as o
from vispa.cli.console import cell, print_drawn, print_json, print_line, print_text, progress_bars, text_argument
from vispa.cli.grouping import grouped
from vispa.cli.setup import Setup, refuse_idle
from vispa.request import check_text

if TYPE_CHECKING:
    from vispa.records import Response, SteerableResponse


@grouped
def respond(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(help="The text; standard input where it is missing or `-`.")] = None,
    question: Annotated[str | None, typer.Option(help="Question with options; by default the text itself.")] = None,
    *,
    asking: o.Asking,
    setup: Setup,
    as_json: o.AsJson = False,
) -> None:
    """Answer a text so that its most relevant values all have their say.

    Example: `vispa respond "Telling my grandmother a comforting lie" --k 4`

    Toward one view: `vispa respond "Lying to my boss" --mode steerable --toward honesty`

    As a distribution: `vispa respond "Eating meat" --mode distributional --options "Right|Wrong"`
    """
    # Bad input is refused before seconds go into loading a model.
    text = text_argument(text)
    check_text(text)
    refuse_idle(context, setup.idle(asking.checked_mode))
    known = setup.check()
    from vispa.modes.checking import checked
    from vispa.request import Request

    request = Request(
        text,
        mode=asking.checked_mode,
        toward=asking.toward,
        question=question,
        options=asking.choices,
        passages=setup.reading.passages,
        **setup.request_options(known),
    )
    checked(request, known)
    with progress_bars() as progress:
        vispa = setup.load(known, progress)
        answer = vispa.respond_one(request, **asdict(setup.decoding.sampling))
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        _print(answer)


def _print(answer: Response) -> None:
    from rich.table import Table

    table = Table(title="Selected values", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("value")
    table.add_column("score", justify="right")
    table.add_column("comment", overflow="fold")
    texts = {one.value: one.text if one.steered else f"(not steered) {one.text}" for one in answer.comments}
    for chosen in answer.values:
        table.add_row(cell(chosen.value), f"{chosen.score:.2f}", cell(texts.get(chosen.value, "")))
    print_drawn(table)
    if answer.silent:
        print_line(f"The model gave nothing for {', '.join(answer.silent)}.")
    if answer.mode == "steerable":
        _print_steerable(answer)
    elif answer.mode == "distributional":
        _print_heading("Distribution", f" ({answer.mixture} over {len(answer.values)} values)")
        _print_bars(answer.options, answer.distribution)
    else:
        _print_heading("Response")
        print_text(answer.response)
    if answer.mode == "overton":
        _print_made_up([claim.text for claim in answer.claims if not claim.supported])


def _print_made_up(sentences: Sequence[str]) -> None:
    if sentences:
        _print_heading("Said by no comment")
    for sentence in sentences:
        print_line(f"- {sentence}")


def _print_steerable(answer: SteerableResponse) -> None:
    comment = answer.comments[answer.chosen]
    _print_heading("Toward", f" {answer.target}: the comment of {comment.value}")
    if answer.distribution is not None:
        _print_bars(answer.options, answer.distribution)
    print_drawn(cell("Answer", "bold") + cell(f" {answer.response}"))


def _print_heading(heading: str, more: str = "") -> None:
    print_line()
    print_drawn(cell(heading, "bold") + cell(more))


def _print_bars(options: tuple[str, ...], shares: tuple[float, ...]) -> None:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for option, share in zip(options, shares, strict=True):
        table.add_row(cell(option), ProgressBar(total=1.0, completed=share, width=30), f"{share:.1%}")
    print_drawn(table)
