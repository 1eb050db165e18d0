"""Weights with which the values' distributions are mixed: equal, by relevance, given, or fitted."""

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
from vispa.request import MAX_WEIGHT_SUM, check_seed

FloatArray = npt.NDArray[np.float64]

_FORMAT = "vispa-mixture-1"
# The largest and smallest temperature that is tried.
_TEMPERATURES = (0.2, 5.0)


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
        if self.kind == "relevance":
            raw = np.array(relevance, dtype=np.float64)
        elif self.kind == "mean":
            raw = np.ones(len(values))
        else:
            raw = np.array([shares.get(value, 0.0) for value in values])
        total = float(raw.sum())
        if total > 0:
            return np.divide(raw, total)
        # All may be equally irrelevant; but weights that somebody chose are not replaced by others.
        return np.full(len(values), 1 / len(values)) if self.kind == "relevance" else np.zeros(len(values))

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


@dataclass(frozen=True)
class Example:
    """A question with the values' distributions and the population's.

    Attributes:
        by_value: [N, O].
        gold: [O].
        group: of the population, or None.
    """

    by_value: FloatArray
    gold: FloatArray
    group: str | None = None


def check_folds(examples: int, folds: int) -> None:
    """Refuse fewer examples than parts of the cross-validation, or fewer than two parts."""
    if folds < 2 or examples < folds:
        raise InputError("examples", f"are {examples:,}.", f"Give at least {max(2, folds):,}, or fewer folds.")


def fit_mixture(
    examples: Sequence[Example],
    values: Sequence[str],
    *,
    per_group: bool = False,
    calibrate: bool = False,
    folds: int = 5,
    seed: int = 0,
) -> Mixture:
    """The convex mixture with the least mean Jensen–Shannon distance to the population.

    The report holds the distance on the examples themselves, the cross-validated one, and that of
    the plain mean.

    Args:
        examples: development questions, all with the same N values.
        values: slugs of the values.
        per_group: also fit each group of at least `folds` examples on its own.
        calibrate: fit a temperature together with the weights.
        folds: of the cross-validation.
        seed: of its split.

    Raises:
        InputError: fewer examples than folds, or shapes that differ.
    """
    check_folds(len(examples), folds)
    check_seed(seed)
    for number, example in enumerate(examples):
        if example.by_value.shape != (len(values), len(example.gold)):
            raise InputError(f"example {number}", f"has the shape {example.by_value.shape}.", "Give [values, options].")
    by_value, gold = _padded(examples)
    weights, temperature = _fit(by_value, gold, calibrate)
    groups = {}
    if per_group:
        for group in sorted({example.group for example in examples if example.group}):
            mine = [i for i, example in enumerate(examples) if example.group == group]
            if len(mine) >= folds:
                group_weights = _fit(by_value[mine], gold[mine], False, temperature)[0]
                groups[group] = dict(zip(values, map(float, group_weights), strict=True))
    equal = np.full(len(values), 1 / len(values))
    report = {
        "examples": float(len(examples)),
        "distance": float(_distances(by_value, gold, weights, temperature).mean()),
        "cross_validated_distance": float(_held_out(by_value, gold, calibrate, folds, seed).mean()),
        "distance_of_the_mean": float(_distances(by_value, gold, equal, 1.0).mean()),
    }
    return Mixture("fitted", dict(zip(values, map(float, weights), strict=True)), groups, temperature, report)


def _held_out(by_value: FloatArray, gold: FloatArray, calibrate: bool, folds: int, seed: int) -> FloatArray:
    """Distances [E] of examples under what was fitted on the other folds."""
    order = np.random.default_rng(seed).permutation(len(gold))
    found = np.empty(len(gold))
    for part in np.array_split(order, folds):
        rest = np.setdiff1d(order, part)
        weights, temperature = _fit(by_value[rest], gold[rest], calibrate)
        found[part] = _distances(by_value[part], gold[part], weights, temperature)
    return found


def _padded(examples: Sequence[Example]) -> tuple[FloatArray, FloatArray]:
    """Distributions [E, N, O] and gold [E, O], with zeros for options that an example lacks."""
    most = max(len(example.gold) for example in examples)
    by_value = np.zeros((len(examples), len(examples[0].by_value), most))
    gold = np.zeros((len(examples), most))
    for number, example in enumerate(examples):
        by_value[number, :, : len(example.gold)] = example.by_value
        gold[number, : len(example.gold)] = example.gold / example.gold.sum()
    return by_value, gold


def _distances(by_value: FloatArray, gold: FloatArray, weights: FloatArray, temperature: float) -> FloatArray:
    mixed = np.einsum("n,eno->eo", weights, at_temperature(by_value, temperature))
    return jensen_shannon(mixed, gold)


def _fit(by_value: FloatArray, gold: FloatArray, calibrate: bool, temperature: float = 1.0) -> tuple[FloatArray, float]:
    """Weights on the simplex and temperature, by sequential quadratic programming from equal weights."""
    from scipy.optimize import minimize, minimize_scalar

    count = by_value.shape[1]

    def solve(at: float) -> tuple[float, FloatArray]:
        sharpened = at_temperature(by_value, at)

        def loss(weights: FloatArray) -> tuple[float, FloatArray]:
            mixed = np.einsum("n,eno->eo", weights, sharpened)
            distance = np.maximum(jensen_shannon(mixed, gold), 1e-9)
            # d JSD² / d mixed = ½ log(mixed / middle); the square root halves it again over the distance.
            safe = np.where(mixed > 0, mixed, 1.0)
            slope = np.where(mixed > 0, np.log(safe / ((safe + gold) / 2)) / 2, 0.0) / (2 * distance[:, None])
            return float(distance.mean()), np.einsum("eo,eno->n", slope, sharpened) / len(gold)

        found = minimize(
            loss,
            np.full(count, 1 / count),
            jac=True,
            method="SLSQP",
            bounds=[(0.0, 1.0)] * count,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones_like(w)},
            options={"maxiter": 500, "ftol": 1e-10},
        )
        weights = np.clip(found.x, 0, None)
        return float(found.fun), weights / weights.sum()

    if calibrate:
        low, high = np.log(_TEMPERATURES)
        searched = minimize_scalar(lambda t: solve(float(np.exp(t)))[0], bounds=(low, high), method="bounded")
        temperature = float(np.exp(searched.x))
    return solve(temperature)[1], temperature
