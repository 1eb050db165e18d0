"""Aggregating models: a local one, and one behind an API that works, is slow, breaks or lies."""

from __future__ import annotations

import logging
import math
import random
import string
import sys
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
import torch
from fake_api import FakeApi, Reply, completion, failed, said, weighed
from hypothesis import assume, given
from hypothesis import strategies as st

from vispa.errors import InputError
from vispa.generation.transformers import TransformersEngine
from vispa.models.loading import LoadedModel
from vispa.readers.api import ApiChat
from vispa.readers.base import ChatModel, Failure, Unweighable
from vispa.readers.local import LocalChat
from vispa.readers.retrying import pause_before, retry_after

KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, and nothing between the client and the fake server."""
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def ask(api: FakeApi, **options: object) -> ApiChat:
    return ApiChat("a-model", base_url=api.url, **{"backoff": 0.001, "timeout": 5.0, **options})


def reason(found: object) -> str:
    assert isinstance(found, Failure)
    assert KEY not in found.reason and KEY not in repr(found)
    return found.reason


# ---------------------------------------------------------------- local model


@pytest.fixture
def local(llama: LoadedModel) -> LocalChat:
    return LocalChat(TransformersEngine(replace(llama, least_option_mass=0.0)))


def test_local_model_writes_what_it_would_write_alone(local: LocalChat, llama: LoadedModel) -> None:
    prompts = ["Summarize:", "A much longer prompt about karma", "x"]
    finished: list[int] = []
    found = local.write(prompts, max_new_tokens=12, progress=finished.append)
    assert local.name == llama.name and sum(finished) == 3
    for prompt, text in zip(prompts, found, strict=True):
        ids = torch.tensor([llama.tokenizer(prompt)["input_ids"]])
        out = llama.model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        assert text == llama.tokenizer.decode(out, skip_special_tokens=True).strip()


def test_local_model_weighs_options(local: LocalChat, llama: LoadedModel) -> None:
    finished: list[int] = []
    prompts = ["Which one? Answer:", "Yes or no?"]
    found = local.option_probabilities(prompts, [4, 1], progress=finished.append)
    logits = llama.model(torch.tensor([llama.tokenizer(prompts[0])["input_ids"]])).logits[0, -1].double()
    masses = logits.softmax(-1)
    letters = [
        sum(masses[llama.tokenizer.convert_tokens_to_ids(one)] for one in pair) for pair in ("Aa", "Bb", "Cc", "Dd")
    ]
    np.testing.assert_allclose(found[0], np.array(letters) / sum(letters), rtol=1e-5)
    np.testing.assert_array_equal(found[1], [1.0])
    assert sum(finished) == 2


def test_local_model_without_prompts(local: LocalChat) -> None:
    assert local.write([]) == [] and local.option_probabilities([], []) == []


# ---------------------------------------------------------------- answers of an API


def test_answers_come_in_order_and_requests_are_what_the_api_expects(serve) -> None:
    prompts = [f"prompt {number} ü" for number in range(40)]
    delays = {prompt: random.Random(prompt).uniform(0, 0.03) for prompt in prompts}
    api = serve(lambda prompt, _: said(f" re: {prompt}\n", delays[prompt]))
    finished: list[int] = []
    chat: ChatModel = ask(api, concurrency=8)
    assert chat.write(prompts, max_new_tokens=77, progress=finished.append) == [f"re: {prompt}" for prompt in prompts]
    assert finished == [1] * 40
    assert 1 < api.most_running <= 8
    assert api.authorizations == {f"Bearer {KEY}"}
    assert {request["path"] for request in api.requests} == {"/v1/chat/completions"}
    for request in api.requests:
        assert request["model"] == chat.name == "a-model"
        assert request["temperature"] == 0 and request["max_tokens"] == 77
        assert [message["role"] for message in request["messages"]] == ["user"]
        assert "logprobs" not in request


def test_no_prompts_no_requests(serve) -> None:
    api = serve(lambda *_: said("x"))
    assert ask(api).write([]) == [] and ask(api).option_probabilities([], []) == []
    assert api.requests == []


def test_one_request_at_a_time_where_asked_for(serve) -> None:
    api = serve(lambda prompt, _: said(prompt, 0.002))
    assert ask(api, concurrency=1).write(list("abcdef")) == list("abcdef")
    assert api.most_running == 1 and [r["messages"][0]["content"] for r in api.requests] == list("abcdef")


# ---------------------------------------------------------------- what passes


@pytest.mark.parametrize(
    ("broken", "times"),
    [
        (failed(500), 3),
        (failed(503), 1),
        (failed(408), 1),
        (failed(409), 1),
        (failed(429), 2),
        (Reply(completion("half of this"), drop=True), 1),
        (Reply(b"", drop=True), 1),
        (Reply(completion("late"), delay=3.0), 1),
        (Reply(completion("whole")[:-9]), 1),
        (Reply(b"<html>busy</html>", headers={"Content-Type": "text/html"}), 1),
        (Reply(b"\xff\xfe"), 1),
        (Reply(b"null"), 1),
        (Reply(b"{}"), 1),
        (Reply(b'{"choices": []}'), 1),
        (Reply(b'{"choices": [{"index": 0}]}'), 1),
        (Reply(b'{"choices": [{"message": {"role": "assistant"}}]}'), 1),
        (Reply(b'{"choices": [{"message": {"content": ["a"]}}]}'), 1),
    ],
)
def test_what_breaks_for_a_while_is_tried_again(serve, broken: Reply, times: int) -> None:
    api = serve(lambda prompt, earlier: broken if prompt == "b" and earlier < times else said(prompt))
    assert ask(api, timeout=1.0 if broken.delay else 5.0).write(["a", "b", "c"]) == ["a", "b", "c"]
    assert [api.tries(prompt) for prompt in "abc"] == [1, times + 1, 1]


def test_retry_after_is_honoured(serve) -> None:
    api = serve(lambda prompt, earlier: failed(429, Retry_After="0.4") if not earlier else said(prompt))
    started = time.monotonic()
    assert ask(api).write(["a"]) == ["a"]
    assert 0.4 <= time.monotonic() - started < 3
    assert api.tries("a") == 2


def test_too_long_a_retry_after_is_not_waited_for(serve) -> None:
    api = serve(lambda *_: failed(429, "quota", Retry_After="3600"))
    assert "3600 s" in reason(ask(api).write(["a"])[0]) and api.tries("a") == 1


def test_retry_after_reads_numbers_and_dates() -> None:
    assert retry_after({}) == 0
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": "-7"}) == 0
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 28 < retry_after({"retry-after": later}) <= 30
    assert retry_after({"retry-after": "Fri, 01 Jan 1999 00:00:00 GMT"}) == 0
    for nonsense in (
        "soon",
        "nan",
        "-nan",
        "inf",
        "+inf",
        "1e400",
        "1_0",
        "١٢",
        "",
        "1;2",
        "9" * 40,
        "1000000",
        "Mon, 99",
    ):
        assert retry_after({"retry-after": nonsense}) == 0


@given(st.integers(1, 60), st.floats(0, 10), st.floats(0, 120))
def test_pauses_grow_with_jitter_and_stay_bounded(attempt: int, backoff: float, wait: float) -> None:
    pause = pause_before(attempt, backoff, wait)
    whole = min(backoff * 2 ** (attempt - 1), 30)
    assert wait + whole / 2 <= pause <= wait + whole


# ---------------------------------------------------------------- what does not pass


@pytest.mark.parametrize(
    ("broken", "tries", "words"),
    [
        (failed(500, "out of memory"), 4, ("500", "out of memory", "4 tries")),
        (failed(429, "slow down"), 4, ("429", "slow down", "concurrency")),
        (failed(400, "prompt too long"), 1, ("400", "prompt too long")),
        (failed(422, "no such parameter"), 1, ("422", "no such parameter")),
        (Reply(b"not json"), 4, ("not one of a chat API", "JSON")),
        (Reply(b'{"choices": [{"message": {}}]}'), 4, ("choices.0.message.content",)),
        (Reply(completion("x"), drop=True), 4, ("no connection", "4 tries")),
        (Reply(completion("x"), delay=3.0), 2, ("0.2 s", "timeout")),
        (Reply(completion(None, finish_reason="length")), 1, ("more new tokens",)),
        (Reply(completion(None, refusal="I will not")), 1, ("refused",)),
        (Reply(completion(" ", finish_reason="content_filter")), 1, ("refused",)),
        (Reply(completion("")), 1, ("wrote nothing",)),
    ],
)
def test_what_stays_broken_fails_for_its_prompt_alone(serve, broken: Reply, tries: int, words: tuple[str, ...]) -> None:
    api = serve(lambda prompt, _: broken if prompt == "b" else said(prompt))
    found = ask(api, retries=3, timeout=0.2 if broken.delay else 5.0).write(["a", "b", "c"])
    assert found[0] == "a" and found[2] == "c"
    assert api.tries("b") == tries
    for word in words:
        assert word in reason(found[1])


def test_no_server_is_a_failure_of_each_prompt(serve) -> None:
    api = serve(lambda *_: said("x"))
    chat = ask(api, retries=1)
    api.__exit__()
    for found in chat.write(["a", "b"]):
        assert "no connection" in reason(found) and api.url in reason(found)


def test_a_prompt_that_is_not_unicode_fails_alone(serve) -> None:
    api = serve(lambda prompt, _: said(prompt))
    found = ask(api).write(["a", "\ud800", "c"])
    assert found[0] == "a" and found[2] == "c" and "Unicode" in reason(found[1])


@pytest.mark.parametrize(("status", "field"), [(401, "OPENAI_API_KEY"), (403, "model"), (404, "model")])
def test_what_would_break_every_prompt_stops_all(serve, status: int, field: str, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    api = serve(lambda *_: failed(status, f"no good: {KEY} \x1b[31m"))
    chat = ask(api, concurrency=2)
    with pytest.raises(InputError) as caught:
        chat.write([f"prompt {number}" for number in range(50)])
    assert caught.value.field == field and str(status) in str(caught.value)
    assert len(api.requests) < 10 and all(api.tries(r["messages"][0]["content"]) == 1 for r in api.requests)
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(chat) + caplog.text
    assert KEY not in shown and "\x1b" not in str(caught.value)


def test_a_fatal_error_ends_pauses_of_other_prompts(serve) -> None:
    api = serve(lambda prompt, _: failed(429, Retry_After="60") if prompt == "slow" else failed(401))
    started = time.monotonic()
    with pytest.raises(InputError):
        ask(api).write(["slow", "b"])
    assert time.monotonic() - started < 5


def test_the_key_is_taken_out_of_what_a_server_says(serve) -> None:
    api = serve(lambda *_: failed(500, f"cannot use {KEY}!"))
    assert "cannot use [key]!" in reason(ask(api, retries=0).write(["a"])[0])


# ---------------------------------------------------------------- weighing options


def test_both_spellings_of_a_letter_count(serve) -> None:
    table = {"A": 0.4, " A": 0.1, "B": 0.04, "\nB": 0.05, "Ab": 0.05, "C": 0.2, "a": 0.05, "(b)": 0.01, "": 0.1}
    api = serve(lambda *_: weighed(table))
    finished: list[int] = []
    found = ask(api).option_probabilities(["x", "y", "z"], [2, 3, 1], progress=finished.append)
    np.testing.assert_allclose(found[0], np.array([0.55, 0.1]) / 0.65)
    np.testing.assert_allclose(found[1], np.array([0.55, 0.1, 0.2]) / 0.85)
    np.testing.assert_array_equal(found[2], [1.0])
    assert finished == [1] * 3 and api.tries("z") == 0
    for request in api.requests:
        assert request["max_tokens"] == 1 and request["logprobs"] is True and request["top_logprobs"] == 20
        assert request["temperature"] == 0


def test_unlikely_letters_are_no_answer(serve) -> None:
    tables = {"none": {"The": 0.9, "I": 0.1}, "tiny": {"A": 0.0, "The": 1.0}, "stray": {"B": 1e-4, "<think>": 0.9999}}
    api = serve(lambda prompt, _: weighed(tables[prompt]))
    for found in ask(api).option_probabilities(list(tables), [4] * 3):
        assert isinstance(found, Unweighable) and "too little" in reason(found)


tokens = st.sampled_from(
    [f"{before}{letter}{after}" for letter in "ABCDEx" for before in ("", " ") for after in ("", " ")]
)


@given(st.dictionaries(tokens, st.floats(1e-6, 1), min_size=1), st.integers(2, 5))
def test_distribution_agrees_with_a_plain_sum(table: dict[str, float], count: int) -> None:
    from vispa.readers.replies import Reply as ChatReply
    from vispa.readers.replies import distribution_of

    total = sum(table.values())
    reply = ChatReply.model_validate_json(weighed({token: p / total for token, p in table.items()}).body)
    found = distribution_of(reply, count=count, place="here")
    mass = np.array([sum(p for token, p in table.items() if token.strip() == one) / total for one in "ABCDE"[:count]])
    assume(abs(mass.sum() - 0.5) > 1e-6)
    if mass.sum() < 0.5:
        assert isinstance(found, Unweighable)
    else:
        assert not isinstance(found, Failure)
        np.testing.assert_allclose(found, mass / mass.sum(), atol=1e-9)


@pytest.mark.parametrize(
    "silent",
    [
        Reply(completion("A")),
        Reply(completion("A", logprobs={"content": None})),
        Reply(completion("A", logprobs={"content": []})),
        Reply(completion("A", logprobs={"content": [{"token": "A", "logprob": 0.0, "top_logprobs": []}]})),
        failed(400, "unknown parameter: logprobs"),
        failed(403, "You are not allowed to request logprobs from this model."),
    ],
)
def test_a_server_without_logprobs_is_said_to_be_one(serve, silent: Reply) -> None:
    api = serve(lambda prompt, _: silent if prompt == "b" else weighed({"A": 1.0}))
    found = ask(api).option_probabilities(["a", "b"], [2, 2])
    np.testing.assert_array_equal(found[0], [1.0, 0.0])
    assert "no logprobs" in reason(found[1]) and "local model" in reason(found[1])
    assert api.tries("b") == 1


def test_a_probability_that_is_not_a_number_is_tried_again(serve) -> None:
    good = weighed({"A": 0.25, "B": 0.75})
    bad = Reply(completion("A", logprobs={"content": [{"top_logprobs": [{"token": "A", "logprob": math.nan}]}]}))
    api = serve(lambda _, earlier: good if earlier else bad)
    np.testing.assert_allclose(ask(api).option_probabilities(["a"], [2])[0], [0.25, 0.75])


@pytest.mark.parametrize("count", [0, 27])
def test_unusable_numbers_of_options(serve, count: int) -> None:
    api = serve(lambda *_: said("A"))
    with pytest.raises(InputError, match="prompt 1"):
        ask(api).option_probabilities(["a", "b"], [2, count])
    assert api.requests == []


def test_all_letters_can_be_options(serve) -> None:
    api = serve(lambda *_: weighed(dict.fromkeys(string.ascii_uppercase, 1 / 26)))
    np.testing.assert_allclose(ask(api, top_logprobs=26).option_probabilities(["a"], [26])[0], [1 / 26] * 26)


# ---------------------------------------------------------------- set-up


def test_the_key_comes_from_the_variable_that_is_named(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    api = serve(lambda *_: said("x"))
    monkeypatch.setenv("OTHER_KEY", "another-key\n")
    assert ask(api, key_variable="OTHER_KEY").write(["a"]) == ["x"]
    assert api.authorizations == {"Bearer another-key"}


def test_no_variable_means_no_key(serve) -> None:
    api = serve(lambda *_: said("x"))
    assert ask(api, key_variable="").write(["a"]) == ["x"]
    assert KEY not in str(api.authorizations)


def test_no_variable_where_the_server_wants_a_key(serve) -> None:
    api = serve(lambda *_: failed(401))
    with pytest.raises(InputError, match="wants a key"):
        ask(api, key_variable="").write(["a"])


@pytest.mark.parametrize("key", [None, "", "  ", "two words", "ключ", "a\nb"])
def test_a_missing_or_impossible_key_names_its_variable(monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    monkeypatch.delenv("OPENAI_API_KEY") if key is None else monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(InputError) as caught:
        ApiChat("m", base_url="http://127.0.0.1:9/v1")
    assert caught.value.field == "OPENAI_API_KEY"
    assert not (key and key.strip()) or key not in repr(caught.value)


def test_the_library_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(InputError, match=r"pip install vispa\[api\]"):
        ApiChat("m")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/v1", "http://", "http://x:port/v1", "http://[::1/v1"])
def test_unusable_addresses(url: str) -> None:
    with pytest.raises(InputError) as caught:
        ApiChat("m", base_url=url)
    assert caught.value.field == "base_url"


@pytest.mark.parametrize(
    ("field", "number"),
    [("timeout", 0), ("timeout", math.nan), ("retries", -1), ("concurrency", 0), ("backoff", -1), ("top_logprobs", 0)],
)
def test_unusable_numbers(field: str, number: float) -> None:
    with pytest.raises(InputError) as caught:
        ApiChat("m", **{field: number})
    assert caught.value.field == field


def test_an_empty_model_name_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        ApiChat(" ")


def test_passwords_in_an_address_are_not_shown() -> None:
    chat = ApiChat("m", base_url="https://me:hidden@example.org:8443/v1/?token=hidden")
    assert repr(chat) == "ApiChat('m', base_url='https://example.org:8443/v1')"
    assert repr(ApiChat("m", base_url="http://[::1]:8000/v1")) == "ApiChat('m', base_url='http://[::1]:8000/v1')"
    assert "api.openai.com" in repr(ApiChat("m"))
