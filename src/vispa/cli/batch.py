"""`vispa batch`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli import options as o
from vispa.cli.console import print_json, print_line, progress_bars
from vispa.errors import VispaError, check_choice
from vispa.items.reading import check_item_text, read_items
from vispa.readers.parameters import DEFAULT_TIMEOUT
from vispa.request import MODES

if TYPE_CHECKING:
    from vispa.items.item import Item
    from vispa.readers.base import Failure
    from vispa.records import Response


def batch(
    context: typer.Context,
    items_file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Texts: VITAL or ModPlural JSON, JSON Lines, CSV, or text lines.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON Lines file; continued if it exists.")],
    mode: o.ModeName = "overton",
    toward: o.Toward = None,
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
    limit: Annotated[int | None, typer.Option(help="Answer the first N items only.", min=1)] = None,
    seed: o.Seed = 0,
    dtype: o.Dtype = "auto",
    device: o.Device = None,
    trust_remote_code: o.TrustRemoteCode = False,
    overwrite: Annotated[bool, typer.Option(help="Begin anew although there is an output.")] = False,
    as_json: o.AsJson = False,
) -> None:
    """Answer a file of texts, one JSON line each; stopped runs continue where they were.

    In steerable mode an item's own target (`vrd` or `attribute`) is used unless --toward is given.

    Example: `vispa batch situations.json -o answers.jsonl`
    """
    check_choice("--mode", mode, MODES)
    from vispa.items.answering import BatchRun, check_batch_output

    check_batch_output(output, (items_file, recipe, prompts, Path(weights)))
    setup = o.Setup(
        k, threshold, diversity, values, model, taxonomy, polarity, max_new_tokens, dtype, device, trust_remote_code,
        selector, selector_model, recipe, aggregator, api_url, api_key_variable, prompts, weights,
        temperature, top_p, seed, api_timeout, api_parameters,
    )  # fmt: skip
    o.refuse_idle(context, setup.idle(mode, passages=not no_passages))
    items = read_items(items_file, mode)[:limit]  # type: ignore[arg-type]
    for item in items:
        check_item_text(item)
    known = setup.check()
    given = {"toward": toward, "options": o.options_option(options), "passages": not no_passages}
    shared = {**given, **setup.request_options(known)}
    from vispa.items.asking import checked_requests, item_request
    from vispa.versions import versions

    requests = {item.id: item_request(item, shared, own_stances=setup.own_stances) for item in items}
    checked_requests(requests, known)
    tokens = 0
    started = time.perf_counter()
    with progress_bars() as progress:
        vispa = setup.load(known, progress)
        settings = {
            **{name: str(value) if isinstance(value, Path) else value for name, value in _unsampled(setup).items()},
            **setup.sampling.effective(),
            "mode": mode,
            **{name: list(value) if isinstance(value, tuple) else value for name, value in given.items()},
            "model": vispa.model.fingerprint,
            "bank": vispa.bank.fingerprint,
            "taxonomy": vispa.taxonomy.fingerprint,
            "recipe": vars(vispa.recipe)
            | {"blocks": list(vispa.recipe.chosen_blocks(len(vispa.model.blocks))), "depth": list(vispa.recipe.depth)},
            "prompts": asdict(vispa.prompts),
            "mixture": asdict(vispa.mixture),
            "versions": versions(),
        }

        def answer(chunk: Sequence[Item]) -> list[Response | Failure]:
            nonlocal tokens
            answers = vispa.respond_many([requests[item.id] for item in chunk], **asdict(setup.sampling))
            tokens += sum(comment.tokens for one in answers for comment in getattr(one, "comments", ()))
            return answers

        run = BatchRun(items, output, settings, overwrite=overwrite)
        answered = run.run(answer, lambda done: progress("answering", done, len(items)))
    seconds = time.perf_counter() - started
    summary = {
        "output": str(output),
        "items": len(items),
        "answered_now": answered,
        "failed": run.failed,
        "seconds": round(seconds, 1),
        "generated_tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
        "peak_memory_mib": _peak_memory(),
    }
    if as_json:
        print_json(summary)
    else:
        print_line("  ".join(f"{name.replace('_', ' ')}: {value}" for name, value in summary.items()))
    if run.failed:
        raise VispaError(
            f"{output}: {run.failed:,} of {len(items):,} items have no answer; their lines say why (`error`). "
            "Repeat the command to ask them again."
        )


def _unsampled(setup: o.Setup) -> dict[str, Any]:
    """All options that determine answers but those of sampling, which only count where they have an effect."""
    apart = {*asdict(setup.sampling), "api_timeout"}
    return {name: value for name, value in asdict(setup).items() if name not in apart}


def _peak_memory() -> int:
    """Largest resident size of this process so far, in MiB."""
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20
