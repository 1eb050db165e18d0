"""`vispa bank verify`: whether a bank is whole, and belongs to a model and a taxonomy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.cli.bank.finding import OfBank, bank_shape, fitted_on, matching_banks, the_one
from vispa.cli.console import print_json, print_line
from vispa.cli.defaults import configured_taxonomy
from vispa.cli.grouping import grouped, without
from vispa.cli.options import AsJson
from vispa.errors import BankError

if TYPE_CHECKING:
    from vispa.steering.bank import VectorBank


@grouped
def verify(
    bank: Annotated[OfBank, without("taxonomy")],
    # Named unlike the shared options: what is configured for all calls says nothing of this bank.
    of_model: Annotated[str | None, typer.Option("--model", help="Also check that it belongs to this model.")] = None,
    of_taxonomy: Annotated[
        Path | None, typer.Option("--taxonomy", help="Also check that it belongs to this folder's values.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check a bank's file against its checksums, its numbers, and whether it belongs to a model and a taxonomy.

    Ends with exit code 2 if anything is wrong. Example: `vispa bank verify embedded --model embedded`
    """
    found = matching_banks(bank.bank)
    wanted = of_taxonomy or configured_taxonomy()
    if wanted is not None and len(found) > 1:
        found = fitted_on(found, wanted) or found
    path = the_one(bank.bank, found)
    problems = _problems(path, of_model, of_taxonomy)
    if as_json:
        print_json({"path": str(path), "sound": not problems, "problems": problems})
    else:
        for problem in problems:
            print_line(problem)
        print_line(f"{path}: {'sound' if not problems else f'{len(problems)} problems'}")
    if problems:
        raise typer.Exit(2)


def _problems(path: Path, model: str | None, taxonomy: Path | None) -> list[str]:
    from vispa.steering.bank import VectorBank
    from vispa.steering.soundness import bank_problems

    try:
        bank = VectorBank.load(path)
    except BankError as error:
        return [f"file: {error.problem} {error.advice}"]
    problems = bank_problems(bank)
    if taxonomy is not None:
        problems += _taxonomy_problems(bank, taxonomy)
    if model is not None:
        problems += _model_problems(bank, model)
    return problems


def _taxonomy_problems(bank: VectorBank, folder: Path) -> list[str]:
    from vispa.taxonomy import Taxonomy

    taxonomy = Taxonomy.load(folder)
    if taxonomy.fingerprint == bank.info.taxonomy_fingerprint:
        return []
    here, there = list(bank.info.values), list(taxonomy)
    if missing := [slug for slug in there if slug not in here]:
        return [f"taxonomy: the bank lacks {', '.join(missing)}"]
    if surplus := [slug for slug in here if slug not in there]:
        return [f"taxonomy: the bank has also {', '.join(surplus)}"]
    difference = "their order" if here != there else "their definitions or pairs"
    return [
        f"taxonomy: the values are the same, but not {difference} "
        f"(bank {bank.info.taxonomy_fingerprint[:12]}, folder {taxonomy.fingerprint[:12]})"
    ]


def _model_problems(bank: VectorBank, name: str) -> list[str]:
    from vispa.models.loading import load_model

    model = load_model(name)
    blocks, width = bank_shape(bank)
    problems = []
    if len(model.blocks) != blocks:
        problems.append(f"model: the bank has {blocks} blocks, {name} has {len(model.blocks)}")
    if model.hidden_size != width:
        problems.append(f"model: the bank is {width} wide, {name} is {model.hidden_size}")
    if model.fingerprint != bank.info.model_fingerprint:
        problems.append(
            f"model: fingerprints differ (bank {bank.info.model_fingerprint[:12]}, {name} {model.fingerprint[:12]}): "
            "other weights or configuration than those of the fit"
        )
    return problems
