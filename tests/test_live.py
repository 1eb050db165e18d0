"""Answers while they are made: events, stopping, many at once."""

from __future__ import annotations

import asyncio
import copy
import gc
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from served import embedded_pipeline

from vispa import Recipe, Vispa
from vispa.errors import InputError
from vispa.generation.rows import Sampling
from vispa.live.calls import Call, StoppedError
from vispa.live.events import Answered, Said, Selected
from vispa.live.tasks import Watch
from vispa.live.watching import watched
from vispa.modes.repeats import bundled_encode
from vispa.modes.stances import AskedStances
from vispa.modes.statements import StatementStances
from vispa.records import OvertonResponse, Response

TEXT = "Telling my grandmother a comforting lie"


@pytest.fixture(scope="module")
def vispa() -> Vispa:
    return embedded_pipeline()


def plain(answer: Response) -> dict[str, Any]:
    return answer.model_dump(exclude={"provenance"})


def are_close(one: Any, other: Any) -> bool:
    """Whether records say the same; numbers may differ in their last digits, as their passes hold other rows."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(are_close(one[name], other[name]) for name in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(are_close, one, other))
    return bool(one == (pytest.approx(other, abs=1e-3) if isinstance(one, float) else other))


def test_events_lead_up_to_the_answer_of_the_plain_door(vispa: Vispa) -> None:
    async def heard() -> list[object]:
        return [event async for event in vispa.stream(TEXT, k=3, max_new_tokens=24)]

    events = asyncio.run(heard())
    first, *said, last = events
    assert isinstance(first, Selected) and isinstance(last, Answered) and isinstance(last.answer, OvertonResponse)
    plain = vispa.respond(TEXT, k=3, max_new_tokens=24)
    assert last.answer.model_dump(exclude={"provenance"}) == plain.model_dump(exclude={"provenance"})
    assert first.values == plain.values
    pieces: dict[str, str] = {}
    for one in said:
        assert isinstance(one, Said)
        pieces[one.value] = pieces.get(one.value, "") + one.text
    assert set(pieces) == {one.value for one in plain.values}
    for comment in plain.comments:
        assert comment.text and pieces[comment.value].startswith(comment.text)


def test_many_tasks_get_their_own_answers(vispa: Vispa) -> None:
    texts = [f"Lending my {thing} to a stranger" for thing in ("bike", "coat", "house", "phone", "savings", "dog")]

    async def asked() -> list[str]:
        answers = await asyncio.gather(*(vispa.arespond(text, k=2, max_new_tokens=16) for text in texts))
        return [answer.text for answer in answers]

    assert asyncio.run(asked()) == texts


def test_tasks_of_several_threads_get_the_answers_that_they_get_alone(vispa: Vispa) -> None:
    asked: list[tuple[str, dict[str, Any]]] = [
        ("Lending my bike to a stranger", {"k": 2}),
        ("Lending my coat to a stranger", {"values": "karma,honor"}),
        ("Lying to my boss", {"mode": "steerable", "toward": "honesty", "k": 2}),
        ("Eating meat", {"mode": "distributional", "options": "Right|Wrong", "k": 2}),
    ]
    alone = [plain(vispa.respond(text, max_new_tokens=16, **fields)) for text, fields in asked]
    together = threading.Barrier(2, timeout=60)

    def run(order: Sequence[int]) -> dict[int, dict[str, Any]]:
        async def gathered() -> list[Response]:
            together.wait()
            doors = (vispa.arespond(asked[n][0], max_new_tokens=16, **asked[n][1]) for n in order)
            return await asyncio.gather(*doors)

        return dict(zip(order, map(plain, asyncio.run(gathered())), strict=True))

    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(run, ((0, 1, 2, 3), (3, 2, 1, 0))):
            assert all(are_close(found[n], alone[n]) for n in range(len(asked))), (found, alone)


def test_an_error_that_nobody_waits_for_is_not_logged_with_its_words(caplog: pytest.LogCaptureFixture) -> None:
    async def left() -> None:
        def work(_: Call) -> None:
            raise RuntimeError("about a secret")

        watch = Watch(work)
        # The end is heard of, but what came of it never asked for.
        assert await watch.event() is None
        watch.stop()
        del watch
        gc.collect()

    asyncio.run(left())
    gc.collect()
    assert "secret" not in caplog.text


def test_faults_come_through(vispa: Vispa) -> None:
    with pytest.raises(InputError, match="k: is 99"):
        asyncio.run(vispa.arespond(TEXT, k=99))

    async def heard() -> None:
        async for _ in vispa.stream(TEXT, mode="steerable"):
            pass

    with pytest.raises(InputError, match="toward: is missing"):
        asyncio.run(heard())


def test_what_is_stopped_goes_no_further(vispa: Vispa) -> None:
    call = Call()
    call.stop()
    with watched(vispa, call, vispa.scheduler) as pipeline, pytest.raises(StoppedError):
        pipeline.respond("Selling a broken car")

    ended = threading.Event()

    async def left() -> None:
        async for _ in vispa.stream("Selling a broken car", k=4, max_new_tokens=400):
            ended.set()
            break

    asyncio.run(left())
    assert ended.is_set()


def test_a_call_counts_what_it_costs(vispa: Vispa) -> None:
    call = Call()
    with watched(vispa, call, vispa.scheduler) as pipeline:
        answer = pipeline.respond(TEXT, k=2, **vars(Sampling(12)))
    assert call.rows == 2 and call.generated_tokens == sum(one.tokens for one in answer.comments) > 0
    assert call.prompt_tokens > call.rows


def test_a_variant_is_watched_with_its_own_recipe(vispa: Vispa) -> None:
    other = vispa.variant(recipe=Recipe("mean", (2,), magnitude="residual", amount=0.5))
    answers = []
    for one in (vispa, other):
        with watched(one, Call(), vispa.scheduler) as pipeline:
            answers.append(pipeline.respond(TEXT, k=2, max_new_tokens=16))
    plain = other.respond(TEXT, k=2, max_new_tokens=16)
    assert [one.text for one in answers[1].comments] == [one.text for one in plain.comments]
    assert answers[0].provenance.steering != answers[1].provenance.steering


def test_what_all_calls_share_is_not_made_for_each(vispa: Vispa) -> None:
    other = copy.copy(vispa)
    vars(other)["stances"] = StatementStances(bundled_encode)
    with watched(other, Call(), vispa.scheduler) as first, watched(other, Call(), vispa.scheduler) as second:
        assert first.stances is second.stances is other.stances
        assert first.chooser._similarity is second.chooser._similarity
        # What asks the model asks through the call.
        assert first.own_reader is not second.own_reader
    with watched(vispa, Call(), vispa.scheduler) as asked:
        assert isinstance(vispa.stances, AskedStances) and asked.stances is not vispa.stances
