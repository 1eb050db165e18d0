"""Whose turn it is in a scheduler, and who may still come to an end when it closes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from random_banks import random_bank
from test_scheduler import WAIT, close_to, held

from vispa.errors import ClosedError, ContextError, InputError
from vispa.generation import admission
from vispa.generation.calls import Call, Calls
from vispa.generation.letters import Masses
from vispa.generation.pace import Pace
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.scheduled import ScheduledEngine, stretches
from vispa.generation.scheduler import Scheduler
from vispa.generation.transformers import TransformersEngine
from vispa.models.batching import Budget
from vispa.models.loading import LoadedModel


@pytest.fixture
def engine(llama: LoadedModel) -> TransformersEngine:
    return TransformersEngine(llama, random_bank())


def test_a_new_request_goes_before_further_rows_of_others(engine: TransformersEngine) -> None:
    row, begun = Row(engine.raw_prompt("I lied.")), []
    with Scheduler(engine.loaded, running=Budget(rows=2)) as scheduler:

        def ended(name: str) -> Callable[[int, Generated], None]:
            return lambda number, _: begun.append((name, number))

        with held(engine.loaded):
            first = [scheduler.submit(engine, [row] * 5, Sampling(3), on_row=ended(name)) for name in "ab"]
            while scheduler.load().running + scheduler.load().waiting < 10:
                time.sleep(0.001)
            first += [scheduler.submit(engine, [row], Sampling(3), on_row=ended(name)) for name in "cd"]
        for ticket in first:
            ticket.result(WAIT)
    assert {("c", 0), ("d", 0)} <= set(begun[:4]), begun


def test_who_waited_long_is_not_passed_by(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "HEAD_START", 0.0)
    row, ended = Row(engine.raw_prompt("I lied.")), []
    with Scheduler(engine.loaded, running=Budget(rows=1)) as scheduler:
        with held(engine.loaded):
            tickets = [scheduler.submit(engine, [row] * 2, Sampling(2))]
            tickets[0].add_done_callback(lambda _: ended.append("old"))
            while scheduler.load().waiting != 1:
                time.sleep(0.001)
        for _ in range(30):
            tickets.append(scheduler.submit(engine, [row], Sampling(2)))
            tickets[-1].add_done_callback(lambda _: ended.append("new"))
        for ticket in tickets:
            ticket.result(WAIT)
    assert ended.index("old") < 5, ended


def test_closing_lets_who_asks_come_to_an_end(engine: TransformersEngine) -> None:
    """Several stages of one answer; whoever comes after closing has begun is refused."""
    rows = [Row(engine.raw_prompt("I lied."))]
    scheduler = Scheduler(engine.loaded)
    closing = threading.Thread(target=scheduler.close, args=(WAIT,))
    with ScheduledEngine(scheduler, engine) as caller:
        alone = caller.generate(rows, Sampling(3))
        closing.start()
        while True:
            try:
                scheduler.call(lambda: None)
            except ClosedError:
                break
        with pytest.raises(ClosedError), ScheduledEngine(scheduler, engine):
            pass
        assert caller.options(rows, [2])[0].shape == (2,)
        close_to(caller.generate(rows, Sampling(3)), alone)
        assert closing.is_alive()
    closing.join(WAIT)
    assert not closing.is_alive()
    with pytest.raises(ClosedError):
        caller.generate(rows, Sampling(3))


def test_closing_waits_no_longer_than_it_is_told(engine: TransformersEngine) -> None:
    scheduler = Scheduler(engine.loaded)
    with ScheduledEngine(scheduler, engine) as caller:
        scheduler.close(0.05)
        with pytest.raises(ClosedError):
            caller.generate([Row(engine.raw_prompt("I lied."))], Sampling(3))


def test_readings_of_several_requests_are_one_pass_and_fail_apart(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(engine.raw_prompt(f"{text} Answer:")) for text in ("I lied.", "A walk", "She sold it")]
    own, passes = engine.options(rows, [2, 3, 4]), []
    options = engine.options

    def counted(part: Sequence[Row], counts: Sequence[int]) -> list[Masses]:
        passes.append(len(part))
        if 5 in counts:
            raise InputError("options", "of one cannot be read.", "Ask otherwise.")
        return options(part, counts)

    monkeypatch.setattr(engine, "options", counted)
    callers = [([row], [count]) for row, count in zip(rows, (2, 3, 4), strict=True)] + [(rows[:1], [5])]
    with Scheduler(engine.loaded) as scheduler, ThreadPoolExecutor(5) as pool:
        with held(engine.loaded):
            first = scheduler.submit(engine, rows, Sampling(3))
            while scheduler.load().waiting:
                time.sleep(0.001)
            found = [pool.submit(ScheduledEngine(scheduler, engine).options, *one) for one in callers]
            while len(scheduler._calls) < len(callers):
                time.sleep(0.001)
        for one, expected in zip(found, own, strict=False):
            assert one.result(WAIT)[0] == pytest.approx(expected, abs=1e-6)
        with pytest.raises(InputError, match="options"):
            found[-1].result(WAIT)
        first.result(WAIT)
    # Together first, which the one that cannot be makes fail; then each by itself.
    assert passes == [4, 1, 1, 1, 1]


def test_as_many_readings_at_once_as_one_pass_holds() -> None:
    calls = Calls()
    for number, (key, tokens) in enumerate([("a", 40), ("b", 5), ("a", 60), ("a", 1), (None, 0), ("a", 300)]):
        calls.add(Call(list, [number], tokens, key))
    # A hundred tokens fit, one more does not; what is more than a pass alone is one of its own.
    assert _passes(calls) == [[0, 2], [1], [3], [4], [5]]
    assert calls.next(Budget(tokens=100)) == []


@pytest.mark.parametrize(
    ("waiting", "passes"),
    [
        ("aaaab", [[0, 4], [1, 2], [3]]),
        ("aaaabbc", [[0, 4], [6, 1], [5, 2], [3]]),
        ("abcabc", [[0, 1], [2, 3], [4, 5]]),
        ("aaaa", [[0, 1], [2, 3]]),
    ],
)
def test_owners_of_readings_take_turns(waiting: str, passes: list[list[int]]) -> None:
    """Two fit into a pass: who asks for one waits for one pass, however many another one asks for."""
    calls = Calls()
    for number, owner in enumerate(waiting):
        calls.add(Call(list, [number], 50, "a", owner))
    assert len(calls) == len(waiting)
    assert _passes(calls) == passes
    assert not calls


def _passes(calls: Calls) -> list[list[int]]:
    """The items of all passes of at most a hundred tokens."""
    taken = []
    while calls:
        taken.append([call.items[0] for call in calls.next(Budget(tokens=100))])
    return taken


@pytest.mark.parametrize("kind", ["options", "likelihoods"])
def test_between_the_parts_of_a_long_reading_others_have_their_turn(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    rows = [Row(engine.raw_prompt(f"{number}: she sold the old family house. Answer:")) for number in range(10, 22)]
    others: list[Any] = [2] * len(rows) if kind == "options" else [[" yes", " no"]] * len(rows)
    whole, passes = getattr(engine, kind)(rows, others), []
    function = getattr(engine, kind)

    def counted(part: Sequence[Row], own: Sequence[Any]) -> Any:
        passes.append((len(part), scheduler.load().tokens))
        return function(part, own)

    monkeypatch.setattr(engine, kind, counted)
    longest = max(len(row.prompt.ids) for row in rows)
    monkeypatch.setattr("vispa.generation.scheduler.reading_budget", lambda _: Budget(tokens=4 * longest + 40))
    # However short a reading is beside a step.
    monkeypatch.setattr(Scheduler, "_step_seconds", property(lambda _: 0.0, lambda *_: None), raising=False)
    with Scheduler(engine.loaded) as scheduler, ThreadPoolExecutor(1) as pool:
        with held(engine.loaded):
            writing = scheduler.submit(engine, [Row(engine.raw_prompt("I lied."))], Sampling(30))
            while scheduler.load().waiting:
                time.sleep(0.001)
            reading = pool.submit(getattr(ScheduledEngine(scheduler, engine), kind), rows, others)
            while not len(scheduler._calls):
                time.sleep(0.001)
        for one, expected in zip(reading.result(WAIT), whole, strict=True):
            np.testing.assert_allclose(one, expected, atol=1e-5)
        writing.result(WAIT)
    # A pass of readings holds half the budget.
    assert [count for count, _ in passes] == [2] * 6, passes
    written = [tokens for _, tokens in passes]
    assert written == sorted(set(written)), passes


@pytest.mark.parametrize("tokens", [1, 4])
def test_a_reading_is_answered_though_new_prompts_come_without_end(engine: TransformersEngine, tokens: int) -> None:
    row = Row(engine.raw_prompt("I lied."))
    answered = threading.Event()
    with Scheduler(engine.loaded) as scheduler:

        def again(_: object) -> None:
            if not answered.is_set():
                scheduler.submit(engine, [row], Sampling(tokens)).add_done_callback(again)

        for _ in range(4):
            again(None)
        assert [scheduler.call(lambda number=number: number).result(WAIT) for number in range(5)] == list(range(5))
        answered.set()


def test_a_turn_has_time_for_several_readings(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of functions that take no time, and that stand alone, all that wait are called before rows go on."""
    monkeypatch.setattr(Scheduler, "_step_seconds", property(lambda _: 60.0, lambda *_: None), raising=False)
    with Scheduler(engine.loaded) as scheduler:
        with held(engine.loaded):
            writing = scheduler.submit(engine, [Row(engine.raw_prompt("I lied."))], Sampling(30))
            while scheduler.load().waiting:
                time.sleep(0.001)
            seen = [scheduler.call(lambda: scheduler.load().steps) for _ in range(6)]
        steps = [one.result(WAIT) for one in seen]
        writing.result(WAIT)
    assert max(steps) - min(steps) <= 1, steps


