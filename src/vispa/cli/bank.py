"""`vispa bank`: the fitted banks of vectors, and their exchange with other programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli.console import names_argument, print_json
from vispa.errors import BankError, InputError
from vispa.files import cache_folder

if TYPE_CHECKING:
    from vispa.steering.bank import VectorBank
    from vispa.steering.exchange import Scale

app = typer.Typer(help="Look at fitted vector banks, check them, exchange vectors.", no_args_is_help=True)

_Bank = Annotated[str, typer.Argument(metavar="BANK", help="A file, the beginning of a cached one's name, or a model.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_banks(as_json: _Json = False) -> None:
    """List the cached banks.

    Example: `vispa bank list`
    """
    rows = [_row(path) for path in _cached()]
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo(f"no banks in {_folder()}; `vispa fit` makes one")
    for row in rows:
        typer.echo(f"{row['path']}")
        if "problem" in row:
            typer.echo(f"  {row['problem']}")
        else:
            about = f"{row['model']}: {row['values']} values, {row['blocks']} blocks, width {row['width']}"
            typer.echo(f"  {about}; {', '.join(row['estimators'])}")
        typer.echo(f"  {row['size'] / 1e6:.1f} MB, {row['date']}")


@app.command()
def show(bank: _Bank, as_json: _Json = False) -> None:
    """Show what a bank is bound to, how well its directions separate, and its recipe.

    Example: `vispa bank show embedded`
    """
    path, loaded = _load(bank)
    quality = {name: entry.directions.quality.mean(0).tolist() for name, entry in loaded.entries.items()}
    if as_json:
        entries = {
            name: {"reading": e.reading, "contrast": e.contrast, "quality": [round(q, 4) for q in quality[name]]}
            for name, e in loaded.entries.items()
        }
        blocks, width = _shape(loaded)
        print_json(
            {"path": str(path), **asdict(loaded.info), "blocks": blocks, "width": width, "estimators": entries}
            | {"recipe": asdict(loaded.recipe)}
        )
        return
    info = loaded.info
    typer.echo(f"{path}")
    typer.echo(f"  model       {info.model} ({info.model_fingerprint[:20]})")
    typer.echo(f"  taxonomy    {info.taxonomy_fingerprint[:20]}")
    typer.echo(f"  values      {', '.join(info.values)}")
    typer.echo(f"  versions    {', '.join(f'{name} {version}' for name, version in info.versions.items())}")
    typer.echo("  recipe      " + ", ".join(f"{name} {_plain(entry)}" for name, entry in vars(loaded.recipe).items()))
    typer.echo("  mean held-out accuracy by block, from 0:")
    width_of_names = max(len(name) for name in quality)
    for name, row in quality.items():
        about = f"({loaded.entries[name].reading}, {loaded.entries[name].contrast})"
        typer.echo(f"    {name:<{width_of_names}}  {about:<15} " + " ".join(f"{q:.2f}" for q in row))


@app.command()
def remove(
    bank: _Bank,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: _Json = False,
) -> None:
    """Delete a bank's file.

    Example: `vispa bank remove my-llama --yes`
    """
    path = _resolve(bank)
    if path.parent.resolve() != _folder().resolve():
        # A mistyped path must not cost anybody another file; the cache holds nothing but banks.
        from vispa.steering.bank import VectorBank

        VectorBank.load(path)
    if not yes:
        typer.confirm(f"Delete {path}?", abort=True, err=True)
    size = path.stat().st_size
    path.unlink()
    if as_json:
        print_json({"removed": str(path), "size": size})
    else:
        typer.echo(f"removed {path}")


@app.command()
def verify(
    bank: _Bank,
    model: Annotated[str | None, typer.Option(help="Also check that it belongs to this model.")] = None,
    taxonomy: Annotated[Path | None, typer.Option(help="Also check that it belongs to this folder's values.")] = None,
    as_json: _Json = False,
) -> None:
    """Check a bank's file and numbers, and whether it belongs to a model and a taxonomy.

    Ends with exit code 2 if anything is wrong. Example: `vispa bank verify embedded --model embedded`
    """
    from vispa.steering.exchange import bank_problems

    path, loaded = _load(bank)
    problems = bank_problems(loaded)
    if taxonomy is not None:
        problems += _taxonomy_problems(loaded, taxonomy)
    if model is not None:
        problems += _model_problems(loaded, model)
    if as_json:
        print_json({"path": str(path), "sound": not problems, "problems": problems})
    else:
        for problem in problems:
            typer.echo(problem)
        typer.echo(f"{path}: {'sound' if not problems else f'{len(problems)} problems'}")
    if problems:
        raise typer.Exit(2)


@app.command()
def export(
    bank: _Bank,
    output: Annotated[Path, typer.Argument(help="*.gguf for llama.cpp and repeng, *.safetensors for servers.")],
    values: Annotated[str | None, typer.Option(help="Comma-separated; one for GGUF. By default all.")] = None,
    estimator: Annotated[str | None, typer.Option(help="Whose directions; by default the recipe's.")] = None,
    blocks: Annotated[str | None, typer.Option(help="Such as 10-25 or 3,5,7; by default the recipe's.")] = None,
    scale: Annotated[
        str, typer.Option(help="recipe: coefficient 1 is the recipe's magnitude; or a factor on the fitted vectors.")
    ] = "recipe",
    as_json: _Json = False,
) -> None:
    """Write steering vectors for other programs.

    Example: `vispa bank export my-llama karma.gguf --values karma`
    """
    from vispa.steering.exchange import export_gguf, export_vectors

    if output.suffix not in (".gguf", ".safetensors"):
        raise InputError("output", f"is {output.name!r}.", "Name a file ending in .gguf or .safetensors.")
    chosen, factor = names_argument(values), _scale(scale)
    if output.suffix == ".gguf" and len(chosen) != 1:
        raise InputError("--values", "must name one value for a control vector.", "Write one file a value.")
    _, loaded = _load(bank)
    numbers = None if blocks is None else _blocks(blocks)
    if output.suffix == ".gguf":
        written = {
            chosen[0]: export_gguf(loaded, output, value=chosen[0], estimator=estimator, blocks=numbers, scale=factor)
        }
    else:
        written = export_vectors(
            loaded, output, values=chosen or None, estimator=estimator, blocks=numbers, scale=factor
        )
    layers = {slug: list(by_block) for slug, by_block in written.items()}
    if as_json:
        calibrated = factor == "recipe" and loaded.recipe.magnitude == "calibrated"
        print_json({"path": str(output), "layers": layers, "scale": factor, "typical_magnitude": calibrated})
        return
    for slug, by_block in layers.items():
        typer.echo(f"{slug}: blocks {', '.join(map(str, by_block))}")
    typer.echo(f"{output}")
    if factor == "recipe" and loaded.recipe.magnitude == "calibrated":
        typer.echo("the bank measures each prompt; the file has the shift of a prompt at probability 0.5", err=True)


@app.command("import")
def import_bank(
    file: Annotated[Path, typer.Argument(help="A bank, a GGUF control vector, or a safetensors file of vectors.")],
    into: Annotated[str | None, typer.Option(help="Bank that takes the vectors in.")] = None,
    value: Annotated[str | None, typer.Option(help="Which value a GGUF control vector is of.")] = None,
    name: Annotated[str, typer.Option(help="Estimator name that the vectors go by in the bank.")] = "imported",
    force: Annotated[bool, typer.Option(help="Replace what has that name already.")] = False,
    as_json: _Json = False,
) -> None:
    """Take a bank into the cache, or vectors of other programs into a bank.

    Example: `vispa bank import karma.gguf --into my-llama --value karma`
    """
    if into is None:
        if file.suffix == ".gguf":
            raise InputError("--into", "is missing.", "Name the bank that takes the vectors in.")
        path = _take_bank(file, force)
        added: dict[str, list[int]] = {}
    else:
        path, added = _take_vectors(file, into, value, name, force)
    if as_json:
        print_json({"path": str(path), "layers": added, "estimator": name if into is not None else None})
        return
    for slug, by_block in added.items():
        typer.echo(f"{slug}: blocks {', '.join(map(str, by_block))} as {name}")
    typer.echo(f"{path}")


# ---------------------------------------------------------------- finding banks


def _folder() -> Path:
    return cache_folder() / "banks"


def _cached() -> list[Path]:
    return sorted(path for path in _folder().glob("*.safetensors") if not path.name.startswith("."))


def _resolve(bank: str) -> Path:
    """The file that is meant by a path, the beginning of a cached file's name, or a recorded model name."""
    if Path(bank).is_file():
        return Path(bank)
    found = [path for path in _cached() if bank and path.name.startswith(bank)]
    found = found or [path for path in _cached() if _row(path).get("model") == bank]
    if not found:
        raise BankError(bank, "is no file, no cached bank, and no model of one.", "See `vispa bank list`.")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise BankError(bank, f"may be any of {len(found)} banks ({names}).", "Write more of the name.")
    return found[0]


