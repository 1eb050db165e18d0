"""What a chat API says is wrong, in whatever form, reaches the user, and stops no more prompts than it must."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from fake_api import FakeApi, Reply, completion, failed, said

from vispa.errors import InputError
from vispa.readers.api import ApiChat
from vispa.readers.base import Failure, Unreached

KEY = "sk-secret-1"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def chat(api: FakeApi, **more: Any) -> ApiChat:
    return ApiChat("m", base_url=api.url, backoff=0, **{"retries": 2, "concurrency": 1, **more})


def within(error: Any, status: int = 200) -> Reply:
    return Reply(json.dumps({"error": error}).encode(), status)


def stopped(error: Any) -> Reply:
    """A gateway's reply where the model failed after it had begun."""
    body = json.loads(completion("", finish_reason="error"))
    body["choices"][0]["error"] = error
    return Reply(json.dumps(body).encode())


# ---------------------------------------------------------------- errors within replies

CREDITS = {"message": "Insufficient credits", "code": 402}


@pytest.mark.parametrize(
    ("reply", "tries", "words"),
    [
        (within(CREDITS), 1, ("code 402: Insufficient credits", "account")),
        (within({**CREDITS, "code": "402"}), 1, ("code 402: Insufficient credits", "account")),
        (within({"message": "The context is full", "code": 400}), 1, ("code 400: The context is full", "Change")),
        (within({"message": "Provider is down", "code": 502}), 3, ("code 502: Provider is down", "3 tries")),
        (within({"message": "slow down", "code": 429}), 3, ("code 429: slow down", "3 tries")),
        (within({"message": "odd", "code": "server_error"}), 3, ("is an error: odd", "3 tries")),
        (within({"message": "odd", "code": True}), 3, ("is an error: odd", "3 tries")),
        (within("no such thing"), 3, ("is an error: no such thing", "3 tries")),
        (within(["odd"]), 3, ("is an error: ['odd']", "3 tries")),
        (stopped(CREDITS), 1, ("code 402: Insufficient credits", "account")),
        (stopped({"message": "Provider is down", "code": 502}), 3, ("code 502: Provider is down", "3 tries")),
    ],
)
@pytest.mark.parametrize("weighing", [False, True])
def test_an_error_within_a_reply_is_told_and_judged_by_its_code(
    serve: Any, reply: Reply, tries: int, words: tuple[str, ...], weighing: bool
) -> None:
    api = serve(lambda *_: reply)
    asked = chat(api)
    found = asked.option_probabilities(["x"], [2])[0] if weighing else asked.write(["x"])[0]
    assert isinstance(found, Unreached) and api.tries("x") == tries
    assert all(word in found.reason for word in words), found.reason


@pytest.mark.parametrize(("code", "field"), [(401, "OPENAI_API_KEY"), (403, "model"), (404, "model")])
def test_an_error_within_a_reply_can_stop_all(serve: Any, code: int, field: str) -> None:
    api = serve(lambda *_: within({"message": f"no good: {KEY} \x1b[31m", "code": code}))
    with pytest.raises(InputError) as caught:
        chat(api).write(["x"] * 20)
    assert caught.value.field == field and str(code) in str(caught.value) and len(api.requests) < 5
    assert KEY not in str(caught.value) and str(caught.value).isprintable()


def test_a_parameter_that_is_refused_within_a_reply_is_changed(serve: Any) -> None:
    refusal = within({"message": "max_tokens is not supported", "code": 400, "param": "max_tokens"})
    api = serve(lambda *_: refusal if "max_tokens" in api.requests[-1] else said("fine"))
    assert chat(api).write(["x"]) == ["fine"] and len(api.requests) == 2


@pytest.mark.parametrize("nothing", [None, "", {}, False])
def test_an_error_that_says_nothing_is_none(serve: Any, nothing: Any) -> None:
    body = json.loads(completion("fine"))
    body["error"] = body["choices"][0]["error"] = nothing
    api = serve(lambda *_: Reply(json.dumps(body).encode()))
    assert chat(api).write(["x"]) == ["fine"]


@pytest.mark.parametrize(
    "reply", [failed(402, "Insufficient credits"), failed(402, "Payment required"), within(CREDITS)]
)
def test_who_cannot_pay_is_told_to_look_at_the_account(serve: Any, reply: Reply) -> None:
    found = chat(serve(lambda *_: reply)).write(["x"])[0]
    assert isinstance(found, Unreached) and "account" in found.reason and "Change the prompt" not in found.reason


