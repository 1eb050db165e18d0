"""`vispa doctor`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli.console import cell, print_drawn, print_json, print_line, progress_bars
from vispa.cli.grouping import grouped, only
from vispa.cli.judging import check_judged
from vispa.cli.options import AsJson, ModelArgument
from vispa.cli.setup import Setup, refuse_idle
from vispa.request import DEFAULT_MODEL

if TYPE_CHECKING:
    from vispa.pipeline import Vispa
    from vispa.study.checks import Check, Fitness

_PLACEMENT = ("dtype", "device", "threads", "trust_remote_code")
_READING = ("aggregator", "api_url", "api_key_variable", "api_timeout", "api_parameters", "option_reading")
_STYLES = {"good": "green", "weak": "yellow", "bad": "bold red"}


@grouped
def doctor(
    context: typer.Context,
    model: ModelArgument = DEFAULT_MODEL,
    *,
    setup: Annotated[Setup, only("taxonomy", *_PLACEMENT, "steering", *_READING)],
    as_json: AsJson = False,
) -> None:
    """Say whether a model with its recipe is fit for use: steering, its comments, and the reading of options.

    Ten values are commented on in four situations and judged; plain questions of known answer are read in every
    order. The exit code is 1 where a check is bad, 0 where all are good or weak. Takes about two minutes.

    Example: `vispa doctor ./my-llama`
    """
    setup = replace(setup, loading=replace(setup.loading, model=model))
    idle = setup.idle("overton")
    refuse_idle(context, {name: idle[name] for name in _READING if name in idle})
    check_judged(setup.selecting.loaded_taxonomy())
    known = setup.check()
    from vispa.models.encoder import load_encoder
    from vispa.study.fitness import balanced_values, fitness
    from vispa.study.taxonomy_judge import judge_of
    from vispa.tuning.situations import untuned_situations

    with progress_bars() as progress:
        vispa = setup.load(known, progress)
        judge = judge_of(vispa.taxonomy, load_encoder())
        values = balanced_values(vispa.taxonomy)
        found = fitness(vispa, judge, untuned_situations(), values, progress=progress)
    if as_json:
        print_json(_summary(vispa, found))
    else:
        _print(vispa, found)
    if found.verdict() == "bad":
        raise typer.Exit(1)


def _summary(vispa: Vispa, found: Fitness) -> dict[str, Any]:
    from vispa.study.checks import PARTS

    return {
        "model": vispa.model.name,
        "model_fingerprint": vispa.model.fingerprint,
        "taxonomy_fingerprint": vispa.taxonomy.fingerprint,
        "recipe": vars(vispa.recipe),
        "reader": vispa.reader.name,
        "option_reading": vispa.reader.option_reading,
        "verdict": found.verdict(),
        "parts": {part: found.verdict(part) for part in PARTS},
        "checks": [_row(check) for check in found.checks],
    }


def _row(check: Check) -> dict[str, Any]:
    rule = check.rule
    return {
        "name": check.name,
        "part": rule.part,
        "asks": rule.asks,
        "figure": None if check.figure != check.figure else check.figure,
        "good": rule.good,
        "bad": rule.bad,
        "verdict": check.verdict,
        "detail": check.detail,
        "advice": check.advice,
    }


def _print(vispa: Vispa, found: Fitness) -> None:
    from rich import box
    from rich.table import Table

    recipe = vispa.recipe
    print_line(f"{vispa.model.name}: {recipe.estimator}, {recipe.magnitude} {recipe.amount:g}")
    print_line(f"options read by {vispa.reader.name}, {vispa.reader.option_reading}")
    print_line()
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for name in ("check", "measured", "good is", "bad is", "verdict"):
        table.add_column(name, justify="right" if name == "measured" else "left")
    for check in found.checks:
        table.add_row(
            cell(f"{check.rule.asks}\n{check.detail}".rstrip()),
            cell(check.rule.shown(check.figure)),
            cell(check.rule.good_is),
            cell(check.rule.bad_is),
            cell(check.verdict, _STYLES[check.verdict]),
        )
    print_drawn(table)
    print_line()
    for check in found.checks:
        if check.advice:
            print_line(f"{check.verdict}: {check.rule.asks}. {check.advice}")
    print_line(f"The recipe is {found.verdict('recipe')}; the reader of options is {found.verdict('reader')}.")
