"""A fault's words may quote a user: neither a log nor another client is told them."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from served import TEXT, Served, embedded_pipeline, started, wait_for

from vispa import Vispa
from vispa.errors import LONGEST_PART, EngineError, kind_and_place
from vispa.files.visible import first_line
from vispa.generation.rows import Row, Sampling
from vispa.generation.vllm.scheduler import VllmScheduler

SECRET = "my grandmother's illness"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no such file.", "no such file"),
        ("  first\nsecond", "first"),
        ("first\x0bsecond\x85third\u2028fourth", "first"),
        ("a\x1b[31mred\x07\x00", r"a\x1b[31mred\x07\x00"),
        ("tab\tbed", r"tab\tbed"),
        ("back\u202ewards", r"back\u202ewards"),
        ("half \ud800", r"half \ud800"),
        ("größer als 3 😀", "größer als 3 😀"),
        ("", "str"),
        ("\n\u200b", "str"),
        ("\u200b\nsecond", "str"),
        ("...", "str"),
    ],
)
def test_first_lines(said: str, shown: str) -> None:
    assert first_line(said) == shown
    expected = "RuntimeError" if shown == "str" else shown
    assert first_line(RuntimeError(said)) == expected


@pytest.mark.parametrize("letter", ["x", "\x1b", "\u202e", "\ud800", "é", " "])
def test_a_first_line_is_short_and_has_nothing_that_cannot_be_seen(letter: str) -> None:
    found = first_line(ValueError("begin" + letter * 100_000 + "end"))
    assert found.startswith("begin") and len(found) < LONGEST_PART + 10
    assert not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in found) and "\u202e" not in found


def test_kind_and_place_have_no_words() -> None:
    def deep(depth: int) -> None:
        if depth == 0:
            raise ValueError(SECRET)
        deep(depth - 1)

    for depth in (0, 3, 500):
        with pytest.raises(ValueError, match=SECRET) as raised:
            deep(depth)
        found = kind_and_place(raised.value)
        assert found.startswith("ValueError at deep:") and SECRET not in found and len(found) < 1000
    assert kind_and_place(KeyError(SECRET)) == "KeyError"


@pytest.fixture(scope="module")
def pipeline() -> Vispa:
    return embedded_pipeline()


@pytest.fixture(scope="module")
def served(pipeline: Vispa) -> Iterator[Served]:
    found = started(lambda: pipeline)
    yield found
    found.stop()


@pytest.mark.parametrize("where", ["running.RunningBatch.step", "transformers.TransformersEngine.begun"])
def test_one_client_s_text_is_told_to_no_other(
    where: str, served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither where all that run together fail, nor where each fails by itself as its prompt is read."""
    caplog.set_level(logging.DEBUG)
    bodies: list[dict[str, Any]] = [
        {"text": text, "k": 1, "stream": stream, "sampling": {"max_tokens": 8}}
        for text in (TEXT, f"Telling about {SECRET}")
        for stream in (False, True)
    ]
    faults = served.service.scheduler.load().faults

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"cannot read {SECRET}")

    with monkeypatch.context() as patch:
        patch.setattr(f"vispa.generation.{where}", broken)
        with ThreadPoolExecutor(len(bodies)) as pool:
            replies = list(pool.map(lambda body: served.post("/v1/vispa/respond", body), bodies))
    for body, reply in zip(bodies, replies, strict=True):
        assert "engine_restarted" in reply.text and "RuntimeError" in reply.text and "cannot read" not in reply.text
        assert reply.status_code == (200 if body["stream"] else 503)
    wait_for(lambda: served.service.running == 0)
    assert "RuntimeError at broken:" in caplog.text and SECRET not in caplog.text
    assert served.service.scheduler.load().faults > faults
    assert served.post("/v1/vispa/respond", bodies[0]).status_code == 200


@pytest.mark.parametrize("where", ["begin", "step"])
def test_the_scheduler_of_vllm_tells_no_words_either(
    where: str, pipeline: Vispa, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"cannot read {SECRET}")

    running = SimpleNamespace(begin=lambda *_: "row", step=lambda: None, cancel=lambda _: None)
    setattr(running, where, broken)
    engine: Any = SimpleNamespace(
        running=running, loaded=pipeline.model, plan=pipeline.engine.plan, begun=lambda _: None
    )
    row = Row(pipeline.engine.raw_prompt(SECRET))
    with VllmScheduler(engine) as scheduler:
        with pytest.raises(EngineError, match="RuntimeError") as told:
            scheduler.submit(engine, [row], Sampling(4)).result(60)
        assert SECRET not in str(told.value) and SECRET in str(told.value.__cause__)
        assert scheduler.load().faults == 1
    assert "RuntimeError at broken:" in caplog.text and SECRET not in caplog.text
