"""Rows of many requests in one running batch: every text is what it is alone, whatever comes, goes and fails."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from random_banks import CALIBRATED, COEFFICIENT, VALUES, random_bank

from vispa.errors import BusyError, ClosedError, ContextError, EngineError, InputError, NumericalError
from vispa.generation import running
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.scheduled import ScheduledEngine
from vispa.generation.scheduler import Scheduler
from vispa.generation.transformers import TransformersEngine
from vispa.models.batching import Budget
from vispa.models.loading import LoadedModel, load_model
from vispa.steering.recipe import Recipe, Steer

#: The last one writes one request after the other.
KINDS: dict[str, dict[str, object]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "gemma3_text": {"head_dim": 8, "sliding_window": 512},
    "gpt_neox": {},
    "gpt2": {},
    "mistral": {"sliding_window": 16},
    "olmo_hybrid": {},
}
SAMPLINGS = (
    Sampling(9),
    Sampling(5, temperature=1.0, seed=3),
    Sampling(14, temperature=0.7, top_p=0.8, seed=4),
    Sampling(1),
)
RECIPES = (
    COEFFICIENT,
    CALIBRATED,
    replace(COEFFICIENT, scope="last", subject_share=0.3),
    replace(COEFFICIENT, scope="prompt", blocks=(2,)),
    replace(COEFFICIENT, half_life=3.0),
    replace(CALIBRATED, scope="generated", half_life=1.5),
)
TEXTS = ("I lied.", "She sold the old family house to a stranger", "A walk in the rain", "No", "Please comment on a")
WAIT = 60


def requests(engine: TransformersEngine, seed: int, count: int) -> list[tuple[list[Row], Sampling]]:
    """Rows of all kinds: not steered, steered by any recipe, by two values, sampled or not."""
    draw = random.Random(seed)

    def row() -> Row:
        text, subject = draw.choice(TEXTS) + " So" * draw.randrange(12), draw.random() < 0.5
        prompt = engine.chat_prompt(text, text[:4] if subject else None)
        steers = [Steer(value, 1.0, draw.choice(RECIPES)) for value in draw.sample(VALUES, draw.randrange(3))]
        return Row(prompt, tuple(steers), draw.randrange(3), draw.random() < 0.5)

    return [([row() for _ in range(draw.choice((1, 2, 7)))], draw.choice(SAMPLINGS)) for _ in range(count)]


def close_to(found: list[Generated], alone: list[Generated]) -> None:
    assert [replace(text, shift={}) for text in found] == [replace(text, shift={}) for text in alone]
    for one, other in zip(found, alone, strict=True):
        assert one.shift == pytest.approx(other.shift, rel=1e-3, abs=1e-4)


@pytest.fixture
def engine(llama: LoadedModel) -> TransformersEngine:
    return TransformersEngine(llama, random_bank())


@contextmanager
def held(loaded: LoadedModel) -> Iterator[None]:
    """The scheduler cannot begin a step meanwhile."""
    with loaded.turns:
        yield


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_texts_are_those_of_each_request_alone(kind: str, seed: int, make_model: Callable[..., LoadedModel]) -> None:
    loaded = make_model(kind, **KINDS[kind])
    engines = [TransformersEngine(loaded, random_bank()), TransformersEngine(loaded, random_bank(seed=5))]
    draw, asked = random.Random(seed), requests(engines[0], seed, 8)
    alone = [engines[n % 2].generate(*one) for n, one in enumerate(asked)]
    with Scheduler(loaded, running=Budget(rows=12, tokens=1500)) as scheduler:
        tickets = []
        for number, (rows, sampling) in enumerate(asked):
            tickets.append(scheduler.submit(engines[number % 2], rows, sampling))
            time.sleep(draw.choice((0.0, 0.02)))
            if number % 4 == 3:
                scheduler.submit(engines[0], rows, Sampling(40)).cancel()
        for ticket, texts in zip(tickets, alone, strict=True):
            close_to(ticket.result(WAIT), texts)
        assert scheduler.load().faults == 0
    assert not any(block._forward_hooks for block in loaded.blocks)
    close_to(engines[0].generate(*asked[0]), alone[0])


def test_texts_of_the_embedded_model_in_pieces() -> None:
    loaded = load_model("embedded")
    engine = TransformersEngine(loaded)
    rows = [Row(engine.chat_prompt(text)) for text in TEXTS[:3]]
    alone = engine.generate(rows, Sampling(20))
    pieces: dict[int, str] = {}

    def said(row: int, text: str) -> None:
        assert text
        pieces[row] = pieces.get(row, "") + text

    with Scheduler(loaded) as scheduler:
        first = scheduler.submit(engine, rows[:2], Sampling(20), on_text=said)
        while not pieces:
            time.sleep(0.001)
        second = scheduler.submit(engine, rows[2:], Sampling(20))
        close_to(first.result(WAIT) + second.result(WAIT), alone)
    assert pieces == {0: alone[0].text, 1: alone[1].text}


def test_rows_share_steps_and_are_taken_in_turns(engine: TransformersEngine) -> None:
    ended: list[str] = []
    row = Row(engine.raw_prompt("I lied."))
    with Scheduler(engine.loaded, running=Budget(rows=4)) as scheduler:
        with held(engine.loaded):
            many = scheduler.submit(engine, [replace(row, seed=n) for n in range(31)], Sampling(4))
            many.add_done_callback(lambda _: ended.append("many"))
            one = scheduler.submit(engine, [row], Sampling(4))
            one.add_done_callback(lambda _: ended.append("one"))
        one.result(WAIT), many.result(WAIT)
        load = scheduler.load()
    assert ended == ["one", "many"]
    assert load.tokens == 32 * 4 and load.steps <= 8 * 4
    assert (load.waiting, load.running, load.requests, load.places) == (0, 0, 0, 0)


@pytest.mark.parametrize("rows", [1, 5])
def test_a_cancelled_request_leaves_within_a_step(engine: TransformersEngine, rows: int) -> None:
    row, loads = Row(engine.raw_prompt("I lied.")), []
    both, cancelled = threading.Event(), threading.Event()

    def after_a_token(_row: int, _text: str) -> None:
        # On the scheduler's thread: no step begins before the other request is cancelled.
        loads.append(scheduler.load())
        if loads[-1].running > rows and not both.is_set():
            both.set()
            assert cancelled.wait(WAIT)

    with Scheduler(engine.loaded) as scheduler:
        with held(engine.loaded):
            gone = scheduler.submit(engine, [row] * rows, Sampling(400))
            stays = scheduler.submit(engine, [row], Sampling(30), on_text=after_a_token)
        assert both.wait(WAIT)
        steps = scheduler.load().steps
        assert gone.cancel()
        cancelled.set()
        left = stays.result(WAIT)
        with pytest.raises(CancelledError):
            gone.result(WAIT)
    assert len(loads) > 3
    assert all(load.running <= 1 for load in loads if load.steps > steps), loads
    close_to(left, engine.generate([row], Sampling(30)))


def test_what_fails_fails_alone(engine: TransformersEngine) -> None:
    """A shift that is too long at the prompt, one that a callback refuses, and errors that are seen at once."""
    row, endless = Row(engine.raw_prompt("I lied.")), replace(COEFFICIENT, amount=1e38)
    poisoned = Row(row.prompt, (Steer("calm", 1e30, endless),))

    def refuse(_row: int, _text: str) -> None:
        raise ValueError("no")

    with Scheduler(engine.loaded) as scheduler:
        with held(engine.loaded):
            good = scheduler.submit(engine, [row, row], Sampling(8))
            bad = scheduler.submit(engine, [row, poisoned], Sampling(8))
            refused = scheduler.submit(engine, [row], Sampling(8), on_text=refuse)
        with pytest.raises(NumericalError):
            bad.result(WAIT)
        with pytest.raises(ValueError, match="no"):
            refused.result(WAIT)
        with pytest.raises(ContextError):
            scheduler.submit(engine, [row], Sampling(600))
        with pytest.raises(InputError):
            scheduler.submit(engine, [Row(row.prompt, (Steer("greed"),))], Sampling(8))
        close_to(good.result(WAIT), engine.generate([row, row], Sampling(8)))
        assert scheduler.load().faults == 0


def test_a_row_that_fails_in_a_step_fails_alone(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first token is a start token, whose embedding is made NaN where another is generated."""
    row, other = Row(engine.raw_prompt("I lied.")), Row(engine.raw_prompt("A walk in the rain"))
    alone = engine.generate([other], Sampling(12))
    usual = running.raw_logits

    def logits(loaded: LoadedModel, padded: object, **options: object) -> torch.Tensor:
        found = usual(loaded, padded, **options)  # type: ignore[arg-type]
        found[0] = torch.nan
        return found

    with Scheduler(engine.loaded) as scheduler:
        with held(engine.loaded):
            bad = scheduler.submit(engine, [row], Sampling(12))
            good = scheduler.submit(engine, [other], Sampling(12))
            monkeypatch.setattr(running, "raw_logits", logits)
        with pytest.raises(NumericalError, match="logits"):
            bad.result(WAIT)
        monkeypatch.setattr(running, "raw_logits", usual)
        if good.exception(WAIT) is None:
            close_to(good.result(), alone)
        close_to(scheduler.submit(engine, [other], Sampling(12)).result(WAIT), alone)