def _load(bank: str) -> tuple[Path, VectorBank]:
    from vispa.steering.bank import VectorBank

    path = _resolve(bank)
    return path, VectorBank.load(path)


def _row(path: Path) -> dict[str, Any]:
    """What `list` says of a cached bank."""
    from vispa.steering.bank import VectorBank

    status = path.stat()
    date = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds")
    try:
        bank = VectorBank.load(path)
    except BankError as error:
        return {"path": str(path), "problem": str(error), "size": status.st_size, "date": date}
    blocks, width = _shape(bank)
    return {
        "path": str(path),
        "model": bank.info.model,
        "values": len(bank.info.values),
        "blocks": blocks,
        "width": width,
        "estimators": list(bank.entries),
        "size": status.st_size,
        "date": date,
    }


def _shape(bank: VectorBank) -> tuple[int, int]:
    """Number of blocks and width; width 0 for a bank without estimators."""
    widths = [int(entry.directions.vectors.shape[-1]) for entry in bank.entries.values()]
    return len(bank.residual_norm), widths[0] if widths else 0


# ---------------------------------------------------------------- checking


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
    blocks, width = _shape(bank)
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


# ---------------------------------------------------------------- taking in


def _take_bank(file: Path, force: bool) -> Path:
    """Copy a bank to where the model and taxonomy it was fitted for look for it."""
    from vispa.steering.bank import VectorBank
    from vispa.steering.exchange import bank_problems

    bank = VectorBank.load(file)
    if problems := bank_problems(bank):
        raise BankError(str(file), f"is not sound: {problems[0]}.", "See `vispa bank verify`.")
    info = bank.info
    path = _folder() / f"{info.model_fingerprint[:20]}-{info.taxonomy_fingerprint[:20]}.safetensors"
    if path.exists() and not force:
        raise InputError(str(path), "is there already.", "Replace it with --force.")
    bank.save(path)
    return path


