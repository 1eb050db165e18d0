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
from vispa.files.folders import banks_folder
from vispa.files.writing import replacing
from vispa.steering.activations import Reading
from vispa.steering.estimators import Contrast, Directions
from vispa.steering.plan import SteeringPlan
from vispa.steering.planning import build_plan
from vispa.steering.recipe import Recipe, Steer

_FORMAT = "vispa-bank-2"
_PARTS = ("vectors", "quality", "separation", "bias", "weight_norm")


def bank_file(model_fingerprint: str, taxonomy_fingerprint: str) -> Path:
    """Where the user's cache keeps the bank of a model and taxonomy."""
    return banks_folder() / f"{model_fingerprint[:20]}-{taxonomy_fingerprint[:20]}.safetensors"


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

    def plan(self, steers: Iterable[Steer | str], recipe: Recipe | None = None) -> SteeringPlan:
        """The tables for a batch whose rows are steered by any of `steers`.

        Args:
            steers: of all rows together; a slug stands for `Steer(slug)`.
            recipe: of the steers that name none; the bank's by default.

        Raises:
            InputError: an estimator, block or value that is not in the bank, or a calibrated
                magnitude for an estimator without a probability.
        """
        default = recipe or self.recipe
        keys: dict[tuple[str, Recipe], None] = {}
        for steer in steers:
            slug, own = (steer, None) if isinstance(steer, str) else (steer.value, steer.recipe)
            keys[slug, own or default] = None
        return build_plan(self, tuple(keys), default)

    def entry(self, estimator: str) -> Entry:
        """The directions of an estimator.

        Raises:
            InputError: it is not in the bank.
        """
        if estimator not in self.entries:
            raise InputError("estimator", f"{estimator!r} is not in the bank.", f"It has {', '.join(self.entries)}.")
        return self.entries[estimator]

    @property
    def width(self) -> int | None:
        """Width H of the directions; None for a bank without entries."""
        return next((int(entry.directions.vectors.shape[-1]) for entry in self.entries.values()), None)

    def row(self, value: str) -> int:
        """The place of a value in the tensors' first axis.

        Raises:
            InputError: the bank has no such value.
        """
        if value not in self.info.values:
            raise InputError("value", f"{value!r} is not in the bank.", f"It has {', '.join(self.info.values)}.")
        return self.info.values.index(value)

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
        if not isinstance(header, dict) or header.get("format") != _FORMAT:
            raise BankError(str(path), f"is not a bank of format {_FORMAT}.", advice)
        try:
            return cls._from_parts(header, tensors)
        except InputError as error:
            raise BankError(str(path), f"holds a recipe that cannot be used: {error}", advice) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise BankError(str(path), f"lacks {error}.", advice) from error

    @classmethod
    def _from_parts(cls, header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> VectorBank:
        info = BankInfo(**{**header["info"], "values": tuple(header["info"]["values"])})
        recipe = Recipe.from_mapping(header["recipe"])
        entries = {
            name: Entry(
                Directions(
                    tensors[f"{name}.vectors"],
                    tensors[f"{name}.quality"],
                    tensors[f"{name}.separation"],
                    tensors.get(f"{name}.bias"),
                    tensors.get(f"{name}.weight_norm"),
                ),
                **about,
            )
            for name, about in header["entries"].items()
        }
        return cls(info, entries, tensors["residual_norm"], recipe)

    def relative_norm(self, estimator: str) -> torch.Tensor:
        """[V, L] length of an estimator's vectors as a fraction of the blocks' typical residual norm."""
        length: torch.Tensor = self.entry(estimator).directions.vectors.norm(dim=-1)
        return length / self.residual_norm.clamp_min(1e-30)

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