def test_a_fault_of_the_engine_is_said_and_the_next_are_served(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row = Row(engine.raw_prompt("A secret."))
    alone = engine.generate([row], Sampling(6))

    def broken(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("out of\nmemory")

    with Scheduler(engine.loaded) as scheduler:
        monkeypatch.setattr(running, "raw_logits", broken)
        failed = scheduler.submit(engine, [row, row], Sampling(6))
        with pytest.raises(EngineError, match="RuntimeError") as told:
            failed.result(WAIT)
        # Its words are for whoever's own process it is.
        assert "out of" not in str(told.value) and "out of" in str(told.value.__cause__)
        monkeypatch.undo()
        close_to(scheduler.submit(engine, [row], Sampling(6)).result(WAIT), alone)
        assert scheduler.load().faults == 1
    assert "RuntimeError at broken:" in caplog.text and "out of" not in caplog.text and "secret" not in caplog.text


def test_too_much_is_refused_and_closing_drains(engine: TransformersEngine) -> None:
    row = Row(engine.raw_prompt("I lied."))
    scheduler = Scheduler(engine.loaded, running=Budget(rows=2), waiting=8)
    with held(engine.loaded):
        tickets = [scheduler.submit(engine, [row] * 4, Sampling(3)) for _ in range(2)]
        with pytest.raises(BusyError, match="wait"):
            for _ in range(3):
                tickets.append(scheduler.submit(engine, [row] * 4, Sampling(3)))
        late = threading.Timer(0.1, lambda: None)
        closing = threading.Thread(target=scheduler.close, args=(WAIT,))
        closing.start()
        late.start()
        while True:
            try:
                scheduler.submit(engine, [], Sampling(3))
                scheduler.call(lambda: 1).cancel()
            except ClosedError:
                break
    closing.join(WAIT)
    assert all(len(ticket.result(0)) == 4 for ticket in tickets)
    cut = Scheduler(engine.loaded)
    with held(engine.loaded):
        ticket = cut.submit(engine, [row], Sampling(400))
    cut.close()
    with pytest.raises(ClosedError):
        ticket.result(WAIT)


def test_an_engine_that_is_scheduled_answers_as_the_engine_does(engine: TransformersEngine) -> None:
    rows = [Row(engine.raw_prompt(f"{text} Answer:"), (Steer("calm"),)) for text in TEXTS]
    with Scheduler(engine.loaded) as scheduler:
        scheduled, counted = ScheduledEngine(scheduler, engine), []
        long = scheduler.submit(engine, rows, Sampling(100))
        masses = scheduled.options(rows, [2] * 5)
        for found, own in zip(masses, engine.options(rows, [2] * 5), strict=True):
            assert found.tolist() == own.tolist()
        assert not long.done()
        given = [[" yes", " no"]] * 5
        for found, own in zip(scheduled.likelihoods(rows, given), engine.likelihoods(rows, given), strict=True):
            assert found == pytest.approx(own)
        close_to(scheduled.generate(rows, Sampling(5), counted.append), engine.generate(rows, Sampling(5)))
        assert counted == [1] * 5
        scheduled.cancel()
        with pytest.raises(CancelledError):
            scheduled.generate(rows, Sampling(5))


def test_a_ticket_can_be_awaited_and_cancelled_by_a_task(engine: TransformersEngine) -> None:
    row = Row(engine.raw_prompt("I lied."))

    async def ask() -> list[Generated]:
        long = scheduler.submit(engine, [row], Sampling(450))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(long), 0.02)
        assert long.cancelled()
        return await asyncio.wrap_future(scheduler.submit(engine, [row], Sampling(4)))

    with Scheduler(engine.loaded) as scheduler:
        close_to(asyncio.run(ask()), engine.generate([row], Sampling(4)))


def test_an_idle_scheduler_costs_nothing(engine: TransformersEngine) -> None:
    with Scheduler(engine.loaded) as scheduler:
        scheduler.submit(engine, [Row(engine.raw_prompt("I lied."))], Sampling(2)).result(WAIT)
        before = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - before < 0.05


def test_nothing_is_kept_of_what_has_ended(engine: TransformersEngine) -> None:
    row = Row(engine.raw_prompt("I lied."), (Steer("calm"),))
    with Scheduler(engine.loaded) as scheduler:
        tickets = [scheduler.submit(engine, [row] * 3, Sampling(4)) for _ in range(4)]
        tickets[1].cancel()
        for ticket in tickets[:1] + tickets[2:]:
            ticket.result(WAIT)
        kept = [weakref.ref(ticket) for ticket in tickets]
        del ticket, tickets
        deadline = time.monotonic() + 5
        while any(ref() is not None for ref in kept) and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.01)
        assert [ref() for ref in kept] == [None] * 4


def test_a_recipe_is_that_of_the_engine(llama: LoadedModel) -> None:
    strong = Recipe("mean", (1,), magnitude="coefficient", amount=9.0, minimal_quality=0.0)
    weak, other = TransformersEngine(llama, random_bank()), TransformersEngine(llama, random_bank(), strong)
    row = Row(weak.raw_prompt("I lied."), (Steer("calm"),))
    with Scheduler(llama) as scheduler:
        with held(llama):
            tickets = [scheduler.submit(engine, [row], Sampling(6)) for engine in (weak, other)]
        found = [ticket.result(WAIT)[0] for ticket in tickets]
    assert [list(text.shift) for text in found] == [[1, 2, 3], [1]]
    for engine, text in zip((weak, other), found, strict=True):
        close_to([text], engine.generate([row], Sampling(6)))
