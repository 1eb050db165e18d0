"""Weights with which the values' distributions are mixed: equal, by relevance, given, or fitted (`mixture_fitting`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, ConfigDict, Field, RootModel, model_validator

from vispa.errors import InputError
from vispa.files.reading import read_json
from vispa.files.validation import FileModel, validated
from vispa.files.writing import replacing
from vispa.request import MAX_WEIGHT_SUM

FloatArray = npt.NDArray[np.float64]

_FORMAT = "vispa-mixture-1"


def _usable(shares: dict[str, float]) -> dict[str, float]:
    """Weights that can be brought to a sum of 1."""
    total = sum(shares.values())
    if shares and not 0 < total <= MAX_WEIGHT_SUM:
        raise ValueError("are all 0" if total == 0 else f"sum to {total:g}, which is more than {MAX_WEIGHT_SUM:g}")
    return shares


_Shares = Annotated[dict[str, Annotated[float, Field(ge=0)]], AfterValidator(_usable)]


class _Weights(RootModel[_Shares]):
    """Value → weight, as a caller writes it."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _MixtureFile(FileModel):
    """A file that `Mixture.save` writes."""

    format: Literal["vispa-mixture-1"]
    kind: Literal["mean", "relevance", "given", "fitted"]
    shares: _Shares = Field(default_factory=dict)
    groups: dict[str, _Shares] = Field(default_factory=dict)
    temperature: Annotated[float, Field(gt=0)] = 1.0
    report: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_shares(self) -> _MixtureFile:
        weighted = bool(self.shares or self.groups)
        if weighted != (self.kind in ("given", "fitted")):
            raise ValueError(f"The kind {self.kind} {'has no' if weighted else 'needs'} shares")
        return self


@dataclass(frozen=True)
class Mixture:
    """How the distributions of several values become one.

    Attributes:
        kind: `mean` (the paper), `relevance`, `given`, or `fitted`.
        shares: value slug → weight; for `given` and `fitted`.
        groups: group → value slug → weight; used instead of `shares` for texts of that group.
        temperature: every value's distribution p becomes p^(1/T), renormalised; 1 leaves it.
        report: what a fit measured.
    """

    kind: str = "mean"
    shares: dict[str, float] = field(default_factory=dict)
    groups: dict[str, dict[str, float]] = field(default_factory=dict)
    temperature: float = 1.0
    report: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # What a file says is checked before; this is for mixtures made in Python.
        validated(_MixtureFile, {"format": _FORMAT, **vars(self)}, "mixture")

    @property
    def values(self) -> tuple[str, ...]:
        """The values that a given or fitted mixture needs, heaviest first; empty for the other kinds."""
        total: dict[str, float] = {}
        for shares in (self.shares, *self.groups.values()):
            for value, share in shares.items():
                total[value] = total.get(value, 0.0) + share
        return tuple(sorted((v for v in total if total[v] > 0), key=lambda v: -total[v]))

    @property
    def by_score(self) -> bool:
        """Whether values weigh by how relevant the selector finds them, those that a request names too."""
        return self.kind == "relevance"

    def renamed(self, slug: Callable[[str], str]) -> Mixture:
        """The same mixture with every value's name replaced by its slug."""

        def rename(shares: dict[str, float]) -> dict[str, float]:
            found: dict[str, float] = {}
            for name, share in shares.items():
                found[slug(name)] = found.get(slug(name), 0.0) + share
            return found

        groups = {group: rename(shares) for group, shares in self.groups.items()}
        return replace(self, shares=rename(self.shares), groups=groups)

    def weights(self, values: Sequence[str], relevance: Sequence[float], group: str | None = None) -> FloatArray:
        """Weights [N] of the values, summing to 1; all 0 where a given or fitted mixture weighs none of them."""
        shares = self.groups.get(group or "", self.shares)
        if self.by_score:
            raw = np.array(relevance, dtype=np.float64)
        elif self.kind == "mean":
            raw = np.ones(len(values))
        else:
            raw = np.array([shares.get(value, 0.0) for value in values])
        total = float(raw.sum())
        if total > 0:
            return np.divide(raw, total)
        # All may be equally irrelevant; but weights that somebody chose are not replaced by others.
        return np.full(len(values), 1 / len(values)) if self.by_score else np.zeros(len(values))

    def sharpened(self, distributions: FloatArray) -> FloatArray:
        """Distributions [N, O] at the mixture's temperature."""
        return at_temperature(distributions, self.temperature)

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        with replacing(path) as temporary:
            text = json.dumps({"format": _FORMAT, **vars(self)}, indent=1, sort_keys=True, allow_nan=False)
            temporary.write_text(text + "\n")

    @classmethod
    def load(cls, path: Path) -> Mixture:
        """Read a mixture that `save` wrote, or a plain object of value → weight.

        Raises:
            InputError: unreadable, or not of either form; names the field.
        """
        table = read_json(path, "mixture")
        # A value may be called "format" too, but its weight is a number.
        if isinstance(table, dict) and isinstance(table.get("format"), str):
            found = validated(_MixtureFile, table, str(path))
            return cls(**found.model_dump(exclude={"format"}))
        return cls.given(table, str(path))

    @classmethod
    def given(cls, table: object, place: str = "weights") -> Mixture:
        """A mixture of the caller's own weights.

        Raises:
            InputError: not an object of value → number; names the value.
        """
        if not isinstance(table, Mapping) or not table:
            raise InputError(place, "is not an object of value → weight.", 'Write {"benevolence": 0.4, "karma": 0.6}.')
        return cls("given", validated(_Weights, table, place).root)


def at_temperature(distributions: FloatArray, temperature: float) -> FloatArray:
    """p^(1/T) over the last axis, renormalised."""
    if temperature == 1.0:
        return distributions
    powered = np.power(distributions / distributions.max(-1, keepdims=True), 1 / temperature)
    scaled: FloatArray = powered / powered.sum(-1, keepdims=True)
    return scaled


def jensen_shannon(first: FloatArray, second: FloatArray) -> FloatArray:
    """Jensen–Shannon distances (square root, natural logarithm) over the last axis.

    Zero entries count as 0 · log 0 = 0, so padded options change nothing.
    """
    middle = (first + second) / 2

    def half(p: FloatArray) -> FloatArray:
        ratio = np.divide(p, middle, out=np.ones_like(middle), where=p > 0)
        total: FloatArray = (p * np.log(ratio)).sum(-1)
        return total

    return np.sqrt(np.maximum(0.0, (half(first) + half(second)) / 2))
