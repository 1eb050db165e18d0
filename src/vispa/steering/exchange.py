"""Steering vectors for other programs, and from them: GGUF control vectors and plain safetensors.

Both layouts number layers as this package does: layer n is decoder block n, counted from 0, and
its vector is added to the residual stream *after* that block, at every position.

What a file can hold is a fixed vector a block. With `scale="recipe"` that is what the recipe adds,
so that coefficient 1 steers as the bank does:

- magnitude `coefficient`: the amount times the fitted vector;
- magnitude `residual`: a vector as long as the amount times the block's typical residual norm;
- magnitude `calibrated`: the bank measures each prompt, which no file can do. Written is the shift
  of a prompt on which the probe is undecided (P = 0.5): ε = s0 / ‖w‖ along the unit direction, cut
  to the recipe's cap. Prompts that express the value less would get more from the bank, others
  less: treat coefficient 1 as a place to start from.

A number as scale gives the fitted vectors times that number, whatever the recipe's magnitude. The
recipe's gate and scope cannot be written; they are left to the program that reads the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vispa.errors import InputError
from vispa.files import replacing
from vispa.steering.bank import Entry, VectorBank
from vispa.steering.directions import Directions

#: `recipe`, or a factor on the vectors as they were fitted.
Scale = float | Literal["recipe"]

_ARCHITECTURE = "controlvector"
_FORMAT = "vispa-vectors-1"
_TENSOR = re.compile(r"(?P<value>.+)\.layer_(?P<layer>\d+)")


@dataclass(frozen=True)
class ControlVector:
    """What a GGUF control vector file holds.

    Attributes:
        model_hint: what the file says of its model.
        directions: block number → float32 [H].
    """

    model_hint: str
    directions: dict[int, torch.Tensor]


@dataclass(frozen=True)
class SteeringVectors:
    """What a safetensors file of steering vectors holds.

    Attributes:
        model: name of the model that the vectors were fitted on.
        estimator: how they were fitted.
        vectors: value → block number → float32 [H].
        coefficients: value → block number → factor at which the recipe's magnitude is reached;
            blocks that the recipe leaves out are missing.
    """

    model: str
    estimator: str
    vectors: dict[str, dict[int, torch.Tensor]]
    coefficients: dict[str, dict[int, float]]


# ---------------------------------------------------------------- what to write


def fixed_vectors(
    bank: VectorBank,
    value: str,
    *,
    estimator: str | None = None,
    blocks: Sequence[int] | None = None,
    scale: Scale = "recipe",
) -> dict[int, torch.Tensor]:
    """What to add after each block to steer toward a value at coefficient 1; see the module.

    Args:
        bank: the fitted directions.
        value: slug.
        estimator: the bank's entry to take; the recipe's by default.
        blocks: all of these; by default those at which the recipe steers toward this value.
        scale: `recipe`, or a factor on the fitted vectors.

    Returns:
        Block number → float32 [H], ascending.

    Raises:
        InputError: an unknown value, estimator or block; a calibrated recipe with an estimator that
            has no probability; a value that no block of the recipe separates.
    """
    recipe = replace(bank.recipe, estimator=estimator or bank.recipe.estimator, gate=None)
    if blocks is not None:
        recipe = replace(recipe, blocks=tuple(blocks), best=None, minimal_quality=0.0)
    if scale != "recipe":
        recipe = replace(recipe, magnitude="coefficient", amount=scale, table=None, cap=None)
    if recipe.magnitude == "calibrated" and bank.entry(recipe.estimator).directions.bias is None:
        raise InputError(
            "scale", f"cannot follow the recipe: {recipe.estimator} has no probability to calibrate.", "Give a number."
        )
    vectors = {}
    for block, shift in bank.plan([value], recipe).blocks.items():
        undecided = (shift.logit / shift.weight_norm).clamp_min(0.0)
        amount = torch.where(shift.calibrated, undecided, shift.amount)
        length = amount.abs() * shift.direction.norm(dim=-1)
        amount = amount * (shift.longest / length.clamp_min(1e-30)).clamp_max(1.0)
        vectors[block] = (amount[:, None] * shift.direction)[0].to("cpu", torch.float32).contiguous()
    if not vectors:
        raise InputError(
            "value", f"{value}: no block of the recipe separates it well enough.", "Name the blocks to write."
        )
    return dict(sorted(vectors.items()))


# ---------------------------------------------------------------- GGUF


def export_gguf(
    bank: VectorBank,
    path: Path,
    *,
    value: str,
    estimator: str | None = None,
    blocks: Sequence[int] | None = None,
    scale: Scale = "recipe",
    model_hint: str | None = None,
) -> dict[int, torch.Tensor]:
    """Write one value as a control vector that llama.cpp and repeng read.

    The file has `general.architecture` = `controlvector`, `controlvector.model_hint`,
    `controlvector.layer_count` (the number of tensors, as repeng counts) and one float32 tensor
    `direction.{n}` [H] a block. **`direction.n` is the vector of block n, without an offset.**
    llama.cpp's loader (`common_control_vector_load`) puts `direction.n` at place n - 1 of its
    buffer and `llama_set_adapter_cvec` takes place n - 1 for layer n, counted from 0; repeng numbers
    its directions by the block whose output they are read from and added to. Neither can say
    block 0: llama.cpp refuses a file with `direction.0`. Blocks without a tensor stay as they are.

    Args:
        bank: the fitted directions.
        path: file to write.
        value: slug of the one value.
        estimator: the bank's entry to take; the recipe's by default.
        blocks: blocks to write; by default those at which the recipe steers toward the value.
        scale: see the module.
        model_hint: what to call the model (repeng: its type, such as `llama`); by default the
            last part of the name it was fitted under. llama.cpp does not read it.

    Returns:
        What was written: block number → float32 [H].

    Raises:
        InputError: as `fixed_vectors`; block 0; the package gguf is not installed.
    """
    gguf = _gguf()
    vectors = fixed_vectors(bank, value, estimator=estimator, blocks=blocks, scale=scale)
    if 0 in vectors:
        raise InputError("blocks", "0 cannot be written to a control vector.", "Name the blocks, from 1 on.")
    with replacing(path) as temporary:
        writer = gguf.GGUFWriter(str(temporary), _ARCHITECTURE)
        writer.add_string(f"{_ARCHITECTURE}.model_hint", model_hint or bank.info.model.rstrip("/").split("/")[-1])
        writer.add_uint32(f"{_ARCHITECTURE}.layer_count", len(vectors))
        for block, vector in vectors.items():
            writer.add_tensor(f"direction.{block}", vector.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return vectors


def import_gguf(path: Path) -> ControlVector:
    """Read a control vector as llama.cpp's generator, repeng or `export_gguf` writes it.

    Raises:
        InputError: a missing or damaged file, or one that is no control vector.
    """
    gguf = _gguf()
    advice = "Give a GGUF control vector."
    _check_file(path)
    try:
        reader = gguf.GGUFReader(str(path))
        kind = reader.get_field("general.architecture")
        hint = reader.get_field(f"{_ARCHITECTURE}.model_hint")
        kind, hint = (None if entry is None else entry.contents() for entry in (kind, hint))
        tensors = [(tensor.name, tensor.data, tensor.tensor_type) for tensor in reader.tensors]
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, OSError) as error:
        raise InputError(str(path), f"is not a GGUF file that can be read ({error}).", advice) from error
    if kind != _ARCHITECTURE:
        raise InputError(str(path), f"holds a {kind}, not a control vector.", advice)
    directions = {}
    for name, data, tensor_type in tensors:
        prefix, _, number = name.partition(".")
        if prefix != "direction" or not number.isdecimal() or int(number) == 0:
            raise InputError(str(path), f"has a tensor {name!r}.", "A control vector has direction.1, direction.2, …")
        if tensor_type != gguf.GGMLQuantizationType.F32 or data.ndim != 1:
            raise InputError(str(path), f"{name} is not a float32 vector.", advice)
        directions[int(number)] = torch.from_numpy(data.astype("float32"))
    _check_widths(path, directions)
    return ControlVector(str(hint or ""), dict(sorted(directions.items())))


def _gguf() -> Any:
    if find_spec("gguf") is None:
        raise InputError("gguf", "is not installed.", "Install it with `pip install vispa[gguf]`.")
    import gguf

    return gguf


# ---------------------------------------------------------------- safetensors


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

    Tensors are named `{value}.layer_{n}`, float32 [H], to be added to the output of decoder block
    n (`model.layers[n]`). The metadata has two entries: `format`, and `steering`, a JSON object
    with `model`, `model_fingerprint`, `estimator`, `values`, `layers` (by value) and
    `coefficients` (by value and layer): the factor that reaches the recipe's magnitude, 1 where
    the scale is `recipe`.

    Args:
        bank: the fitted directions.
        path: file to write.
        values: slugs; by default all that some block of the recipe separates.
        estimator: the bank's entry to take; the recipe's by default.
        blocks: blocks to write; by default those at which the recipe steers toward each value.
        scale: see the module.

    Returns:
        What was written: value → block number → float32 [H].

    Raises:
        InputError: as `fixed_vectors`.
    """
    if values is None:
        values = [slug for slug in bank.info.values if blocks is not None or _separated(bank, slug, estimator)]
    vectors = {
        slug: fixed_vectors(bank, slug, estimator=estimator, blocks=blocks, scale=scale)
        for slug in dict.fromkeys(values)
    }
    about = {
        "model": bank.info.model,
        "model_fingerprint": bank.info.model_fingerprint,
        "estimator": estimator or bank.recipe.estimator,
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

    A file without this package's metadata is read too; its model and estimator are then unknown
    (empty), and its coefficients too.

    Raises:
        InputError: a missing or damaged file, or one with other tensors.
    """
    _check_file(path)
    advice = "Give a safetensors file with tensors named VALUE.layer_N."
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("steering", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(str(path), f"is damaged ({error}).", advice) from error
    vectors: dict[str, dict[int, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        match = _TENSOR.fullmatch(name)
        if match is None or tensor.ndim != 1 or not tensor.is_floating_point():
            raise InputError(str(path), f"has a tensor {name!r} {list(tensor.shape)}.", advice)
        vectors.setdefault(match["value"], {})[int(match["layer"])] = tensor.float()
    _check_widths(path, {(slug, n): vector for slug, by_block in vectors.items() for n, vector in by_block.items()})
    try:
        coefficients = {
            str(slug): {int(n): float(factor) for n, factor in by_block.items()}
            for slug, by_block in about.get("coefficients", {}).items()
        }
        order = [str(slug) for slug in about.get("values", ())]
        model, estimator = str(about.get("model", "")), str(about.get("estimator", ""))
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(str(path), f"has metadata that cannot be used ({error}).", advice) from error
    # safetensors keeps tensors by size and name; the values' own order is in the metadata.
    ranked = sorted(vectors, key=lambda slug: (order.index(slug) if slug in order else len(order), slug))
    ordered = {slug: dict(sorted(vectors[slug].items())) for slug in ranked}
    return SteeringVectors(model, estimator, ordered, coefficients)


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
    except InputError:
        return {}
    lengths = {block: float(vector.norm()) for block, vector in written.items()}
    return {
        block: round(float(wanted[block] @ vector) / lengths[block] ** 2, 6)
        for block, vector in written.items()
        if block in wanted and lengths[block] > 0
    }


# ---------------------------------------------------------------- taking in


def with_vectors(bank: VectorBank, name: str, vectors: Mapping[str, Mapping[int, torch.Tensor]]) -> VectorBank:
    """The bank with one more entry, made of vectors from elsewhere.

    Steer with it by `Recipe(estimator=name, magnitude="coefficient", amount=1.0)`. The quality of
    blocks with a vector is taken on trust (1); values and blocks without one have quality 0, so
    that recipes leave them out.

    Args:
        bank: fitted on the model that the vectors are for.
        name: of the new entry; replaces one of that name.
        vectors: value → block number → [H].

    Raises:
        InputError: a value, block or width that the bank does not have; a vector that is not finite.
    """
    blocks, width = len(bank.residual_norm), _width(bank)
    stack = torch.zeros(len(bank.info.values), blocks, width)
    quality = torch.zeros(len(bank.info.values), blocks)
    for slug, by_block in vectors.items():
        row = bank.row(slug)
        for block, vector in by_block.items():
            if not 0 <= block < blocks:
                raise InputError("blocks", f"{block} is not a block of the bank.", f"It has blocks 0 to {blocks - 1}.")
            if vector.shape != (width,):
                raise InputError(
                    f"{slug}.layer_{block}",
                    f"has {vector.numel()} elements, the bank's model is {width} wide.",
                    "Take vectors of the same model.",
                )
            if not torch.isfinite(vector).all():
                raise InputError(f"{slug}.layer_{block}", "is not finite.", "Export the vector anew.")
            stack[row, block], quality[row, block] = vector.float(), 1.0
    entry = Entry(Directions(stack, quality, torch.zeros_like(quality)), "last", "pairs")
    return replace(bank, entries={**bank.entries, name: entry})


def bank_problems(bank: VectorBank) -> list[str]:
    """What is wrong with a bank's numbers: shapes that disagree, NaN, values out of range; none if sound."""
    values, blocks = len(bank.info.values), len(bank.residual_norm)
    found = []
    if len(set(bank.info.values)) < values:
        found.append("values: some are named twice")
    if not (torch.isfinite(bank.residual_norm) & (bank.residual_norm > 0)).all():
        found.append("residual_norm: has entries that are not finite and positive")
    widths = set()
    for name, entry in bank.entries.items():
        widths.add(entry.directions.vectors.shape[-1])
        for part, tensor in vars(entry.directions).items():
            if tensor is None:
                continue
            shape = tuple(tensor.shape)
            if shape[:2] != (values, blocks) or len(shape) != (3 if part == "vectors" else 2):
                found.append(f"{name}.{part}: is {list(shape)} for {values} values and {blocks} blocks")
            bad = int((~torch.isfinite(tensor)).sum())
            if bad:
                found.append(f"{name}.{part}: {bad} of {tensor.numel()} numbers are not finite")
        if not ((entry.directions.quality >= 0) & (entry.directions.quality <= 1)).all():
            found.append(f"{name}.quality: is not between 0 and 1 everywhere")
    if len(widths) > 1:
        found.append(f"vectors: estimators disagree about the width ({', '.join(map(str, sorted(widths)))})")
    if bank.recipe.estimator not in bank.entries:
        found.append(f"recipe: its estimator {bank.recipe.estimator} is not in the bank")
    try:
        bank.recipe.chosen_blocks(blocks)
    except InputError as error:
        found.append(f"recipe: {error}")
    return found


def _width(bank: VectorBank) -> int:
    return int(next(iter(bank.entries.values())).directions.vectors.shape[-1])


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(str(path), "is not there.", "Name a file.")


def _check_widths(path: Path, vectors: Mapping[Any, torch.Tensor]) -> None:
    if not vectors:
        raise InputError(str(path), "holds no vector.", "Export it anew.")
    widths = sorted({len(vector) for vector in vectors.values()})
    if len(widths) > 1:
        raise InputError(str(path), f"has vectors of different widths ({widths}).", "Export it anew.")
