"""A search ends within its budget however slow the machine is, and whenever it becomes slow."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from vispa.steering.recipe import Recipe, portable_recipe
from vispa.tuning import clock, search
from vispa.tuning.clock import Clock
from vispa.tuning.search import Search
from vispa.tuning.trials import Bench

_FIGURES = {"rank": 0.8, "relation": 0.5, "fluency": 0.5, "expression": 0.6}
_SITUATIONS = tuple(SimpleNamespace(text=str(number)) for number in range(37))


class Slow:
    """A machine on which a comment takes a while, and more from a moment on; its clock stands still otherwise."""

    def __init__(self, seconds: float, later: float, since: float) -> None:
        self.now, self._seconds, self._later, self._since = 0.0, seconds, later, since

    def monotonic(self) -> float:
        return self.now

    def write(self, comments: int) -> None:
        for _ in range(comments):
            self.now += self._seconds if self.now < self._since else self._later


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that searches on such a machine for so many seconds, and returns the search."""

    def searched(machine: Slow, seconds: float, examples: int = 0, batch: float = 0.0) -> Search:
        def refined(*_: object, deadline: float, progress: Any, **__: object) -> object:
            for _batch in range(40):
                if machine.now + batch > deadline:
                    break
                machine.now += batch
                progress(1)
            return object()

        def run(bench: Bench, recipes: Sequence[Recipe], situations: slice, _: object) -> list[Any]:
            machine.write((len(recipes) * len(bench.values) + 1) * len(bench.situations[situations]))
            return [SimpleNamespace(recipe=recipe, figures=_FIGURES, score=0.5, plain=None) for recipe in recipes]

        def measure(bench: Bench, recipes: Sequence[Recipe | None], situations: slice, _: object) -> list[Any]:
            rows = sum(1 if recipe is None else len(bench.values) for recipe in recipes)
            machine.write(rows * len(bench.situations[situations]))
            return [None] * len(recipes)

        def personas(bench: Bench, recipes: Sequence[Recipe | None], situations: slice, _: object) -> list[Any]:
            # Asked in words, the model comments on each value, steered or not.
            machine.write(len(recipes) * len(bench.values) * len(bench.situations[situations]))
            return [None] * len(recipes)

        monkeypatch.setattr(clock, "time", machine)
        monkeypatch.setattr(Bench, "run", run)
        monkeypatch.setattr(Bench, "measure", measure)
        monkeypatch.setattr(Bench, "measure_personas", personas)
        monkeypatch.setattr(search, "chosen_examples", lambda *_: [None] * examples)
        monkeypatch.setattr(search, "fixed_vectors", lambda *_: None)
        monkeypatch.setattr(search, "refined_vectors", refined)
        monkeypatch.setattr(search, "unrefined", lambda *_: None)
        monkeypatch.setattr(search, "with_refined", lambda *_: object())
        monkeypatch.setattr(Search, "_by_value", lambda *_: None)
        engine: Any = SimpleNamespace(bank=object(), loaded=SimpleNamespace(blocks=range(12)))
        values = tuple(map(str, range(31)))
        bench: Any = {"engine": engine, "judge": None, "situations": _SITUATIONS, "taxonomy": None, "values": values}
        found = Search(Bench(**bench, tokens=8), Clock(seconds))
        found.run((portable_recipe(),))
        return found

    return searched


@pytest.mark.parametrize("seconds", [150.0, 400.0, 900.0, 1500.0, 3600.0])
@pytest.mark.parametrize("pace", [0.01, 0.1, 0.3, 0.5])
def test_a_search_ends_in_its_time(on: Any, seconds: float, pace: float) -> None:
    machine = Slow(pace, pace, 0.0)
    found = on(machine, seconds)
    rounds = [name for name, _ in found.trials]
    assert rounds[-1] == "finalists"
    # Before anything was measured nobody knows how slow the machine is; the last round is measured in any case.
    least = pace * ((31 * 12 + 12) * 2 + (2 * 31 + 1) * 8)
    assert machine.now <= max(seconds, least), (machine.now, rounds)


@pytest.mark.parametrize("later", [0.15, 0.3])
@pytest.mark.parametrize("since", [50.0, 200.0, 400.0])
def test_a_machine_that_becomes_slower_is_believed(on: Any, since: float, later: float) -> None:
    """One round at most begins as if it were still quick."""
    machine = Slow(0.1, later, since)
    found = on(machine, 900.0)
    longest = (6 * 16 + 1) * 5 + 48 * 31
    assert machine.now <= 900.0 + longest * (later - 0.1)
    assert found.trials[-1][0] == "finalists"


def test_with_time_enough_every_round_is_measured(on: Any) -> None:
    found = on(Slow(0.01, 0.01, 0.0), 3600.0)
    names = list(dict.fromkeys(name for name, _ in found.trials))
    assert names == ["screening blocks", "runs of blocks", "strengths", "finalists"]
    assert found.reasons[2] == "No steered comment was good enough to learn from."


@pytest.mark.parametrize("batch", [0.1, 3.0, 12.0])
@pytest.mark.parametrize("seconds", [400.0, 520.0, 560.0, 600.0, 640.0, 700.0, 900.0, 2000.0])
def test_directions_are_refined_only_where_they_will_be_compared(on: Any, seconds: float, batch: float) -> None:
    machine = Slow(0.1, 0.1, 0.0)
    found = on(machine, seconds, examples=200, batch=batch)
    refined = any("were refined on" in reason for reason in found.reasons)
    assert refined == ("refined strengths" in [name for name, _ in found.trials]), found.reasons
    assert refined or (seconds < 700 and machine.now <= seconds)
    assert machine.now <= seconds and found.trials[-1][0] == "finalists"
