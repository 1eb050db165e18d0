"""`vispa respond`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.checks import check_choice, check_k, check_max_new_tokens, check_text, check_threshold
from vispa.cli.console import names_argument, print_json, progress_bars, text_argument
from vispa.taxonomy import Taxonomy

if TYPE_CHECKING:
    from vispa.records import OvertonResponse


def respond(
    text: Annotated[str | None, typer.Argument(help="The text; standard input where it is missing or `-`.")] = None,
    k: Annotated[int, typer.Option("--k", help="How many values to select.")] = 6,
    threshold: Annotated[float, typer.Option(help="Least relevance of a selected value, 0 to 1.")] = 0.0,
    values: Annotated[str | None, typer.Option(help="Use these values (comma-separated) instead of selecting.")] = None,
    model: Annotated[str, typer.Option(help="`embedded`, a folder, or a hub id.")] = "embedded",
    taxonomy: Annotated[Path | None, typer.Option(help="Folder of your own taxonomy.")] = None,
    polarity: Annotated[str, typer.Option(help="own, or paper: promote every value, toxicity too.")] = "own",
    max_new_tokens: Annotated[int, typer.Option(help="Longest comment, in tokens.")] = 200,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")] = "auto",
    device: Annotated[str | None, typer.Option(help="Torch device; a GPU where there is one.")] = None,
    trust_remote_code: Annotated[bool, typer.Option(help="Run code that comes with the model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with everything.")] = False,
) -> None:
    """Answer a text so that its most relevant values all have their say.

    Example: `vispa respond "Telling my grandmother a comforting lie" --k 4`
    """
    # Bad input is refused before seconds go into loading a model.
    text = text_argument(text)
    check_text(text)
    check_max_new_tokens(max_new_tokens)
    check_threshold(threshold)
    check_choice("--polarity", polarity, ("own", "paper"))
    taxonomy_values = Taxonomy.load(taxonomy) if taxonomy else Taxonomy.built_in()
    check_k(k, len(taxonomy_values))
    named = tuple(taxonomy_values[name].slug for name in names_argument(values))
    from vispa.pipeline import Vispa

    with progress_bars() as progress:
        vispa = Vispa.from_pretrained(
            model,
            taxonomy=taxonomy_values,
            polarity=polarity,  # type: ignore[arg-type]
            dtype=dtype,
            device=device,
            trust_remote_code=trust_remote_code,
            progress=progress,
        )
        answer = vispa.respond(text, k=k, threshold=threshold, values=named, max_new_tokens=max_new_tokens, seed=seed)
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        _print(answer)


def _print(answer: OvertonResponse) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="Selected values", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("value")
    table.add_column("score", justify="right")
    table.add_column("comment", overflow="fold")
    for chosen, comment in zip(answer.values, answer.comments, strict=True):
        table.add_row(chosen.value, f"{chosen.score:.2f}", comment.text)
    console.print(table)
    console.print("\n[bold]Response[/bold]")
    console.print(answer.response, highlight=False, markup=False)
