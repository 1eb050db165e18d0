"""What refuses has no share in a fit, as it has none in an answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vispa.errors import InputError
from vispa.items.item import Item
from vispa.items.mixing import mixture_examples
from vispa.modes.mixture import FloatArray, Mixture, jensen_shannon
from vispa.modes.mixture_fitting import Example, fit_mixture
from vispa.request import Request, Sampling

VALUES = ("karma", "honor", "face", "power")


def answered(mixture: Mixture, example: Example) -> FloatArray | None:
    """What an answer to an example is: the weights of those that speak are brought to a sum of 1."""
    heard = [place for place, row in enumerate(example.by_value) if row.any()]
    weights = mixture.weights([VALUES[place] for place in heard], [1.0] * len(heard), example.group)
    return weights @ mixture.sharpened(example.by_value[heard]) if weights.any() else None


def population(seed: int, refusing: float, count: int = 60) -> tuple[FloatArray, list[Example]]:
    """Examples in which values refuse now and then, of people who share weights."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.ones(len(VALUES)))
    examples = []
    for number in range(count):
        by_value = rng.dirichlet(np.full(3, 0.7), size=len(VALUES))
        spoken = rng.random(len(VALUES)) >= refusing
        spoken[number % len(VALUES)] = True
        weights = truth * spoken
        gold = weights @ by_value / weights.sum()
        examples.append(Example(by_value * spoken[:, None], gold, ("north", "south")[number % 2]))
    return truth, examples


@pytest.mark.parametrize("refusing", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_weights_are_found_through_refusals(seed: int, refusing: float) -> None:
    truth, examples = population(seed, refusing)
    fitted = fit_mixture(examples, VALUES)
    np.testing.assert_allclose([fitted.shares[value] for value in VALUES], truth, atol=0.01)
    assert fitted.report["distance"] < 0.01 and fitted.report["cross_validated_distance"] < 0.01


@pytest.mark.parametrize("refusing", [0.0, 0.3, 0.6])
@pytest.mark.parametrize(("per_group", "calibrate"), [(False, False), (True, False), (False, True)])
def test_the_reported_distance_is_that_of_what_is_answered(refusing: float, per_group: bool, calibrate: bool) -> None:
    _, examples = population(4, refusing)
    # Noise, so that there is a distance.
    rng = np.random.default_rng(0)
    examples = [Example(e.by_value, rng.dirichlet(np.ones(3)), e.group) for e in examples]
    fitted = fit_mixture(examples, VALUES, per_group=per_group, calibrate=calibrate)
    for mixture, figure in ((fitted, "distance"), (Mixture(), "distance_of_the_mean")):
        answers = [answered(mixture, example) for example in examples]
        distances = [
            np.sqrt(np.log(2)) if answer is None else float(jensen_shannon(answer, example.gold))
            for answer, example in zip(answers, examples, strict=True)
        ]
        assert fitted.report[figure] == pytest.approx(np.mean(distances), abs=1e-9)


@pytest.mark.parametrize("silent", [[0], [1, 3], [0, 1, 2]])
def test_a_value_that_always_refuses_has_no_weight(silent: list[int]) -> None:
    rng = np.random.default_rng(7)
    examples = []
    for _ in range(20):
        by_value = rng.dirichlet(np.ones(3), size=len(VALUES))
        by_value[silent] = 0
        examples.append(Example(by_value, rng.dirichlet(np.ones(3))))
    fitted = fit_mixture(examples, VALUES)
    assert not set(fitted.values) & {VALUES[place] for place in silent}
    assert sum(fitted.shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("place", [0, 5])
def test_an_example_that_all_refuse_is_refused(place: int) -> None:
    _, examples = population(1, 0.0, 10)
    examples[place] = Example(np.zeros((len(VALUES), 3)), np.ones(3) / 3)
    with pytest.raises(InputError, match=f"example {place}: has a distribution of no value"):
        fit_mixture(examples, VALUES)


@pytest.mark.parametrize("refused", [(), ("karma",), ("honor", "power")])
def test_refused_values_of_answers_count_for_nothing(refused: tuple[str, ...]) -> None:
    rng = np.random.default_rng(3)
    table = {value: tuple(rng.dirichlet(np.ones(2))) for value in VALUES}
    answer = SimpleNamespace(
        mode="distributional",
        comments=[SimpleNamespace(value=value, refused=value in refused) for value in VALUES],
        silent=refused,
        values=[SimpleNamespace(value=value) for value in VALUES],
        by_value=[() if value in refused else table[value] for value in VALUES],
        options=("Yes", "No"),
    )
    vispa: Any = SimpleNamespace(respond_many=lambda asked, **_: [answer] * len(asked))
    item = Item(id="a", text="Lying", options=("Yes", "No"), gold_distribution=(0.4, 0.6))
    found = mixture_examples(vispa, [item], {"a": Request("Lying")}, VALUES, Sampling(), lambda *_: None)
    for value, row in zip(VALUES, found[0].by_value, strict=True):
        assert tuple(row) == ((0.0, 0.0) if value in refused else table[value])
