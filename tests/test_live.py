"""Answers while they are made: events, stopping, many at once."""

from __future__ import annotations

import asyncio
import threading

import pytest
from served import embedded_pipeline

from vispa import Recipe, Vispa
from vispa.errors import InputError
from vispa.generation.rows import Sampling
from vispa.live.calls import Call, StoppedError
from vispa.live.events import Answered, Said, Selected
from vispa.live.watching import watched
from vispa.records import OvertonResponse

TEXT = "Telling my grandmother a comforting lie"


@pytest.fixture(scope="module")
def vispa() -> Vispa:
    return embedded_pipeline()


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
