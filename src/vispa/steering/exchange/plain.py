"""The plain layout: a safetensors file with one tensor a value and block.

Tensors are named `{value}.layer_{n}`, float32 [H], to be added to the output of decoder block n
(`model.layers[n]`). The metadata has two entries: `format`, and `steering`, a JSON object with
`model`, `model_fingerprint`, `estimator`, `values`, `layers` (by value) and `coefficients` (by
value and layer): the factor that reaches the recipe's magnitude, 1 where the scale is `recipe`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vispa.errors import InputError, NumericalError
from vispa.files.names import check_name
from vispa.files.writing import replacing
from vispa.steering.bank import VectorBank
from vispa.steering.exchange.checking import check_file, check_widths
from vispa.steering.exchange.fixed import Scale, fixed_vectors, untold
from vispa.steering.sealing import begins_as_text

_FORMAT = "vispa-vectors-1"
# Longer numbers than any model has blocks are as wrong as letters.
_TENSOR = re.compile(r"(?P<value>.+)\.layer_(?P<layer>\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class SteeringVectors:
    """What a safetensors file of steering vectors holds.

    Attributes:
        model: name of the model that the vectors were fitted on.
        model_fingerprint: of that model's weights (`vispa.models.fingerprint`).
        estimator: how they were fitted.
        vectors: value → block number → float32 [H].
        coefficients: value → block number → factor at which the recipe's magnitude is reached;
            blocks that the recipe leaves out are missing.
    """

    model: str
    model_fingerprint: str
    estimator: str
    vectors: dict[str, dict[int, torch.Tensor]]
    coefficients: dict[str, dict[int, float]]


def export_vectors(
    bank: VectorBank,
    path: Path,
    *,
    values: Sequence[str] | None = None,
    estimator: str | None = None,
    blocks: Sequence[int] | None = None,
    scale: Scale = "recipe",
) -> dict[str, dict[int, torch.Tensor]]:
    """Write values to a safetensors file as steering plug-ins of servers such as vLLM take them.

    Args:
        bank: the fitted directions.
        path: file to write; see the module for its layout.
        values: slugs; by default all that some block of the recipe separates.
        estimator: the bank's entry to take; the recipe's by default.
        blocks: blocks to write; by default those at which the recipe steers toward each value.
        scale: see `fixed_vectors`.

    Returns:
        What was written: value → block number → float32 [H].

    Raises:
        InputError: as `fixed_vectors`; no value to write.
        NumericalError: as `fixed_vectors`.
    """
    if values is None:
        values = [slug for slug in bank.info.values if blocks is not None or _separated(bank, slug, estimator)]
    if not values:
        raise InputError(
            "values", "are none that a block of the recipe separates.", "Name the values and the blocks to write."
        )
    vectors = {
        slug: fixed_vectors(bank, slug, estimator=estimator, blocks=blocks, scale=scale)
        for slug in dict.fromkeys(values)
    }
    about = {
        "model": bank.info.model,
        "model_fingerprint": bank.info.model_fingerprint,
        "estimator": estimator or bank.recipe.estimator,
        # What coefficients do not say.
        "recipe": untold(bank.recipe),
        "values": list(vectors),
        "layers": {slug: list(by_block) for slug, by_block in vectors.items()},
        "coefficients": {
            slug: _coefficients(bank, slug, estimator, blocks, by_block) for slug, by_block in vectors.items()
        },
    }
    tensors = {f"{slug}.layer_{n}": vector for slug, by_block in vectors.items() for n, vector in by_block.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"format": _FORMAT, "steering": json.dumps(about, sort_keys=True)})
    return vectors


def import_vectors(path: Path) -> SteeringVectors:
    """Read a safetensors file with tensors named `{value}.layer_{n}`.

    A file without this package's metadata is read too; its model with its fingerprint and its estimator are then
    unknown (empty), and its coefficients too.

    Raises:
        InputError: a missing or damaged file, or one with other tensors or with values that have no
            proper names.
    """
    check_file(path)
    advice = "Give a safetensors file with tensors named VALUE.layer_N."
    if begins_as_text(path):
        raise InputError(str(path), "holds no vectors, but text.", advice)
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("steering", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InputError(str(path), f"is damaged ({error}).", advice) from error
    vectors: dict[str, dict[int, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        match = _TENSOR.fullmatch(name)
        if match is None or tensor.ndim != 1 or not tensor.is_floating_point():
            raise InputError(str(path), f"has a tensor {name!r} {list(tensor.shape)}.", advice)
        check_name(f"{path} tensor", match["value"])
        by_block, block = vectors.setdefault(match["value"], {}), int(match["layer"])
        if block in by_block:
            raise InputError(str(path), f"has two vectors for layer {block} of {match['value']}.", advice)
        by_block[block] = tensor.float()
    check_widths(path, (vector for by_block in vectors.values() for vector in by_block.values()))
    try:
        coefficients = {
            str(slug): {int(n): float(factor) for n, factor in by_block.items()}
            for slug, by_block in about.get("coefficients", {}).items()
        }
        order = [str(slug) for slug in about.get("values", ())]
        model, fingerprint, estimator = (
            str(about.get(name, "")) for name in ("model", "model_fingerprint", "estimator")
        )
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise InputError(str(path), f"has metadata that cannot be used ({error}).", advice) from error
    # safetensors keeps tensors by size and name; the values' own order is in the metadata.
    ranked = sorted(vectors, key=lambda slug: (order.index(slug) if slug in order else len(order), slug))
    ordered = {slug: dict(sorted(vectors[slug].items())) for slug in ranked}
    return SteeringVectors(model, fingerprint, estimator, ordered, coefficients)


def _separated(bank: VectorBank, slug: str, estimator: str | None) -> bool:
    recipe = replace(bank.recipe, estimator=estimator or bank.recipe.estimator, magnitude="coefficient", gate=None)
    return bool(bank.plan([slug], recipe).blocks)


def _coefficients(
    bank: VectorBank,
    slug: str,
    estimator: str | None,
    blocks: Sequence[int] | None,
    written: Mapping[int, torch.Tensor],
) -> dict[int, float]:
    """Factor on each written vector that gives the recipe's; none where the recipe has no fixed one."""
    try:
        wanted = fixed_vectors(bank, slug, estimator=estimator, blocks=blocks)
    except (InputError, NumericalError):
        return {}
    lengths = {block: float(vector.norm()) for block, vector in written.items()}
    # Rounded to what float32 can tell; digits after the point would lose small factors.
    return {
        block: float(f"{float(wanted[block] @ vector) / lengths[block] ** 2:.6g}")
        for block, vector in written.items()
        if block in wanted and lengths[block] > 0
    }
