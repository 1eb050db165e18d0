"""Fitting a mixture's weights to what a population answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vispa.errors import InputError
from vispa.modes.mixture import FloatArray, Mixture, at_temperature, jensen_shannon
from vispa.request import check_seed

IntArray = npt.NDArray[np.int64]

# The largest and smallest temperature that is tried.
_TEMPERATURES = (0.2, 5.0)
# Weights below this came to nothing.
_NOTHING = 1e-6
# The Jensen–Shannon distance of what have no option in common; no answer is as far as any.
_FARTHEST = float(np.sqrt(np.log(2)))


@dataclass(frozen=True)
class Example:
    """A question with the values' distributions and the population's.

    Attributes:
        by_value: [N, O]; a value with zeros alone has refused, and the others share its weight.
        gold: [O].
        group: of the population, or None.
        question: what was asked; examples of one question are held out together. None: nothing else has it.
    """

    by_value: FloatArray
    gold: FloatArray
    group: str | None = None
    question: str | None = None


def check_examples(questions: Sequence[str | None], folds: int) -> None:
    """Refuse fewer examples or questions than parts of the cross-validation, or fewer than two parts.

    Args:
        questions: of each example; one that is None is of its own.
        folds: parts.

    Raises:
        InputError: too few.
    """
    counts = {"examples": len(questions), "questions": len(set(_numbered(questions).tolist()))}
    for kind, count in counts.items():
        if folds < 2 or count < folds:
            raise InputError(kind, f"are {count:,}.", f"Give at least {max(2, folds):,}, or fewer folds.")


def large_groups(groups: Sequence[str | None], least: int) -> dict[str, IntArray]:
    """The groups that are large enough for weights of their own, with the places of their examples.

    Args:
        groups: of each example; None is none.
        least: how many examples are enough.

    Raises:
        InputError: none is.
    """
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        if group:
            places.setdefault(group, []).append(place)
    found = {group: np.array(places[group]) for group in sorted(places) if len(places[group]) >= least}
    if not places:
        raise InputError("groups", "are none: nothing says whose answers these are.", "Fit all of them together.")
    if not found:
        raise InputError("groups", f"have fewer than {least} examples each.", "Give more, or fit all of them together.")
    return found


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
    the plain mean, each under the weights that would be used: a group's own where it has them.

    Args:
        examples: development questions, all with the same N values.
        values: slugs of the values.
        per_group: also fit each group of at least `folds` examples on its own.
        calibrate: fit a temperature together with the weights.
        folds: of the cross-validation; examples of one question are in the same one.
        seed: of its split.

    Raises:
        InputError: fewer examples or questions than folds, no group that is large enough, shapes that differ, or
            an example that every value refuses.
    """
    check_examples([example.question for example in examples], folds)
    check_seed(seed)
    for number, example in enumerate(examples):
        if example.by_value.shape != (len(values), len(example.gold)):
            raise InputError(f"example {number}", f"has the shape {example.by_value.shape}.", "Give [values, options].")
        if not example.by_value.any():
            raise InputError(f"example {number}", "has a distribution of no value.", "Leave it out.")
    questions = _numbered([example.question for example in examples])
    members = large_groups([example.group for example in examples], folds) if per_group else {}
    data = _padded(examples)
    fitted = _fitted(*data, members, calibrate)
    equal = np.full(len(values), 1 / len(values))
    report = {
        "examples": float(len(examples)),
        "distance": float(_distances(*data, _by_row(fitted, members, len(examples)), fitted.temperature).mean()),
        "cross_validated_distance": float(_held_out(*data, members, questions, calibrate, folds, seed).mean()),
        "distance_of_the_mean": float(_distances(*data, equal, 1.0).mean()),
    }

    def named(weights: FloatArray) -> dict[str, float]:
        return dict(zip(values, map(float, weights), strict=True))

    groups = {group: named(weights) for group, weights in fitted.groups.items()}
    return Mixture("fitted", named(fitted.weights), groups, fitted.temperature, report)


@dataclass(frozen=True)
class _Fitted:
    """Weights [N] for all, those of groups, and a temperature for both."""

    weights: FloatArray
    groups: dict[str, FloatArray]
    temperature: float


def _numbered(questions: Sequence[str | None]) -> IntArray:
    """[E]: which question each example is of."""
    known: dict[str, int] = {}
    return np.array(
        [
            number if question is None else known.setdefault(question, number)
            for number, question in enumerate(questions)
        ],
        dtype=np.int64,
    )


def _fitted(by_value: FloatArray, gold: FloatArray, members: Mapping[str, IntArray], calibrate: bool) -> _Fitted:
    """Weights for all, and of the groups that have members left."""
    weights, temperature = _fit(by_value, gold, calibrate)
    groups = {
        group: _fit(by_value[own], gold[own], False, temperature)[0] for group, own in members.items() if own.size
    }
    return _Fitted(weights, groups, temperature)