# ---------------------------------------------------------------- what is forbidden, and to whom


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Your input was flagged by moderation"},
        {"message": 'm requires moderation on P. Your input was flagged for "violence". No credits were charged.'},
        {"message": "The prompt violates our content policy (temperature of debate)."},
        {"message": "Blocked by the content filter."},
        {"message": "Blocked by a guardrail"},
        {"message": "This request goes against our usage policies"},
        {"message": "Forbidden", "code": "content_policy_violation"},
        {"message": "Forbidden", "type": "moderation_error"},
    ],
)
@pytest.mark.parametrize("status", [403, 200])
def test_a_prompt_that_is_forbidden_fails_alone(serve: Any, error: dict[str, Any], status: int) -> None:
    if status == 200 and "code" in error:
        pytest.skip("its code is none of HTTP")
    reply = within({**error, "code": 403} if status == 200 else error, status)
    api = serve(lambda prompt, _: reply if prompt == "b" else said(prompt))
    found = chat(api).write(["a", "b", "c"])
    assert found[0] == "a" and found[2] == "c" and api.tries("b") == 1
    assert isinstance(found[1], Failure) and error["message"].rstrip(".") in found[1].reason
    assert "another model" in found[1].reason and all("temperature" in request for request in api.requests)


@pytest.mark.parametrize(
    "message",
    [
        "You do not have access to this model",
        "Your account was flagged for abuse",
        "The organization's content policy does not allow m",
        "Your API key was flagged",
        "This project may not use content filters",
        "",
    ],
)
def test_a_model_that_is_forbidden_stops_all(serve: Any, message: str) -> None:
    api = serve(lambda *_: failed(403, message))
    with pytest.raises(InputError, match="not allowed for this key"):
        chat(api).write(["x"] * 20)
    assert len(api.requests) < 5


# ---------------------------------------------------------------- what a reply may lack


def reply_of(message: Any, logprobs: Any = None, finish_reason: str = "stop") -> Reply:
    choice = {"message": message, "finish_reason": finish_reason, "logprobs": logprobs}
    return Reply(json.dumps({"choices": [choice]}).encode())


def likely(*pairs: tuple[str, float | None]) -> dict[str, Any]:
    return {"content": [{"top_logprobs": [{"token": token, "logprob": logprob} for token, logprob in pairs]}]}


@pytest.mark.parametrize(
    "message", [{}, {"role": "assistant"}, {"content": None}, {"content": ""}, {"content": 3}, None]
)
def test_options_are_weighed_without_a_text(serve: Any, message: Any) -> None:
    table = likely(("A", math.log(0.25)), ("B", math.log(0.75)))
    api = serve(lambda *_: reply_of(message, table))
    np.testing.assert_allclose(chat(api).option_probabilities(["x"], [2])[0], [0.25, 0.75])
    assert api.tries("x") == 1


@pytest.mark.parametrize(
    ("message", "finish_reason", "words"),
    [
        ({"content": None}, "stop", "wrote nothing"),
        ({}, "length", "more new tokens"),
        ({"reasoning_content": "Hm."}, "length", "more new tokens"),
        ({}, "content_filter", "refused"),
        ({"refusal": "No."}, "stop", "refused"),
    ],
)
def test_a_message_without_a_text_says_nothing(
    serve: Any, message: dict[str, Any], finish_reason: str, words: str
) -> None:
    api = serve(lambda *_: reply_of(message, finish_reason=finish_reason))
    found = chat(api).write(["x"])[0]
    assert isinstance(found, Failure) and words in found.reason and api.tries("x") == 1


@pytest.mark.parametrize("impossible", [None, -math.inf, -9999.0])
def test_what_has_no_probability_counts_for_nothing(serve: Any, impossible: float | None) -> None:
    api = serve(lambda *_: reply_of({"content": "B"}, likely(("B", math.log(0.9)), ("A", impossible))))
    np.testing.assert_array_equal(chat(api).option_probabilities(["x"], [2])[0], [0.0, 1.0])
    assert api.tries("x") == 1


@pytest.mark.parametrize(
    "logprobs", [likely(("B", None)), likely(("B", math.nan)), likely(("B", 5.0)), {"content": "B"}, ["B"], "none", 3]
)
def test_probabilities_that_nobody_wants_spoil_no_text(serve: Any, logprobs: Any) -> None:
    api = serve(lambda *_: reply_of({"content": "fine"}, logprobs))
    assert chat(api).write(["x"]) == ["fine"] and api.tries("x") == 1


@pytest.mark.parametrize("logprobs", [likely(("B", math.nan)), likely(("B", 5.0)), {"content": "B"}, ["B"], 3])
def test_probabilities_that_are_none_are_garbled_where_they_are_wanted(serve: Any, logprobs: Any) -> None:
    api = serve(lambda *_: reply_of({"content": "B"}, logprobs))
    found = chat(api).option_probabilities(["x"], [2])[0]
    assert isinstance(found, Unreached) and "logprobs" in found.reason and api.tries("x") == 3
