"""What tokens gather in the passes of a worker, without vLLM: passes that go on as before take a short way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_banks import BLOCKS, VALUES, WIDTH, random_bank
from random_banks import CALIBRATED as MEASURED
from random_banks import RESIDUAL as FIXED
from torch.utils._python_dispatch import TorchDispatchMode

from vispa.errors import NumericalError
from vispa.generation.vllm.asked import Asked
from vispa.generation.vllm.passes import Step
from vispa.generation.vllm.steps import Steps
from vispa.generation.vllm.tables import Tables
from vispa.generation.vllm.vocabulary import Vocabulary
from vispa.steering.intervention import active_steering
from vispa.steering.recipe import Recipe, Steer

CPU = torch.device("cpu")


def made_steps(*, captured: bool = False) -> Steps:
    tables = Tables(BLOCKS, WIDTH, 2000, device=CPU, dtype=torch.float32, lazy=not captured)
    steps = Steps(Vocabulary(random_bank(), FIXED), tables, 4096, CPU, torch.float32)
    steps.captured = captured
    return steps


def passed(steps: Steps, step: Step) -> list[torch.Tensor]:
    """What every block of a model puts out that puts out nothing but what is added, in one pass."""
    steps.tokens(step)
    hidden = torch.zeros(sum(step.scheduled), WIDTH)
    found = [steps.shifted(block, hidden, None) for block in range(BLOCKS)]
    steps.end()
    return found


class Forgetful(Steps):
    """Takes the long way every time."""

    def tokens(self, step: Step) -> None:
        self._steady = None
        super().tokens(step)


RECIPES = [FIXED, replace(FIXED, half_life=3.0), replace(FIXED, scope="generated"), MEASURED]
ASKED = st.builds(
    lambda value, recipe, plain: Asked() if plain else Asked((Steer(value, recipe=recipe),), whole=recipe == MEASURED),
    st.sampled_from(VALUES), st.sampled_from(RECIPES), st.booleans(),
)  # fmt: skip
#: Of a request: how it is steered, how long its prompt is, when it comes, how many tokens it writes.
REQUESTS = st.lists(st.tuples(ASKED, st.integers(1, 4), st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(REQUESTS, st.booleans(), st.sets(st.integers(0, 12), max_size=3))
def test_passes_that_go_on_add_what_they_would_anyway(
    requests: list[tuple[Asked, int, int, int]], captured: bool, interrupted: set[int]
) -> None:
    """Requests come, write, are read anew, and go; the short way is taken where nothing moves."""
    short, long = made_steps(captured=captured), made_steps(captured=captured)
    long.__class__ = Forgetful
    computed: dict[str, int] = {}
    ended: list[str] = []
    for turn in range(16):
        new = [(f"r{n}", asked) for n, (asked, _, comes, _) in enumerate(requests) if comes == turn]
        computed |= dict.fromkeys((name for name, _ in new), 0)
        if turn in interrupted and computed:
            # What it has written is read again, with its prompt.
            computed[next(iter(computed))] = 0
        names = list(computed)
        prompts = [requests[int(name[1:])][1] for name in names]
        have = [max(prompt, computed[name] + 1) for name, prompt in zip(names, prompts, strict=True)]
        counts = [length - computed[name] for name, length in zip(names, have, strict=True)]
        step = Step(names, counts, [computed[name] for name in names], prompts)
        both = []
        for steps in (short, long):
            steps.begin(ended, new)
            both.append(passed(steps, step) if names else [])
        for one, other in zip(*both, strict=True):
            assert torch.equal(one, other)
        computed = dict(zip(names, have, strict=True))
        ended = [name for name in names if computed[name] - requests[int(name[1:])][1] >= requests[int(name[1:])][3]]
        for name in ended:
            del computed[name]


@pytest.mark.parametrize("recipe", RECIPES, ids=["fixed", "fading", "generated", "measured"])
def test_a_row_that_is_used_again_holds_nothing_of_the_last(recipe: Recipe) -> None:
    steps = made_steps()
    first = Asked((Steer(VALUES[0], recipe=MEASURED),), whole=True)
    steps.begin([], [("a", first)])
    passed(steps, Step(["a"], [3], [0], [3]))
    few = replace(recipe, blocks=(2,))
    steps.begin(["a"], [("b", Asked((Steer(VALUES[1], recipe=few),), whole=recipe == MEASURED))])
    for first_token in (0, 3):
        found = passed(steps, Step(["b"], [3 if first_token == 0 else 1], [first_token], [3]))
        assert not any(one.any() for block, one in enumerate(found) if block != 2)
    assert found[2].any()


class Counted(TorchDispatchMode):
    """Counts operations; those that a device stops for apart."""

    STOPS = ("_local_scalar_dense", "nonzero", "masked_select")

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names[function.__name__.split(".")[0]] += 1
        return function(*args, **(kwargs or {}))

    @property
    def stops(self) -> int:
        return sum(self.names[name] for name in self.STOPS)


def counted(requests: Sequence[Asked]) -> Counted:
    """What one pass over the prompts of requests takes, once the plan is there."""
    steps = made_steps(captured=True)
    for value in VALUES:
        before = replace(requests[0], steers=(replace(requests[0].steers[0], value=value, weight=7.0),))
        steps.begin([], [(value, before)])
        passed(steps, Step([value], [2], [0], [2]))
    names = [f"r{number}" for number in range(len(requests))]
    with Counted() as found:
        steps.begin(VALUES, list(zip(names, requests, strict=True)))
        passed(steps, Step(names, [2] * len(names), [0] * len(names), [2] * len(names)))
    return found


@pytest.mark.parametrize("whole", [False, True], ids=["distinct", "measured"])
def test_what_a_pass_takes_does_not_grow_with_its_requests(whole: bool) -> None:
    recipe = MEASURED if whole else FIXED
    few, many = (
        counted([Asked((Steer(VALUES[0], 1 + n / 100, recipe),), whole=whole) for n in range(size)]) for size in (2, 64)
    )
    assert sum(many.names.values()) <= sum(few.names.values()) + 5
    assert many.stops == few.stops


def test_a_measured_pass_stops_a_device_once_a_block() -> None:
    found = counted([Asked((Steer(value, recipe=MEASURED),), whole=True) for value in VALUES])
    # Whether all is finite; beside that the processor is asked which steers have which scope.
    assert found.stops <= BLOCKS + 2


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(VALUES),
    st.sampled_from(
        [
            FIXED,
            replace(FIXED, blocks=(1, 3)),
            replace(FIXED, amount=0.0),
            replace(FIXED, cap=0.3),
            replace(FIXED, cap=2),
        ]
    ),
    st.floats(-1e6, 1e6, width=32) | st.sampled_from([1e30, -3e38, 1e4, -65504.0, 65520.0, 2e5]),
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
)
def test_lengths_of_one_steer_are_those_that_a_batch_has(
    value: str, recipe: Recipe, weight: float, dtype: torch.dtype
) -> None:
    vocabulary, steer = made_steps()._vocabulary, Steer(value, weight, recipe)
    plan = vocabulary.plan([steer])
    active = active_steering(plan, [[steer]], [False], [(0, 0, 0)])
    try:
        for block, spec in plan.blocks.items():
            active.measured(block, spec, torch.zeros(1, 1, WIDTH, dtype=dtype))
    except NumericalError as error:
        with pytest.raises(NumericalError, match=re.escape(str(error))):
            vocabulary.fixed_amounts([steer], False, dtype)
    else:
        steered = plan.steered_blocks([steer])
        expected = {block: float(amount) for block, amount in active.amounts.items() if block in steered}
        assert vocabulary.fixed_amounts([steer], False, dtype) == expected


@pytest.mark.parametrize("scopes", [("all",), ("all", "generated")])
@pytest.mark.parametrize("last", ["meta", "cpu"])
def test_a_model_that_is_spread_over_devices_is_steered_on_each(scopes: tuple[str, ...], last: str) -> None:
    """The second device has no numbers here; what is not on it would be refused."""
    steers = [Steer(value, recipe=replace(FIXED, scope=scope)) for value, scope in zip(VALUES, scopes, strict=False)]
    plan = made_steps()._vocabulary.plan(steers)
    active = active_steering(plan, [steers, []], [False, False], [(0, 0, 0)] * 2)
    chosen = [scope in ("all", "prompt") for scope in plan.scopes]
    for device in ("cpu", last, "cpu"):
        found = active._summed(torch.ones(2, len(steers), WIDTH, device=device), chosen, torch.float32)
        assert found is not None and found.device.type == device


@pytest.mark.parametrize("ended", [True, False])
def test_rows_that_a_failed_begin_gave_out_are_emptied(ended: bool) -> None:
    """There were too few for one request; those before it had theirs, in which something stood."""
    steps = made_steps(captured=True)
    tables = steps._tables
    for block in range(BLOCKS):
        tables.of(block).fill_(1.0)  # type: ignore[union-attr]
    tables._free = tables._free[-1:]
    asked = [
        (name, Asked((Steer(value, recipe=MEASURED),), whole=True))
        for name, value in zip("ab", VALUES[:2], strict=True)
    ]
    with pytest.raises(RuntimeError, match="more requests"):
        steps.begin([], asked)
    row = steps._held["a"].rows.generated
    steps.begin(["b"] if ended else [], [])
    assert row > 0 and not any(tables.of(block)[row].any() for block in range(BLOCKS))  # type: ignore[index]
