"""`vispa respond`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.cli import options as o
from vispa.cli.console import (
    cell,
    print_drawn,
    print_json,
    print_line,
    print_note,
    print_text,
    progress_bars,
    text_argument,
)
from vispa.cli.grouping import grouped
from vispa.cli.selected import note_below
from vispa.cli.setup import Setup, refuse_idle
from vispa.request import STANCE_OPTIONS, check_text

if TYPE_CHECKING:
    from vispa.records import Comment, DistributionalResponse, Response, SteerableResponse


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
    _note_hidden(text if question is None else question, asking)
    if asking.server is not None:
        from vispa.cli.remote import Remote

        answer = Remote(context, setup, asking).respond(text, question)
        _show(answer, as_json)
        note_below(setup.selecting.threshold, [answer.values])
        return
    refuse_idle(context, setup.idle(asking.checked_mode, asking.toward))
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
        **setup.request_options(known, asking.checked_mode),
    )
    checked(request, known, setup.mixture.values)
    setup.check_readable([text], known, request.mode)
    with progress_bars() as progress:
        vispa = setup.load(known, progress)
        answer = vispa.respond_one(request, **asdict(setup.decoding.sampling))
    _show(answer, as_json, known.name_of)
    note_below(setup.selecting.threshold, [answer.values])


def _note_hidden(question: str, asking: o.Asking) -> None:
    """Say where a text lists options in a way that is not read, since it is answered with others then."""
    from vispa.modes.questions import hides_options

    if asking.checked_mode != "overton" and not asking.choices and hides_options(question):
        print_note(
            f"vispa: the text's own options are not read; the answer is one of {', '.join(STANCE_OPTIONS)}. Name them "
            "with --options, or end the text in a line `Options: A. … B. …`."
        )


def _show(answer: Response, as_json: bool, name_of: Callable[[str], str] = str) -> None:
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        _print(answer, name_of)


def _print(answer: Response, name_of: Callable[[str], str] = str) -> None:
    """Print an answer; `name_of` tells what a value is called, by its slug."""
    from rich.table import Table

    table = Table(title="Selected values", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("value")
    table.add_column("score", justify="right")
    table.add_column("comment", overflow="fold")
    texts = {one.value: f"{_remarks(one, answer, name_of)}{one.text}" for one in answer.comments}
    for chosen in answer.values:
        table.add_row(cell(name_of(chosen.value)), f"{chosen.score:.2f}", cell(texts.get(chosen.value, "")))
    print_drawn(table)
    refused = [one.value for one in answer.comments if one.refused]
    for values, what in (
        ([value for value in answer.silent if value not in refused], "gave nothing"),
        (refused, "declined to speak"),
    ):
        if values:
            print_line(f"The model {what} for {', '.join(map(name_of, values))}.")
    if answer.mode == "steerable":
        _print_steerable(answer, name_of)
    elif answer.mode == "distributional":
        _print_distributional(answer, name_of)
    else:
        _print_heading("Response")
        print_text(answer.response)
    if answer.mode == "overton":
        if answer.refused:
            print_line("(The model that wrote this declined to answer, or spoke of itself.)")
        if answer.ending == "unfinished":
            print_line("(The answer was too long to come to the end of a sentence.)")
        _print_made_up([claim.text for claim in answer.claims if not claim.supported])


def _remarks(comment: Comment, answer: Response, name_of: Callable[[str], str]) -> str:
    """What is to be known of a comment before it is read."""
    repeated = None if comment.repeats is None else answer.comments[comment.repeats].value
    found = {
        "not steered": not comment.steered,
        "refused": comment.refused,
        "unfinished": comment.ending == "unfinished",
        "" if repeated is None else f"as {name_of(repeated)}": repeated is not None,
    }
    return "".join(f"({what}) " for what, holds in found.items() if holds)


def _print_made_up(sentences: Sequence[str]) -> None:
    if sentences:
        _print_heading("Said by no comment")
    for sentence in sentences:
        print_line(f"- {sentence}")


def _print_steerable(answer: SteerableResponse, name_of: Callable[[str], str]) -> None:
    comment = answer.comments[answer.chosen]
    _print_heading("Toward", f" {answer.target}: the comment of {name_of(comment.value)}")
    if answer.distribution is not None:
        _print_bars(answer.options, answer.distribution)
    print_drawn(cell("Answer", "bold") + cell(f" {answer.response}"))


def _print_distributional(answer: DistributionalResponse, name_of: Callable[[str], str]) -> None:
    """Print a mixture; a value without weight is no part of it."""
    mixed = [chosen.value for chosen, weight in zip(answer.values, answer.weights, strict=True) if weight > 0]
    _print_heading("Distribution", f" ({answer.mixture} over {len(mixed)} value{'s' if len(mixed) > 1 else ''})")
    _print_bars(answer.options, answer.distribution)
    if disputed := [name_of(value) for value in answer.disputed if value in mixed]:
        print_line(f"(No option is clearly ahead for {', '.join(disputed)}.)")


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
