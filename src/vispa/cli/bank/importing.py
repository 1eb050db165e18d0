"""`vispa bank import`: banks from elsewhere into the cache, vectors of other programs into a bank."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from vispa.cli.bank.finding import OfBank, OfTaxonomy, is_shipped, print_blocks
from vispa.cli.console import print_json, print_line, print_note
from vispa.cli.defaults import is_configured
from vispa.cli.options import AsJson
from vispa.errors import BankError, InputError
from vispa.files.locking import changing
from vispa.files.reading import shortened

# Of vectors that are given no other.
_NAME = "imported"


def import_bank(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A bank, a GGUF control vector, or a safetensors file of vectors.")],
    into: Annotated[str | None, typer.Option(help="Bank that takes the vectors in.")] = None,
    value: Annotated[str | None, typer.Option(help="Which value a GGUF control vector is of.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Estimator name that the vectors go by in the bank, by default imported.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace what has that name already.")] = False,
    other_model: Annotated[
        bool,
        typer.Option(
            help="Take vectors whose file names another model too, such as the one that this one was tuned from."
        ),
    ] = False,
    taxonomy: OfTaxonomy = None,
    as_json: AsJson = False,
) -> None:
    """Take a bank into the cache, or vectors of other programs into a bank.

    Example: `vispa bank import karma.gguf --into my-llama --value karma`
    """
    if into is None:
        # A value can only be said of vectors; without this check a whole bank would be taken in instead.
        if file.suffix == ".gguf" or value is not None:
            raise InputError("--into", "is missing.", "Name the bank that takes the vectors in.")
        # A taxonomy that is configured is meant for all calls.
        taxonomy = None if is_configured(context, "taxonomy") else taxonomy
        given = {"--other-model": other_model, "--name": name is not None, "--taxonomy": taxonomy is not None}
        for option in (option for option, is_given in given.items() if is_given):
            raise InputError(option, "has no effect on a whole bank.", "Leave it out, or add --into BANK.")
        path = _take_bank(file, force)
        added: dict[str, list[int]] = {}
    else:
        name = _NAME if name is None else name
        path, added = _take_vectors(file, OfBank(into, taxonomy).path(context), value, name, force, other_model)
    if as_json:
        print_json({"path": str(path), "layers": added, "estimator": name if into is not None else None})
        return
    print_blocks(added, f" as {name}")
    print_line(f"{path}")


def _take_bank(file: Path, force: bool) -> Path:
    """Copy a bank to where the model and taxonomy it was fitted for look for it."""
    from vispa.steering.bank import VectorBank, bank_file
    from vispa.steering.fitting import package_recipes
    from vispa.steering.soundness import bank_problems

    bank = VectorBank.load(file)
    if bank.tuning is None and bank.recipe not in package_recipes(bank.info.model_fingerprint):
        # Somebody chose it for this bank: it is no advice of this package that a newer release replaces.
        bank = replace(bank, tuning={"imported": file.name})
    if problems := bank_problems(bank):
        raise BankError(str(file), f"is not sound: {problems[0]}.", "See `vispa bank verify`.")
    path = bank_file(bank.info.model_fingerprint, bank.info.taxonomy_fingerprint)
    with changing(path):
        if path.exists() and not force:
            raise InputError(str(path), "is there already.", "Replace it with --force.")
        bank.save(path)
    return path


def _take_vectors(
    file: Path, path: Path, value: str | None, name: str, force: bool, other_model: bool
) -> tuple[Path, dict[str, list[int]]]:
    """Add vectors of other programs to a bank, as an estimator's."""
    from vispa.steering.bank import VectorBank, bank_file
    from vispa.steering.exchange.gguf import import_gguf
    from vispa.steering.exchange.merging import with_vectors
    from vispa.steering.exchange.plain import import_vectors

    if file.suffix == ".gguf":
        if value is None:
            raise InputError("--value", "is missing.", "Say which value the control vector is of.")
        control = import_gguf(file)
        # Only a kind of model, or a name that means nothing elsewhere.
        if control.model_hint:
            print_note(f"vispa: {file} says of its model: {shortened(control.model_hint)}")
        vectors, model, of = {value: control.directions}, "", ""
    else:
        read = import_vectors(file)
        vectors, model, of = read.vectors, read.model, read.model_fingerprint
        if value is not None:
            if value not in vectors:
                raise InputError("--value", f"{value!r} is not in {file}.", f"It has {', '.join(vectors)}.")
            vectors = {value: vectors[value]}
    shipped = VectorBank.load(path) if is_shipped(path) else None
    if shipped is not None:
        path = bank_file(shipped.info.model_fingerprint, shipped.info.taxonomy_fingerprint)
    # Read under the lock: what others import meanwhile is not lost.
    with changing(path):
        is_new = shipped is not None and not path.is_file()
        bank = replace(shipped, tuning=None) if shipped is not None and is_new else VectorBank.load(path)
        if of not in ("", bank.info.model_fingerprint) and not other_model:
            raise InputError(
                str(file),
                f"has vectors of another model, {model}, whose activations mean other things.",
                "Take them with --other-model where this model was tuned from that one.",
            )
        if name in bank.entries and not force:
            raise InputError("--name", f"{name!r} is in the bank already.", "Choose another one, or use --force.")
        with_vectors(bank, name, vectors).save(path)
    return path, {slug: list(by_block) for slug, by_block in vectors.items()}
