"""The server as other clients see it: curl, and OpenAI's library when it streams; all modes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from served import TEXT, Held, Served, embedded_pipeline, started

from vispa import Vispa
from vispa.live.tasks import Watch

MODES: dict[str, dict[str, Any]] = {
    "overton": {"values": ["karma", "honor"]},
    "steerable": {"toward": "honesty", "k": 2},
    "distributional": {"options": ["Right", "Wrong"], "k": 2},
}
TOKENS = 12


@pytest.fixture(scope="module")
def pipeline() -> Vispa:
    return embedded_pipeline()


@pytest.fixture(scope="module")
def held(pipeline: Vispa) -> Held:
    return Held(pipeline.selector)


@pytest.fixture(scope="module")
def served(pipeline: Vispa, held: Held) -> Iterator[Served]:
    found = started(lambda: pipeline.variant(selector=held))
    yield found
    held.free.set()
    found.stop()


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[Any]:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=120) as found:
        yield found


def own(pipeline: Vispa, mode: str) -> Any:
    """What the pipeline answers."""
    return pipeline.respond(TEXT, mode=mode, max_new_tokens=TOKENS, **MODES[mode])  # type: ignore[call-overload]


def body(mode: str, *, stream: bool) -> dict[str, Any]:
    """A chat of one turn."""
    messages = [{"role": "user", "content": TEXT}]
    return {
        "model": f"vispa:{mode}",
        "messages": messages,
        "max_tokens": TOKENS,
        "vispa": MODES[mode],
        "stream": stream,
    }


def curl(served: Served, content: dict[str, Any]) -> str:
    """What curl writes to its output for a chat."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    url = f"{served.url}/v1/chat/completions"
    # No file of settings, which could name a proxy, and none of its environment.
    asked = [program, "-q", "--noproxy", "*", "-sSN", "--fail-with-body", "--max-time", "120", url]
    asked += ["-H", "Content-Type: application/json", "-d", "@-"]
    return subprocess.run(asked, input=json.dumps(content), capture_output=True, text=True, check=True).stdout


def chunks_of(stream: str) -> list[dict[str, Any]]:
    """The objects of a stream, which ends as OpenAI's do."""
    *lines, last = [line for line in stream.split("\n") if line]
    assert last == "data: [DONE]" and all(line.startswith("data: ") for line in lines), stream
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.mark.parametrize("mode", MODES)
def test_curl(mode: str, served: Served, pipeline: Vispa) -> None:
    expected = own(pipeline, mode)
    whole = json.loads(curl(served, body(mode, stream=False)))
    assert whole["object"] == "chat.completion" and whole["vispa"]["mode"] == mode
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": expected.response, "refusal": None}
    chunks = chunks_of(curl(served, body(mode, stream=True)))
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in chunks) == expected.response
    events = [one["vispa"] for one in chunks if "vispa" in one]
    assert events[0]["event"] == "selection" and events[-1]["answer"]["response"] == expected.response


@pytest.mark.parametrize("mode", MODES)
def test_chats_stream_in_every_mode(mode: str, client: Any, pipeline: Vispa) -> None:
    expected = own(pipeline, mode)
    given = body(mode, stream=True)
    chunks = list(client.chat.completions.create(extra_body={"vispa": given.pop("vispa")}, **given))
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == expected.response
    check_chunks(chunks, mode, expected)


@pytest.mark.parametrize("mode", MODES)
def test_a_message_that_a_client_put_together_is_history_of_the_next_turn(
    mode: str, client: Any, pipeline: Vispa
) -> None:
    """OpenAI's own helper adds up the deltas of all chunks, those of events too."""
    given = body(mode, stream=True)
    extra = {"vispa": given.pop("vispa")}
    del given["stream"]
    with client.chat.completions.stream(extra_body=extra, **given) as stream:
        said = stream.get_final_completion().choices[0].message
    assert said.role == "assistant" and said.content == own(pipeline, mode).response
    history = [*given["messages"], said.model_dump(include={"role", "content"})]
    messages = [*history, {"role": "user", "content": "And if she asks?"}]
    found = client.chat.completions.create(extra_body=extra, **{**given, "messages": messages})
    assert found.vispa["text"] == "And if she asks?" and said.content in found.vispa["comments"][0]["prompt"]


