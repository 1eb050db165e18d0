"""`vispa batch`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.checks import check_choice, check_k, check_max_new_tokens, check_threshold
from vispa.cli.console import names_argument, print_json, progress_bars
from vispa.inputs import Item, check_item_text, read_items
from vispa.taxonomy import Taxonomy

if TYPE_CHECKING:
    from vispa.records import OvertonResponse


def batch(
    items_file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Texts: VITAL or ModPlural JSON, JSON Lines, CSV, or text lines.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON Lines file; continued if it exists.")],
    k: Annotated[int, typer.Option("--k", help="How many values to select.")] = 6,
    threshold: Annotated[float, typer.Option(help="Least relevance of a selected value, 0 to 1.")] = 0.0,
    values: Annotated[str | None, typer.Option(help="Use these values (comma-separated) instead of selecting.")] = None,
    model: Annotated[str, typer.Option(help="`embedded`, a folder, or a hub id.")] = "embedded",
    taxonomy: Annotated[Path | None, typer.Option(help="Folder of your own taxonomy.")] = None,
    polarity: Annotated[str, typer.Option(help="own, or paper: promote every value, toxicity too.")] = "own",
    max_new_tokens: Annotated[int, typer.Option(help="Longest comment, in tokens.")] = 200,
    limit: Annotated[int | None, typer.Option(help="Answer the first N items only.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")] = "auto",
    device: Annotated[str | None, typer.Option(help="Torch device; a GPU where there is one.")] = None,
    trust_remote_code: Annotated[bool, typer.Option(help="Run code that comes with the model.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Begin anew although there is an output.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Answer a file of texts, one JSON line each; stopped runs continue where they were.

    Example: `vispa batch situations.json -o answers.jsonl`
    """
    items = read_items(items_file)[:limit]
    for item in items:
        check_item_text(item)
    check_threshold(threshold)
    check_max_new_tokens(max_new_tokens)
    check_choice("--polarity", polarity, ("own", "paper"))
    taxonomy_values = Taxonomy.load(taxonomy) if taxonomy else Taxonomy.built_in()
    check_k(k, len(taxonomy_values))
    named = tuple(taxonomy_values[name].slug for name in names_argument(values))
    from vispa.batch import BatchRun
    from vispa.pipeline import Request, Vispa
    from vispa.versions import versions

    tokens = 0
    started = time.perf_counter()
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
        settings = {
            "k": k,
            "threshold": threshold,
            "values": list(named),
            "max_new_tokens": max_new_tokens,
            "seed": seed,
            "model": vispa.model.fingerprint,
            "taxonomy": vispa.taxonomy.fingerprint,
            "recipe": vars(vispa.recipe) | {"blocks": list(vispa.recipe.chosen_blocks(len(vispa.model.blocks)))},
            "versions": versions(),
        }

        def answer(chunk: Sequence[Item]) -> list[OvertonResponse]:
            nonlocal tokens
            requests = [Request(item.text, named, k, threshold, item.prompt) for item in chunk]
            answers = vispa.respond_many(requests, max_new_tokens=max_new_tokens, seed=seed)
            tokens += sum(comment.tokens for one in answers for comment in one.comments)
            return answers

        run = BatchRun(items, output, settings, overwrite=overwrite)
        answered = run.run(answer, lambda done: progress("answering", done, len(items)))
    seconds = time.perf_counter() - started
    summary = {
        "output": str(output),
        "items": len(items),
        "answered_now": answered,
        "seconds": round(seconds, 1),
        "generated_tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
        "peak_memory_mib": _peak_memory(),
    }
    if as_json:
        print_json(summary)
    else:
        typer.echo("  ".join(f"{name.replace('_', ' ')}: {value}" for name, value in summary.items()))


def _peak_memory() -> int:
    """Largest resident size of this process so far, in MiB."""
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20
