"""`vispa bank export`: steering vectors for other programs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vispa.cli.bank.finding import OfBank, print_blocks
from vispa.cli.console import names_argument, print_json, print_line, print_note
from vispa.cli.grouping import grouped
from vispa.cli.options import AsJson
from vispa.errors import InputError
from vispa.files.reading import shortened

if TYPE_CHECKING:
    from vispa.steering.exchange.fixed import Scale


@grouped
def export(
    context: typer.Context,
    bank: OfBank,
    output: Annotated[Path, typer.Argument(help="*.gguf for llama.cpp and repeng, *.safetensors for servers.")],
    values: Annotated[str | None, typer.Option(help="Comma-separated; one for GGUF. By default all.")] = None,
    estimator: Annotated[str | None, typer.Option(help="Whose directions; by default the recipe's.")] = None,
    blocks: Annotated[str | None, typer.Option(help="Such as 10-25 or 3,5,7; by default the recipe's.")] = None,
    scale: Annotated[
        str, typer.Option(help="recipe: coefficient 1 is the recipe's whole shift; or a factor on the fitted vectors.")
    ] = "recipe",
    as_json: AsJson = False,
) -> None:
    """Write steering vectors for other programs.

    Example: `vispa bank export my-llama karma.gguf --values karma`
    """
    if output.suffix not in (".gguf", ".safetensors"):
        raise InputError("output", f"is {output.name!r}.", "Name a file ending in .gguf or .safetensors.")
    chosen, factor = names_argument(values), scale_option(scale)
    numbers = None if blocks is None else blocks_option(blocks)
    if output.suffix == ".gguf" and len(chosen) != 1:
        raise InputError("--values", "must name one value for a control vector.", "Write one file a value.")
    from vispa.steering.exchange.fixed import untold
    from vispa.steering.exchange.gguf import export_gguf
    from vispa.steering.exchange.plain import export_vectors

    path, loaded = bank.load(context)
    if output.exists() and output.samefile(path):
        raise InputError("output", "is the bank itself.", "Name another file.")
    if output.suffix == ".gguf":
        written = {
            chosen[0]: export_gguf(loaded, output, value=chosen[0], estimator=estimator, blocks=numbers, scale=factor)
        }
    else:
        written = export_vectors(
            loaded, output, values=chosen or None, estimator=estimator, blocks=numbers, scale=factor
        )
    layers = {slug: list(by_block) for slug, by_block in written.items()}
    calibrated = factor == "recipe" and loaded.recipe.magnitude == "calibrated"
    left = untold(loaded.recipe)
    if as_json:
        typical = {"scale": factor, "typical_magnitude": calibrated}
        print_json({"path": str(output), "layers": layers, **typical, "not_in_the_file": left})
        return
    print_blocks(layers)
    print_line(f"{output}")
    if calibrated:
        print_note("vispa: the bank measures each prompt; the file has the shift of a prompt at probability 0.5")
    if left:
        said = ", ".join(f"{name} = {setting}" for name, setting in left.items())
        print_note(
            f"vispa: other programs add the vectors whole at every token; the file cannot say the recipe's {said}"
        )


def blocks_option(text: str) -> tuple[int, ...]:
    """Numbers and ranges with both ends, separated by commas.

    Raises:
        InputError: something else, or a number that no model has.
    """
    from vispa.steering.recipe import MOST_BLOCKS

    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = (side.strip() for side in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError("--blocks", f"is {shortened(text)}.", "Write for example 10-25 or 3,5,7.")
        ends = (first, last if dash else first)
        # Before anything is counted: a range may be as long as somebody can type.
        if any(len(end.lstrip("0")) > len(str(MOST_BLOCKS)) or int(end) >= MOST_BLOCKS for end in ends):
            raise InputError("--blocks", f"is {shortened(text)}.", f"No model has {MOST_BLOCKS:,} blocks.")
        stretch = range(int(ends[0]), int(ends[1]) + 1)
        if not stretch:
            raise InputError("--blocks", f"is {shortened(text)}.", "Write the lower end of a range first.")
        numbers += stretch
        if len(numbers) > MOST_BLOCKS:
            raise InputError("--blocks", f"is {shortened(text)}.", f"No model has {MOST_BLOCKS:,} blocks.")
    return tuple(dict.fromkeys(numbers))


def scale_option(text: str) -> Scale:
    """`recipe`, or a finite number.

    Raises:
        InputError: neither.
    """
    if text == "recipe":
        return "recipe"
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not math.isfinite(scale):
        raise InputError("--scale", f"is {text!r}.", "Write recipe, or a number.")
    return scale
