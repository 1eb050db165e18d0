"""`vispa mixture`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.cli.console import print_json, print_line, print_note, progress_bars
from vispa.cli.grouping import grouped, without
from vispa.cli.options import AsJson
from vispa.cli.setup import Setup, refuse_idle
from vispa.errors import InputError
from vispa.files.writing import check_output
from vispa.items.reading import check_gold, read_items

if TYPE_CHECKING:
    from vispa.modes.mixture import Mixture


# Every value takes part, each comment is greedy, and what is fitted are the weights.
_WITHOUT_EFFECT = (
    "k", "threshold", "diversity", "selector", "selector_model", "weights", "temperature", "top_p",
)  # fmt: skip


# So many values of a group are shown.
_HEAVIEST = 3


@grouped
def mixture(
    context: typer.Context,
    items_file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Questions with `options` and `gold_distribution`.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON file for the mixture.")],
    per_group: Annotated[bool, typer.Option("--per-group", help="Also fit each attribute on its own.")] = False,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Also fit a temperature.")] = False,
    folds: Annotated[int, typer.Option(help="Parts of the cross-validation.", min=2)] = 5,
    limit: Annotated[int | None, typer.Option(help="Use the first N items only.", min=1)] = None,
    *,
    setup: Annotated[Setup, without(*_WITHOUT_EFFECT)],
    as_json: AsJson = False,
) -> None:
    """Fit the weights with which the values' option distributions come closest to a population's.

    Minimises the mean Jensen–Shannon distance over the items; prints the cross-validated distance
    beside that of the plain mean. Use the file with `--weights`.

    Example: `vispa mixture survey.json -o mixture.json`
    """
    _check_output(output, (items_file, setup.steering.recipe_file))
    sampling = setup.decoding.sampling
    # The seed draws the folds, though comments are greedy.
    refuse_idle(context, {name: why for name, why in setup.idle("distributional").items() if name != "seed"})
    items = read_items(items_file, "distributional")[:limit]
    check_gold(items)
    known = setup.check()
    named = setup.selecting.named(known) or tuple(known)
    shared = {"passages": setup.reading.passages, "values": named}
    from vispa.items.asking import checked_requests, item_request
    from vispa.items.mixing import mixture_examples
    from vispa.modes.mixture_fitting import check_examples, fit_mixture, large_groups

    check_examples([item.text for item in items], folds)
    requests = {item.id: item_request(item, shared, own_stances=setup.own_stances) for item in items}
    if per_group:
        # Before a model is loaded for nothing.
        large_groups([requests[item.id].country for item in items], folds)
    checked_requests(requests, known)
    with progress_bars() as progress:
        vispa = setup.load(known, progress)
        examples = mixture_examples(vispa, items, requests, named, sampling, progress)
    fitted = fit_mixture(examples, named, per_group=per_group, calibrate=calibrate, folds=folds, seed=sampling.seed)
    fitted.save(output)
    small = sorted({one.group for one in examples if one.group and one.group not in fitted.groups}) if per_group else []
    groups = {"groups": fitted.groups, "without_weights_of_their_own": small}
    summary = {
        "output": str(output),
        "weights": fitted.shares,
        **groups,
        "temperature": fitted.temperature,
        **fitted.report,
    }
    if as_json:
        print_json(summary)
    else:
        _print(fitted)
        if small:
            print_note(f"vispa: with fewer than {folds} items, these have the weights of all: {', '.join(small)}")


def _print(fitted: Mixture) -> None:
    for value, share in sorted(fitted.shares.items(), key=lambda pair: -pair[1]):
        if share >= 0.005:
            print_line(f"{share:6.1%}  {value}")
    for group, shares in fitted.groups.items():
        heaviest = sorted(shares.items(), key=lambda pair: -pair[1])[:_HEAVIEST]
        print_line(f"{group}: " + ", ".join(f"{share:.0%} {value}" for value, share in heaviest if share >= 0.005))
    print_line("  ".join(f"{name.replace('_', ' ')}: {figure:.4g}" for name, figure in fitted.report.items()))


def _check_output(output: Path, inputs: tuple[Path | None, ...]) -> None:
    """Refuse an output that is an input, or that holds something else than a mixture that this command wrote.

    Raises:
        InputError: names it.
    """
    check_output(output, inputs)
    if output.is_file() and output.stat().st_size:
        from vispa.modes.mixture import Mixture

        try:
            # Any object of numbers can be read as a mixture too, one of given weights; this command writes fitted ones.
            is_own = Mixture.load(output).kind == "fitted"
        except (InputError, TypeError):
            is_own = False
        if not is_own:
            problem = "is there already, and is no mixture that this command wrote."
            raise InputError(str(output), problem, "Name another file.")
