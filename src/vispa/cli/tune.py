"""`vispa tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli.console import print_json, print_line, progress_bars
from vispa.cli.grouping import grouped, only, without
from vispa.cli.judging import check_judged
from vispa.cli.options import AsJson, Decoding, Loading, ModelArgument, Selecting, Steering
from vispa.errors import InputError
from vispa.files.drawing import require_matplotlib
from vispa.files.writing import check_writable
from vispa.request import DEFAULT_MODEL

if TYPE_CHECKING:
    from vispa.tuning.tune import Tuned


@grouped
def tune(
    model: ModelArgument = DEFAULT_MODEL,
    *,
    minutes: Annotated[float, typer.Option(help="Budget of time; 25 suit a model of 135 million parameters.")] = 25.0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the recipe, and all that was tried as table and figure."),
    ] = None,
    selecting: Annotated[Selecting, only("taxonomy")],
    loading: Annotated[Loading, without("model")],
    steering: Annotated[Steering, only("polarity")],
    decoding: Annotated[Decoding, only("seed")],
    as_json: AsJson = False,
) -> None:
    """Find how a model is best steered, and keep it as its recipe, if it is better than the one that it has.

    Other commands then steer this model so by themselves. Example: `vispa tune ./my-llama --minutes 60 -o tuning`
    """
    if not 0 < minutes < float("inf"):
        raise InputError("--minutes", f"is {minutes}.", "Give a number above 0.")
    known = steering.pointing(selecting.loaded_taxonomy())
    check_judged(known)
    if output is not None:
        check_writable(output)
        require_matplotlib()
    from vispa.models.loading import load_model
    from vispa.tuning.frontier import write_frontier
    from vispa.tuning.tune import tune as tuned

    with progress_bars() as progress:
        loaded = load_model(model, **loading.placement, progress=progress)
        found = tuned(loaded, known, minutes=minutes, seed=decoding.seed, progress=progress)
    written = [] if output is None else write_frontier(found, output)
    if as_json:
        print_json(_summary(found) | {"files": [str(path) for path in written]})
        return
    for reason in found.reasons:
        print_line(reason)
    print_line("")
    for name, figure in found.chosen.figures.items():
        print_line(f"  {name:<14} {'–' if figure != figure else f'{figure:.3f}'}")
    for path in written:
        print_line(str(path))


def _summary(found: Tuned) -> dict[str, Any]:
    return {
        "model": found.bank.info.model,
        "model_fingerprint": found.bank.info.model_fingerprint,
        "taxonomy_fingerprint": found.bank.info.taxonomy_fingerprint,
        "recipe": vars(found.bank.recipe),
        "is_new": found.is_new,
        **found.record,
    }