@pytest.mark.parametrize(("orders", "requests", "together"), [(3, 6, 6), (6, 4, 4), (1, 12, 8)])
def test_readings_share_a_pass_by_what_they_read(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch, orders: int, requests: int, together: int
) -> None:
    """The orders of a question begin alike, and take no more of a pass than what they do not share."""
    text = "She sold the old family house to a stranger and told nobody of it for many years"
    asked = [
        [Row(engine.raw_prompt(f"{number} {text} {order} Answer:")) for order in range(orders)]
        for number in range(requests)
    ]
    apart = [engine.options(rows, [2] * orders) for rows in asked]
    longest = max(len(row.prompt.ids) for rows in asked for row in rows)
    # Half of it holds so many whole prompts; of prompts that share most of their tokens more rows are read than that.
    monkeypatch.setattr("vispa.generation.scheduler.reading_budget", lambda _: Budget(tokens=16 * longest))
    passes, options = [], engine.options

    def counted(rows: Sequence[Row], counts: Sequence[int]) -> list[Masses]:
        passes.append(len(rows) // orders)
        return options(rows, counts)

    monkeypatch.setattr(engine, "options", counted)
    with Scheduler(engine.loaded) as scheduler, ThreadPoolExecutor(requests) as pool:
        with held(engine.loaded):
            first = scheduler.submit(engine, asked[0][:1], Sampling(3))
            while scheduler.load().waiting:
                time.sleep(0.001)
            found = [pool.submit(ScheduledEngine(scheduler, engine).options, rows, [2] * orders) for rows in asked]
            while len(scheduler._calls) < requests:
                time.sleep(0.001)
        for one, expected in zip(found, apart, strict=True):
            np.testing.assert_allclose(one.result(WAIT), expected, atol=1e-6)
        first.result(WAIT)
    assert passes[0] == together


@pytest.mark.parametrize("count", [1, 40, 400])
@pytest.mark.parametrize("equal", [True, False])
def test_parts_of_likelihoods_hold_what_is_read(engine: TransformersEngine, count: int, equal: bool) -> None:
    """A prompt is read once, what continues it each time: options differ from question to question."""
    rows = [Row(engine.raw_prompt("Answer:" if equal else f"{number} Answer:")) for number in range(count)]
    texts = [[f" option {number} of {letter}" for letter in "abcd"] for number in range(count)]
    parts = stretches(rows, texts, len, Budget(tokens=512))
    assert [place for places, _ in parts for place in places] == list(range(count))
    for places, cost in parts:
        own = {rows[place] for place in places}
        read = len(own) * max(len(row.prompt.ids) for row in own)
        assert cost == read + sum(len(text) for place in places for text in texts[place])
        assert len(places) == 1 or cost <= 512
    assert len(parts) > count / 10
    # All that is equal is read once.
    same = stretches(rows, [["yes", "no"]] * count, len, Budget(tokens=512))
    assert len(same) == 1 or not equal
    assert stretches(rows, texts, len, Budget()) == [(list(range(count)), 0)]


def test_prompts_begin_in_passes_of_the_measured_size(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = len(engine.raw_prompt("I lied.").ids)
    began: list[int] = []

    class Slow(Pace):
        @property
        def budget(self) -> Budget:
            return Budget(tokens=2 * longest) if began else super().budget

        def took(self, tokens: int, seconds: float) -> None:
            began.append(tokens // longest)

    monkeypatch.setattr("vispa.generation.scheduler.Pace", Slow)
    row = Row(engine.raw_prompt("I lied."))
    with Scheduler(engine.loaded) as scheduler:
        scheduler.submit(engine, [row], Sampling(2)).result(WAIT)
        scheduler.submit(engine, [row] * 7, Sampling(4)).result(WAIT)
    assert began == [1, 2, 2, 2, 1]


@pytest.mark.parametrize("kind", ["options", "likelihoods"])
def test_a_row_that_is_too_long_is_refused_before_others_are_read(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    rows = [Row(engine.raw_prompt("I lied. Answer:")), Row(engine.raw_prompt("so " * 5000))]
    others: list[Any] = [2, 2] if kind == "options" else [[" yes"], [" no"]]
    monkeypatch.setattr(engine, kind, None)
    with Scheduler(engine.loaded) as scheduler, pytest.raises(ContextError):
        getattr(ScheduledEngine(scheduler, engine), kind)(rows, others)