@pytest.mark.parametrize("mode", MODES)
def test_the_role_is_said_once_and_chunks_of_events_say_nothing(mode: str, served: Served) -> None:
    deltas = [(one["choices"][0]["delta"], "vispa" in one) for one in chunks_of(curl(served, body(mode, stream=True)))]
    assert deltas[0] == ({"role": "assistant", "content": ""}, False)
    assert not any("role" in delta for delta, _ in deltas[1:])
    assert [delta for delta, is_event in deltas if is_event] == [{}] * (len(deltas) - 2)


@pytest.mark.parametrize("mode", MODES)
def test_completions_stream_in_every_mode(mode: str, client: Any, pipeline: Vispa) -> None:
    expected = own(pipeline, mode)
    chunks = list(
        client.completions.create(
            model="vispa",
            prompt=TEXT,
            max_tokens=TOKENS,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"vispa": {"mode": mode, **MODES[mode]}},
        )
    )
    *chunks, last = chunks
    assert not last.choices and last.usage.completion_tokens == sum(one.tokens for one in expected.comments)
    assert "".join(one.choices[0].text for one in chunks) == expected.response
    assert {one.object for one in chunks} == {"text_completion"}
    check_chunks(chunks, mode, expected)


def check_chunks(chunks: list[Any], mode: str, expected: Any) -> None:
    """One identifier, one end, and the pipeline's events, the record last."""
    assert len({one.id for one in chunks}) == 1
    assert [one.choices[0].finish_reason for one in chunks if one.choices[0].finish_reason] == ["stop"]
    events = [one.vispa for one in chunks if hasattr(one, "vispa")]
    assert [one["event"] for one in events if one["event"] != "comment"] == ["selection", "response"]
    assert [one["value"] for one in events[0]["values"]] == [one.value for one in expected.values]
    for comment in expected.comments:
        said = "".join(one["text"] for one in events if one.get("value") == comment.value)
        assert said.startswith(comment.text)
    answer = events[-1]["answer"]
    assert answer["mode"] == mode and answer["response"] == expected.response
    if mode != "overton":
        assert answer["distribution"] == pytest.approx(expected.distribution, abs=1e-3)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/vispa/respond"])
def test_a_quiet_stream_says_that_it_is_alive(
    path: str, served: Served, held: Held, pipeline: Vispa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vispa.serving.answering.PING_SECONDS", 0.05)
    import httpx2

    chat = body("overton", stream=True)
    plain = {"text": TEXT, **MODES["overton"], "stream": True, "sampling": {"max_tokens": TOKENS}}
    held.free.clear()
    try:
        with httpx2.stream("POST", served.url + path, json=chat if "chat" in path else plain, timeout=60) as found:
            lines = found.iter_lines()
            # A comment of the format and the empty line after it: no client takes it for an event.
            assert [next(lines) for _ in range(6)] == [": ping", ""] * 3
            held.free.set()
            rest = [line for line in lines if line and line != ": ping"]
    finally:
        held.free.set()
    assert rest[-1] == "data: [DONE]"
    answer = json.loads(rest[-2].removeprefix("data: "))
    assert (answer["vispa"] if "chat" in path else answer)["answer"]["response"] == own(pipeline, "overton").response


def test_clients_pass_over_pings(client: Any, held: Held, pipeline: Vispa, monkeypatch: pytest.MonkeyPatch) -> None:
    event, quiet = Watch.event, []

    async def counted(watch: Watch[Any], seconds: float | None = None) -> Any:
        try:
            return await event(watch, seconds)
        except TimeoutError:
            # A ping follows each time; the answer comes after three.
            quiet.append(seconds)
            if len(quiet) == 3:
                held.free.set()
            raise

    monkeypatch.setattr(Watch, "event", counted)
    monkeypatch.setattr("vispa.serving.answering.PING_SECONDS", 0.01)
    given = body("overton", stream=True)
    held.free.clear()
    try:
        chunks = client.chat.completions.create(extra_body={"vispa": given.pop("vispa")}, **given)
        said = "".join(one.choices[0].delta.content or "" for one in chunks)
    finally:
        held.free.set()
    assert said == own(pipeline, "overton").response and len(quiet) >= 3
