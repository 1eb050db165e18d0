"""Requests that share vLLM: texts in pieces, cancelling, closing."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest
from pairs import TOKENS, Pair, mixed
from small import CALIBRATED, RESIDUAL, VALUES

from vispa.errors import BusyError, ClosedError, InputError
from vispa.generation.rows import Row, Sampling
from vispa.generation.scheduled import ScheduledEngine
from vispa.generation.vllm.scheduler import VllmScheduler
from vispa.steering.recipe import Steer


def test_requests_get_the_texts_that_they_get_alone_and_in_pieces(pair: Pair) -> None:
    scheduler = VllmScheduler(pair.vllm)
    try:
        requests = [pair.rows_of(mixed(RESIDUAL)[:5]), pair.rows_of(mixed(CALIBRATED)[5:9]), pair.rows_of([()])]
        pieces: list[dict[int, str]] = [{} for _ in requests]

        def told(number: int) -> object:
            return lambda row, text: pieces[number].update({row: pieces[number].get(row, "") + text})

        tickets = [
            scheduler.submit(pair.vllm, rows, TOKENS, on_text=told(number)) for number, rows in enumerate(requests)
        ]  # fmt: skip
        for rows, ticket, heard in zip(requests, tickets, pieces, strict=True):
            expected = pair.transformers.generate(rows, TOKENS)
            found = ticket.result(60)
            assert [one.ids for one in found] == [one.ids for one in expected]
            assert [heard.get(row, "") for row in range(len(rows))] == [one.text for one in expected]
            assert all(list(one.shift) == list(other.shift) for one, other in zip(found, expected, strict=True))
        load = scheduler.load()
        assert (load.running, load.requests, load.waiting) == (0, 0, 0) and load.tokens >= 10 * 8
    finally:
        scheduler.close()


def test_options_are_read_while_rows_write(pair: Pair) -> None:
    scheduler = VllmScheduler(pair.vllm)
    try:
        engine = ScheduledEngine(scheduler, pair.vllm)
        rows = pair.rows_of([(Steer(VALUES[0]),)] * 3)
        ticket = scheduler.submit(pair.vllm, rows, Sampling(60))
        masses = engine.options(rows, [2, 2, 2])
        assert [one.tolist() for one in masses] == [one.tolist() for one in pair.vllm.options(rows, [2, 2, 2])]
        assert [one.ids for one in ticket.result(60)] == [
            one.ids for one in pair.transformers.generate(rows, Sampling(60))
        ]  # fmt: skip
    finally:
        scheduler.close()


def test_cancelled_requests_leave(pair: Pair) -> None:
    scheduler = VllmScheduler(pair.vllm, waiting=4)
    try:
        heard = threading.Event()
        long = scheduler.submit(
            pair.vllm, pair.rows_of([()] * 3), Sampling(300), on_text=lambda *_: heard.set()
        )  # fmt: skip
        with pytest.raises(BusyError):
            scheduler.submit(pair.vllm, pair.rows_of([()] * 3), TOKENS)
        with pytest.raises(InputError):
            scheduler.submit(pair.vllm, [Row(pair.vllm.raw_prompt("a"), (Steer("nothing"),))], TOKENS)
        assert heard.wait(60) and long.cancel()
        with pytest.raises(CancelledError):
            long.result(60)
        (after,) = scheduler.submit(pair.vllm, pair.rows_of([()]), TOKENS).result(60)
        assert after.tokens == 12 or not after.limited
        assert scheduler.load().running == 0 and not pair.vllm.running.engine.has_unfinished_requests()
    finally:
        scheduler.close()
    with pytest.raises(ClosedError):
        scheduler.submit(pair.vllm, pair.rows_of([()]), TOKENS)


def test_what_is_unfinished_at_the_end_is_said(pair: Pair) -> None:
    scheduler = VllmScheduler(pair.vllm)
    ticket = scheduler.submit(pair.vllm, pair.rows_of([()] * 2), Sampling(400))
    scheduler.close()
    with pytest.raises(ClosedError):
        ticket.result(60)
    assert not pair.vllm.running.engine.has_unfinished_requests()


def test_what_was_measured_for_who_left_is_forgotten(pair: Pair) -> None:
    running, recipe = pair.vllm.running, CALIBRATED
    (row,) = pair.rows_of([(Steer(VALUES[0], recipe=recipe),)], "Somebody leaves.")
    for steps in (0, 1, 2, 1, 2):
        names = [
            running.begin(row.prompt.ids, pair.vllm._params(row, max_tokens=20), lambda _: None) for _ in range(4)
        ]  # fmt: skip
        for _ in range(steps):
            running.step()
        running.cancel(names)
        pair.agree(pair.rows_of(mixed(recipe)[:4]))
    # Whoever is interrupted while what was measured is looked at asks no more either.
    with pytest.raises(ZeroDivisionError):
        pair.vllm.generate(pair.rows_of(mixed(recipe)[:4]), TOKENS, lambda _: 1 // 0)
    pair.agree([row])
    assert not running._told and not running._awaited
