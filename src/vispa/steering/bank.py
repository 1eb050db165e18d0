"""The bank: everything fitted on one model for one taxonomy, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vispa.errors import BankError, InputError
from vispa.files import replacing
from vispa.steering.activations import Reading
from vispa.steering.calibration import target_logit
from vispa.steering.directions import Contrast, Directions
from vispa.steering.intervention import BlockShift, SteeringPlan
from vispa.steering.recipe import Recipe

_FORMAT = "vispa-bank-1"
_PARTS = ("vectors", "quality", "bias", "weight_norm")


@dataclass(frozen=True)
class Entry:
    """One estimator's directions, with how they were read and contrasted."""

    directions: Directions
    reading: Reading
    contrast: Contrast


@dataclass(frozen=True)
class BankInfo:
    """What a bank is bound to and was made with."""

    model: str
    model_fingerprint: str
    taxonomy_fingerprint: str
    values: tuple[str, ...]
    versions: dict[str, str]


@dataclass(frozen=True)
class VectorBank:
    """Directions of V values at L blocks of width H.

    Attributes:
        info: model, taxonomy and versions.
        entries: by estimator name.
        residual_norm: [L] median length of the residual stream at the sentences' last tokens.
        recipe: how this model is steered by default.
    """

    info: BankInfo
    entries: dict[str, Entry]
    residual_norm: torch.Tensor
    recipe: Recipe

    def plan(self, values: Iterable[str], recipe: Recipe | None = None) -> SteeringPlan:
        """Shifts toward `values`, by the bank's recipe or another one.

        Raises:
            InputError: the recipe names an estimator, block or target that cannot be.
        """
        recipe = recipe or self.recipe
        entry = self.entries.get(recipe.estimator)
        if entry is None:
            raise InputError(
                "estimator", f"{recipe.estimator!r} is not in the bank.", f"It has {', '.join(self.entries)}."
            )
        slugs = tuple(dict.fromkeys(values))
        rows = torch.tensor([self.info.values.index(slug) for slug in slugs], dtype=torch.long)
        blocks = recipe.chosen_blocks(len(self.residual_norm))
        return SteeringPlan(slugs, {block: self._shift(entry.directions, rows, block, recipe) for block in blocks})

    def _shift(self, directions: Directions, rows: torch.Tensor, block: int, recipe: Recipe) -> BlockShift:
        direction = directions.vectors[rows, block]
        usable = directions.quality[rows, block] >= recipe.minimal_quality
        if recipe.magnitude == "calibrated":
            if directions.bias is None or directions.weight_norm is None:
                raise InputError(
                    "magnitude", f"{recipe.estimator} has no probability to calibrate.", "Use coefficient or residual."
                )
            logit = torch.full((len(rows),), target_logit(recipe.amount)).masked_fill(~usable, -torch.inf)
            return BlockShift(
                direction,
                weight_norm=directions.weight_norm[rows, block],
                bias=directions.bias[rows, block],
                logit=logit,
            )
        amount = torch.full((len(rows),), recipe.amount)
        if recipe.magnitude == "residual":
            amount = amount * self.residual_norm[block] / direction.norm(dim=-1).clamp_min(1e-30)
        return BlockShift(direction, amount=amount.masked_fill(~usable, 0.0))

    # ---------------------------------------------------------------- keeping

    def save(self, path: Path) -> None:
        """Write the bank to a safetensors file, whole or not at all."""
        tensors = {"residual_norm": self.residual_norm}
        entries = {}
        for name, entry in self.entries.items():
            entries[name] = {"reading": entry.reading, "contrast": entry.contrast}
            for part in _PARTS:
                tensor = getattr(entry.directions, part)
                if tensor is not None:
                    tensors[f"{name}.{part}"] = tensor.contiguous()
        header = {"format": _FORMAT, "info": asdict(self.info), "entries": entries, "recipe": asdict(self.recipe)}
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"vispa": json.dumps(header, sort_keys=True)})

    @classmethod
    def load(cls, path: Path) -> VectorBank:
        """Read a bank.

        Raises:
            BankError: the file is missing, damaged or no bank of this format.
        """
        advice = "Fit it anew with `vispa fit --force`."
        if not path.is_file():
            raise BankError(str(path), "is not there.", "Fit one with `vispa fit`.")
        try:
            with safe_open(path, "pt") as file:
                header = json.loads((file.metadata() or {}).get("vispa", "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise BankError(str(path), f"is damaged ({error}).", advice) from error
        if header.get("format") != _FORMAT:
            raise BankError(str(path), f"is not a bank of format {_FORMAT}.", advice)
        try:
            return cls._from_parts(header, tensors)
        except (KeyError, TypeError) as error:
            raise BankError(str(path), f"lacks {error}.", advice) from error

    @classmethod
    def _from_parts(cls, header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> VectorBank:
        info = BankInfo(**{**header["info"], "values": tuple(header["info"]["values"])})
        recipe = dict(header["recipe"])
        recipe["blocks"] = None if recipe["blocks"] is None else tuple(recipe["blocks"])
        entries = {
            name: Entry(
                Directions(
                    tensors[f"{name}.vectors"],
                    tensors[f"{name}.quality"],
                    tensors.get(f"{name}.bias"),
                    tensors.get(f"{name}.weight_norm"),
                ),
                **about,
            )
            for name, about in header["entries"].items()
        }
        return cls(info, entries, tensors["residual_norm"], Recipe(**recipe))

    def require(self, *, model_fingerprint: str, taxonomy_fingerprint: str) -> None:
        """Refuse to serve another model or taxonomy than the bank was fitted for.

        Raises:
            BankError: names what differs.
        """
        for what, here, wanted in (
            ("model", self.info.model_fingerprint, model_fingerprint),
            ("taxonomy", self.info.taxonomy_fingerprint, taxonomy_fingerprint),
        ):
            if here != wanted:
                raise BankError(
                    "bank",
                    f"was fitted for another {what} ({self.info.model}, {here[:12]}; asked for {wanted[:12]}).",
                    "Fit one for this model with `vispa fit`.",
                )