def _by_row(fitted: _Fitted, members: Mapping[str, IntArray], count: int) -> FloatArray:
    """Weights [E, N] of each example: its group's own, or those for all."""
    rows = np.tile(fitted.weights, (count, 1))
    for group, weights in fitted.groups.items():
        rows[members[group]] = weights
    return rows


def _held_out(
    by_value: FloatArray,
    gold: FloatArray,
    members: Mapping[str, IntArray],
    questions: IntArray,
    calibrate: bool,
    folds: int,
    seed: int,
) -> FloatArray:
    """Distances [E] of examples under what was fitted on the other folds, which hold other questions."""
    order = np.random.default_rng(seed).permutation(np.unique(questions))
    found = np.empty(len(gold))
    for chosen in np.array_split(order, folds):
        held = np.isin(questions, chosen)
        rest = np.flatnonzero(~held)
        within = {group: np.flatnonzero(np.isin(rest, own)) for group, own in members.items()}
        fitted = _fitted(by_value[rest], gold[rest], within, calibrate)
        rows = _by_row(fitted, members, len(gold))
        found[held] = _distances(by_value[held], gold[held], rows[held], fitted.temperature)
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


def _sharpened(by_value: FloatArray, temperature: float) -> FloatArray:
    """The distributions at a temperature; zeros of values that refuse stay."""
    spoken = by_value.any(axis=-1, keepdims=True)
    return np.where(spoken, at_temperature(np.where(spoken, by_value, 1.0), temperature), 0.0)


def _mixed(weights: FloatArray, sharpened: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The mixtures [E, O], and what the values that speak weigh together [E]; zeros where that is nothing.

    Args:
        weights: [N] or, of each example, [E, N].
        sharpened: [E, N, O], with zeros for values that refuse.
    """
    mixed = np.einsum("...n,...no->...o", weights, sharpened)
    shared = mixed.sum(axis=-1)
    answered = (shared > _NOTHING)[..., None]
    return np.divide(mixed, shared[..., None], out=np.zeros_like(mixed), where=answered), shared


def _distances(by_value: FloatArray, gold: FloatArray, weights: FloatArray, temperature: float) -> FloatArray:
    """[E] under weights [N] or, of each example, [E, N]."""
    return _from_gold(_mixed(weights, _sharpened(by_value, temperature))[0], gold)


def _from_gold(mixed: FloatArray, gold: FloatArray) -> FloatArray:
    """[E]; the largest distance there is from an answer that is missing."""
    return np.where(mixed.any(axis=-1), jensen_shannon(mixed, gold), _FARTHEST)


def _fit(by_value: FloatArray, gold: FloatArray, calibrate: bool, temperature: float = 1.0) -> tuple[FloatArray, float]:
    """Weights on the simplex and temperature, by sequential quadratic programming from equal weights.

    A value that refuses everywhere has no weight.
    """
    from scipy.optimize import minimize, minimize_scalar

    spoken = by_value.any(axis=-1)
    heard = np.asarray(spoken.any(axis=0))

    def solve(at: float) -> tuple[float, FloatArray]:
        sharpened = _sharpened(by_value, at)

        def loss(weights: FloatArray) -> tuple[float, FloatArray]:
            mixed, shared = _mixed(weights, sharpened)
            distance = np.maximum(_from_gold(mixed, gold), 1e-9)
            # d JSD² / d mixed = ½ log(mixed / middle); the square root halves it again over the distance.
            safe = np.where(mixed > 0, mixed, 1.0)
            slope = np.where(mixed > 0, np.log(safe / ((safe + gold) / 2)) / 2, 0.0) / (2 * distance[:, None])
            # d mixed / d weight: what the value says less what is said, over what those that speak weigh together.
            own = np.einsum("eo,eno->en", slope, sharpened) - spoken * (slope * mixed).sum(axis=1)[:, None]
            return float(distance.mean()), (own / np.maximum(shared, _NOTHING)[:, None]).sum(axis=0) / len(gold)

        found = minimize(
            loss,
            heard / heard.sum(),
            jac=True,
            method="SLSQP",
            bounds=[(0.0, float(one)) for one in heard],
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones_like(w)},
            options={"maxiter": 500, "ftol": 1e-10},
        )
        # What is left of a weight that went to zero would have its value steered, written and counted.
        weights = np.where(found.x < _NOTHING, 0.0, found.x)
        return float(found.fun), weights / weights.sum()

    if calibrate:
        low, high = np.log(_TEMPERATURES)
        searched = minimize_scalar(lambda t: solve(float(np.exp(t)))[0], bounds=(low, high), method="bounded")
        temperature = float(np.exp(searched.x))
    return solve(temperature)[1], temperature