def _take_vectors(
    file: Path, into: str, value: str | None, name: str, force: bool
) -> tuple[Path, dict[str, list[int]]]:
    """Add vectors of other programs to a bank, as an estimator's."""
    from vispa.steering.exchange import import_gguf, import_vectors, with_vectors

    path, bank = _load(into)
    if name in bank.entries and not force:
        raise InputError("--name", f"{name!r} is in the bank already.", "Choose another one, or use --force.")
    if file.suffix == ".gguf":
        if value is None:
            raise InputError("--value", "is missing.", "Say which value the control vector is of.")
        vectors = {value: import_gguf(file).directions}
    else:
        vectors = import_vectors(file).vectors
        if value is not None:
            if value not in vectors:
                raise InputError("--value", f"{value!r} is not in {file}.", f"It has {', '.join(vectors)}.")
            vectors = {value: vectors[value]}
    with_vectors(bank, name, vectors).save(path)
    return path, {slug: list(by_block) for slug, by_block in vectors.items()}


# ---------------------------------------------------------------- arguments


def _blocks(text: str) -> tuple[int, ...]:
    """Numbers and ranges with both ends, separated by commas."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = (side.strip() for side in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError("--blocks", f"is {text!r}.", "Write for example 10-25 or 3,5,7.")
        stretch = range(int(first), int(last if dash else first) + 1)
        if not stretch:
            raise InputError("--blocks", f"is {text!r}.", "Write the lower end of a range first.")
        numbers += stretch
    return tuple(dict.fromkeys(numbers))


def _scale(text: str) -> Scale:
    if text == "recipe":
        return "recipe"
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not math.isfinite(scale):
        raise InputError("--scale", f"is {text!r}.", "Write recipe, or a number.")
    return scale


def _plain(entry: Any) -> str:
    return ",".join(map(str, entry)) if isinstance(entry, tuple) else str(entry)
