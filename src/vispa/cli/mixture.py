"""`vispa mixture`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vispa.cli import options as o
from vispa.cli.console import print_json, print_line, progress_bars
from vispa.errors import InputError, VispaError
from vispa.files.writing import check_output
from vispa.items.reading import read_items
from vispa.readers.parameters import DEFAULT_TIMEOUT
from vispa.request import check_seed

_CHUNK = 32


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
    no_passages: o.NoPassages = False,
    values: o.Values = None,
    model: o.ModelName = "embedded",
    taxonomy: o.TaxonomyFolder = None,
    recipe: o.RecipeFile = None,
    aggregator: o.Aggregator = "extractive",
    api_url: o.ApiUrl = None,
    api_key_variable: o.ApiKeyVariable = "OPENAI_API_KEY",
    api_timeout: o.ApiTimeout = DEFAULT_TIMEOUT,
    api_parameters: o.ApiParameters = None,
    max_new_tokens: o.MaxNewTokens = 200,
    seed: o.Seed = 0,
    dtype: o.Dtype = "auto",
    device: o.Device = None,
    trust_remote_code: o.TrustRemoteCode = False,
    as_json: o.AsJson = False,
) -> None:
    """Fit the weights with which the values' option distributions come closest to a population's.

    Minimises the mean Jensen–Shannon distance over the items; prints the cross-validated distance
    beside that of the plain mean. Use the file with `--weights`.

    Example: `vispa mixture survey.json -o mixture.json`
    """
    _check_output(output, (items_file, recipe))
    check_seed(seed)
    setup = o.Setup(
        values=values,
        model=model,
        taxonomy=taxonomy,
        max_new_tokens=max_new_tokens,
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
        recipe=recipe,
        aggregator=aggregator,
        api_url=api_url,
        api_key_variable=api_key_variable,
        api_timeout=api_timeout,
        api_parameters=api_parameters,
    )
    o.refuse_idle(context, setup.idle("distributional", passages=not no_passages))
    items = read_items(items_file, "distributional")[:limit]
    for item in items:
        gold = item.gold_distribution or ()
        if not gold or len(gold) != len(item.options) or not sum(gold) > 0:
            raise InputError(f"item {item.id!r}", "has no gold_distribution over its options.", "Give one share each.")
    known = setup.check()
    named = setup.named(known) or tuple(known)
    shared = {"passages": not no_passages, "values": named}
    import numpy as np

    from vispa.items.asking import checked_requests, item_request
    from vispa.modes.mixture import Example, check_folds, fit_mixture
    from vispa.readers.base import Failure

    check_folds(len(items), folds)
    requests = [item_request(item, shared, own_stances=setup.own_stances) for item in items]
    checked_requests({item.id: request for item, request in zip(items, requests, strict=True)}, known)
    examples = []
    with progress_bars() as progress:
        vispa = setup.load(known, progress)
        for start in range(0, len(items), _CHUNK):
            chunk = list(zip(items, requests, strict=True))[start : start + _CHUNK]
            answers = vispa.respond_many([request for _, request in chunk], max_new_tokens=max_new_tokens)
            for (item, request), answer in zip(chunk, answers, strict=True):
                if isinstance(answer, Failure):
                    raise VispaError(f"item {item.id!r}: {answer.reason}")
                assert answer.mode == "distributional"
                if answer.silent:
                    raise VispaError(f"item {item.id!r}: the model gave nothing for {', '.join(answer.silent)}.")
                by_value = dict(zip((one.value for one in answer.values), answer.by_value, strict=True))
                examples.append(
                    Example(
                        np.array([by_value[value] for value in named]),
                        np.array(item.gold_distribution),
                        request.country,
                    )
                )
            progress("reading options", len(chunk), len(items))
    fitted = fit_mixture(examples, named, per_group=per_group, calibrate=calibrate, folds=folds, seed=seed)
    fitted.save(output)
    summary = {"output": str(output), "weights": fitted.shares, "temperature": fitted.temperature, **fitted.report}
    if as_json:
        print_json(summary)
        return
    for value, share in sorted(fitted.shares.items(), key=lambda pair: -pair[1]):
        if share >= 0.005:
            print_line(f"{share:6.1%}  {value}")
    print_line("  ".join(f"{name.replace('_', ' ')}: {figure:.4g}" for name, figure in fitted.report.items()))


def _check_output(output: Path, inputs: tuple[Path | None, ...]) -> None:
    """Refuse an output that is an input, or that holds something else than a mixture.

    Raises:
        InputError: names it.
    """
    check_output(output, inputs)
    if output.is_file() and output.stat().st_size:
        from vispa.modes.mixture import Mixture

        try:
            Mixture.load(output)
        except (InputError, TypeError) as error:
            raise InputError(str(output), "is there already, and is no mixture.", "Name another file.") from error
