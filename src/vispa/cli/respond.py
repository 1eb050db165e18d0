"""`vispa respond`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.cli import options as o
from vispa.cli.console import cell, print_drawn, print_json, print_line, print_text, progress_bars, text_argument
from vispa.errors import check_choice
from vispa.readers.parameters import DEFAULT_TIMEOUT
from vispa.request import MODES, check_text

if TYPE_CHECKING:
    from vispa.records import Response, SteerableResponse


def respond(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(help="The text; standard input where it is missing or `-`.")] = None,
    mode: o.ModeName = "overton",
    toward: o.Toward = None,
    question: Annotated[str | None, typer.Option(help="Question with options; by default the text itself.")] = None,
    options: o.Options = None,
    weights: o.Weights = "mean",
    no_passages: o.NoPassages = False,
    k: o.K = None,
    threshold: o.Threshold = 0.0,
    diversity: o.Diversity = 0.0,
    values: o.Values = None,
    model: o.ModelName = "embedded",
    taxonomy: o.TaxonomyFolder = None,
    polarity: o.Polarity = "own",
    recipe: o.RecipeFile = None,
    selector: o.SelectorName = "embedding",
    selector_model: o.SelectorModel = None,
    aggregator: o.Aggregator = "extractive",
    api_url: o.ApiUrl = None,
    api_key_variable: o.ApiKeyVariable = "OPENAI_API_KEY",
    api_timeout: o.ApiTimeout = DEFAULT_TIMEOUT,
    api_parameters: o.ApiParameters = None,
    prompts: o.PromptsFile = None,
    max_new_tokens: o.MaxNewTokens = 200,
    temperature: o.Temperature = 0.0,
    top_p: o.TopP = 1.0,
    seed: o.Seed = 0,
    dtype: o.Dtype = "auto",
    device: o.Device = None,
    trust_remote_code: o.TrustRemoteCode = False,
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
    setup = o.Setup(
        k, threshold, diversity, values, model, taxonomy, polarity, max_new_tokens, dtype, device, trust_remote_code,
        selector, selector_model, recipe, aggregator, api_url, api_key_variable, prompts, weights,
        temperature, top_p, seed, api_timeout, api_parameters,
    )  # fmt: skip
    check_choice("--mode", mode, MODES)
    o.refuse_idle(context, setup.idle(mode, passages=not no_passages))
    known = setup.check()
    from vispa.modes.checking import checked
    from vispa.request import Request

    request = Request(
        text,
        mode=mode,  # type: ignore[arg-type]
        toward=toward,
        question=question,
        options=o.options_option(options),
        passages=not no_passages,
        **setup.request_options(known),
    )
    checked(request, known)
    with progress_bars() as progress:
        vispa = setup.load(known, progress)
        answer = vispa.respond_one(request, **asdict(setup.sampling))
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
    if answer.mode == "overton":
        _print_heading("Response")
        print_text(answer.response)
        made_up = [claim.text for claim in answer.claims if not claim.supported]
        if made_up:
            _print_heading("Said by no comment")
            for sentence in made_up:
                print_line(f"- {sentence}")
    elif answer.mode == "steerable":
        _print_steerable(answer)
    else:
        _print_heading("Distribution", f" ({answer.mixture} over {len(answer.values)} values)")
        _print_bars(answer.options, answer.distribution)


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
