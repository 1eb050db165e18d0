"""The server as its clients see it: OpenAI's library, plain HTTP, streams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import TEXT, Served, embedded_pipeline, started
from typer.testing import CliRunner

from vispa import OvertonResponse, Recipe, Vispa
from vispa.cli.main import app
from vispa.errors import InputError, VispaError
from vispa.generation.rows import Row, Sampling
from vispa.modes.endings import ended
from vispa.modes.templates import filled

openai = pytest.importorskip("openai")


@pytest.fixture(scope="module")
def pipeline() -> Vispa:
    return embedded_pipeline()


@pytest.fixture(scope="module")
def served(pipeline: Vispa) -> Iterator[Served]:
    found = started(lambda: pipeline)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=120) as found:
        yield found


SAMPLING = {"sampling": {"max_tokens": 16}}


def plain(record: dict[str, object]) -> dict[str, object]:
    return {name: one for name, one in record.items() if name != "provenance"}


def test_a_chat_gets_what_the_pipeline_answers(client: openai.OpenAI, pipeline: Vispa) -> None:
    found = client.chat.completions.create(
        model="vispa",
        messages=[{"role": "user", "content": TEXT}],
        max_tokens=16,
        extra_body={"vispa": {"k": 3}},
    )
    own = pipeline.respond(TEXT, k=3, max_new_tokens=16)
    assert found.choices[0].message.content == own.response and found.choices[0].finish_reason == "stop"
    assert plain(found.vispa) == plain(own.model_dump(mode="json"))
    assert OvertonResponse.model_validate_json(json.dumps(found.vispa)).values == own.values
    assert found.usage.completion_tokens == sum(one.tokens for one in own.comments)
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens


def test_a_plain_client_sees_only_the_response_of_a_stream(client: openai.OpenAI, pipeline: Vispa) -> None:
    chunks = list(
        client.chat.completions.create(
            model="vispa:overton",
            messages=[{"role": "user", "content": TEXT}],
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"vispa": {"values": ["karma", "honor"], **SAMPLING}},
        )
    )
    own = pipeline.respond(TEXT, values="karma,honor", max_new_tokens=16)
    assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == own.response
    assert chunks[-1].usage.completion_tokens > 0 and not chunks[-1].choices
    assert [one.choices[0].finish_reason for one in chunks[:-1] if one.choices[0].finish_reason] == ["stop"]
    events = [one.vispa for one in chunks if hasattr(one, "vispa")]
    assert [event["event"] for event in events if event["event"] != "comment"] == ["selection", "response"]
    assert events[0]["event"] == "selection" and events[-1]["event"] == "response"
    for comment in own.comments:
        said = "".join(event["text"] for event in events if event.get("value") == comment.value)
        assert said.startswith(comment.text)


def test_the_modes_by_the_name_of_the_model(client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": "Lying to my boss"}]
    toward = client.chat.completions.create(
        model="vispa:steerable", messages=messages, extra_body={"vispa": {"toward": "honesty", **SAMPLING}}
    )
    assert toward.vispa["mode"] == "steerable" and toward.choices[0].message.content in toward.vispa["options"]
    shares = client.completions.create(
        model="vispa:distributional",
        prompt="Eating meat",
        extra_body={"vispa": {"options": ["Right", "Wrong"], "weights": {"karma": 1, "honor": 3}, **SAMPLING}},
    )
    assert shares.vispa["mixture"] == "given" and sum(shares.vispa["distribution"]) == pytest.approx(1)
    assert dict(zip((one["value"] for one in shares.vispa["values"]), shares.vispa["weights"], strict=True)) == (
        pytest.approx({"karma": 0.25, "honor": 0.75})
    )


def test_what_was_said_before_is_in_the_prompt(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(
        model="vispa",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "My grandmother is ill."},
            {"role": "assistant", "content": "I am sorry."},
            {"role": "user", "content": [{"type": "text", "text": "May I lie to her?"}]},
        ],
        max_completion_tokens=8,
        extra_body={"vispa": {"values": ["karma"]}},
    )
    prompt = found.vispa["comments"][0]["prompt"]
    assert found.vispa["text"] == "May I lie to her?"
    places = [prompt.index(part) for part in ("Be brief.", "is ill.", "I am sorry.", "May I lie to her?")]
    assert places == sorted(places)


def test_recipes_by_name_and_by_field(client: openai.OpenAI, pipeline: Vispa) -> None:
    def comment(recipe: object) -> tuple[str, dict[str, float]]:
        asked = {"values": ["karma"], "recipe": recipe, **SAMPLING}
        found = client.completions.create(model="vispa", prompt=TEXT, extra_body={"vispa": asked})
        return found.vispa["comments"][0]["text"], found.vispa["provenance"]["steering"]

    recipe = {"estimator": "mean", "blocks": [2], "magnitude": "residual", "amount": 0.6}
    text, steering = comment(recipe)
    assert steering["blocks"] == [2] and steering["amount"] == 0.6
    own = pipeline.variant(recipe=Recipe.from_mapping(recipe)).respond(TEXT, values="karma", max_new_tokens=16)
    assert text == own.comments[0].text
    for wrong, path in (
        ("/etc/passwd", "vispa.recipe"),
        ({"blocks": [99]}, "vispa.recipe"),
        ({"estimator": "../bank"}, "vispa.recipe.estimator"),
        ({"amount": "much"}, "vispa.recipe.amount"),
        ({"estimator": "mean", "magnitude": "kl", "amount": 0.5}, "vispa.recipe.magnitude"),
        ({"estimator": "mean", "blocks": [2], "magnitude": "calibrated"}, "vispa.recipe.magnitude"),
    ):
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            comment(wrong)
        assert refused.value.body["param"].startswith(path), refused.value.body


def test_models(client: openai.OpenAI) -> None:
    assert [one.id for one in client.models.list()] == [
        "vispa", "vispa:overton", "vispa:steerable", "vispa:distributional",
    ]  # fmt: skip
    assert client.models.retrieve("vispa").vispa["model"] == "embedded"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")
    with pytest.raises(openai.NotFoundError) as unknown:
        client.completions.create(model="gpt-9", prompt="x")
    assert unknown.value.body["param"] == "model"


def test_the_plain_routes_give_the_records_of_the_command_line(served: Served, pipeline: Vispa) -> None:
    values = served.get("/v1/vispa/values").json()
    assert len(values) == len(pipeline.taxonomy) and values[0]["slug"]
    karma = served.get("/v1/vispa/values/Karma").json()
    assert karma["slug"] == "karma" and karma["pairs"][0]["positive"]
    selected = served.post("/v1/vispa/select", {"text": TEXT, "k": 2}).json()
    own = pipeline.respond(TEXT, k=2, max_new_tokens=8)
    assert [one["value"] for one in selected["values"]] == [one.value for one in own.values]
    found = served.post("/v1/vispa/respond", {"text": TEXT, "k": 2, "sampling": {"max_tokens": 8}}).json()
    assert plain(found) == plain(own.model_dump(mode="json"))
    body = {
        "items": [{"text": TEXT, "k": 2}, {"id": "b", "text": "word " * 3500, "k": 1}],
        "sampling": {"max_tokens": 8},
    }
    first, second = served.post("/v1/vispa/batch", body).json()["items"]
    assert first["id"] == 0 and first["response"] == own.response and "timings" not in first["provenance"]
    assert second["id"] == "b" and "error" in second


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("sampling", [{"top_p": 0.9}, {"top_p": 0.5, "temperature": 0, "seed": 3}])
@pytest.mark.parametrize("route", ["respond", "batch", "unsteered"])
def test_a_share_of_what_is_not_sampled_is_refused_of_whoever_names_it(
    route: str, sampling: dict[str, float], stream: bool, served: Served
) -> None:
    body: dict[str, Any] = {"items": [{"text": TEXT}]} if route == "batch" else {"text": TEXT, "stream": stream}
    found = served.post(f"/v1/vispa/{route}", {**body, "sampling": sampling})
    error = found.json()["error"]
    assert found.status_code == 422 and error["param"] == "sampling.top_p"
    assert "no effect at temperature 0" in error["message"]


@pytest.mark.parametrize("sampling", [{"top_p": 0.9}, {"top_p": 0.9, "temperature": 0, "seed": 3}])
def test_what_openais_clients_send_of_their_own_accord_is_taken(
    sampling: dict[str, Any], client: openai.OpenAI, pipeline: Vispa
) -> None:
    asked: dict[str, Any] = {"max_tokens": 8, "extra_body": {"vispa": {"k": 1}}, **sampling}
    own = pipeline.respond(TEXT, k=1, max_new_tokens=8).response
    turns: Any = [{"role": "user", "content": TEXT}]
    assert client.chat.completions.create(model="vispa", messages=turns, **asked).choices[0].message.content == own
    assert client.completions.create(model="vispa", prompt=TEXT, **asked).choices[0].text == own


def test_events_of_the_plain_stream(served: Served) -> None:
    body = {"text": "Lying\r\ndata: [DONE]", "k": 2, "stream": True, "sampling": {"max_tokens": 8}}
    found = served.post("/v1/vispa/respond", body)
    assert found.headers["content-type"].startswith("text/event-stream")
    blocks = found.text.strip().split("\n\n")
    assert (
        blocks[-1] == "data: [DONE]" and [line for line in found.text.splitlines() if line == blocks[-1]] == blocks[-1:]
    )
    names = [block.partition("\n")[0] for block in blocks[:-1]]
    assert names[0] == "event: selection" and names[-1] == "event: response" and set(names[1:-1]) == {"event: comment"}
    answer = json.loads(blocks[-2].partition("data: ")[2])["answer"]
    assert answer["text"] == body["text"]


def test_the_plain_model_answers_the_same_request(served: Served, pipeline: Vispa) -> None:
    body = {"text": TEXT, "sampling": {"max_tokens": 12}}
    found = served.post("/v1/vispa/unsteered", body).json()
    prompt = pipeline.engine.chat_prompt(filled(pipeline.prompts.comment, text=TEXT), TEXT)
    (own,) = pipeline.engine.generate([Row(prompt)], Sampling(12))
    assert found["response"] == ended(own.text, own.limited)[0] != own.text and found["ending"] == "cut"
    assert found["tokens"] == own.tokens == 12 and TEXT in found["prompt"]
    blocks = served.post("/v1/vispa/unsteered", {**body, "stream": True}).text.strip().split("\n\n")
    events = [json.loads(block.partition("data: ")[2]) for block in blocks[:-1]]
    assert [one["event"] for one in events[:-1]] == ["unsteered"] * (len(events) - 1)
    assert "".join(one["text"] for one in events[:-1]) == own.text and events[-1]["answer"] == found
    asked = served.post("/v1/vispa/unsteered", {**body, "prompt": "Is it fine?"}).json()
    assert "Is it fine?" in asked["prompt"] and TEXT not in asked["prompt"]
    for wrong in ({"text": " "}, {"text": TEXT, "prompt": " "}, {"text": TEXT, "k": 2}):
        assert served.post("/v1/vispa/unsteered", wrong).status_code == 422


def test_words_that_carry_a_selection(served: Served, pipeline: Vispa) -> None:
    plain, why = (served.post("/v1/vispa/select", {"text": TEXT, "k": 2, "why": one}).json() for one in (False, True))
    assert "why" not in plain["values"][0]
    for found, other in zip(why["values"], plain["values"], strict=True):
        spans = found.pop("why")
        assert found == other and [TEXT[one["start"] : one["end"]] for one in spans] == TEXT.split()


def test_what_the_server_says_of_its_model(served: Served, pipeline: Vispa) -> None:
    found = served.get("/v1/vispa/about").json()
    assert found["model"] == "embedded" and found["is_embedded"] and found["parameters"] > 10**6
    assert Recipe.from_mapping(found["recipe"]) == pipeline.recipe and found["magnitude"] == "residual"
    assert found["amounts"] == dict.fromkeys(pipeline.taxonomy, 0.1) and found["unsteered"] == []
    assert "POLPARTY" in found["groups"] and found["limits"]["default_k"] == 6
    # What it says can be asked for, one amount changed.
    recipe = {**found["recipe"], "amounts": {"karma": 0.3}}
    body = {"text": TEXT, "values": ["karma", "honor"], "recipe": recipe, **SAMPLING}
    steering = served.post("/v1/vispa/respond", body).json()["provenance"]["steering"]
    assert steering["amounts"] == {"karma": 0.3}


def test_tokens_of_comments(served: Served) -> None:
    text = "What goes around comes around."
    items = [{"value": "Karma", "text": text}, {"value": "honor", "text": text}, {"value": "karma", "text": "<s>"}]
    found = served.post("/v1/vispa/tokens", {"items": items}).json()
    karma, honor, spelled = found["items"]
    assert karma["value"] == "karma" and found["blocks"] == [1] and found["estimator"] == "mean"
    assert "".join(text[one["start"] : one["end"]] for one in karma["tokens"]) == text.replace(" ", "")
    assert [one["reading"] for one in karma["tokens"]] != [one["reading"] for one in honor["tokens"]]
    assert spelled["tokens"] == []
    for wrong in (
        [],
        [{"value": "nothing", "text": text}],
        [{"value": "karma", "text": "\u200b"}],
        [{"value": "karma"}],
    ):
        refused = served.post("/v1/vispa/tokens", {"items": wrong})
        assert refused.status_code == 422 and refused.json()["error"]["param"], refused.text


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def test_the_command_line_asks_a_server(served: Served, pipeline: Vispa, tmp_path: Path) -> None:
    asked = ("--k", "2", "--max-new-tokens", "8", "--server")
    found = run("respond", TEXT, *asked, served.url, "--json")
    own = pipeline.respond(TEXT, k=2, max_new_tokens=8)
    assert found.exit_code == 0 and plain(json.loads(found.stdout)) == plain(own.model_dump(mode="json"))
    assert "karma" in run("respond", TEXT, "--values", "karma", "--max-new-tokens", "4", "--server", served.url).stdout
    (tmp_path / "recipe.toml").write_text('estimator = "mean"\nblocks = [2]\nmagnitude = "residual"\namount = 0.5\n')
    steered = run(
        "respond", TEXT, *asked, f"{served.url}/v1", "--json", "--recipe", str(tmp_path / "recipe.toml"),
        "--mode", "distributional", "--weights", "relevance", "--options", "Yes|No",
    )  # fmt: skip
    record = json.loads(steered.stdout)
    assert record["mixture"] == "relevance" and record["provenance"]["steering"]["blocks"] == [2]

    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join([TEXT, "word " * 3500, *(f"Lending my {one} to a friend" for one in "abcdefgh")]))
    output = tmp_path / "answers.jsonl"
    batch = ("batch", str(lines), "-o", str(output), *asked, served.url, "--json")
    first, second = run(*batch), run(*batch)
    assert isinstance(first.exception, VispaError) and json.loads(first.stdout)["failed"] == 1
    assert json.loads(second.stdout)["answered_now"] == 1
    records = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(records) == 10 and records[0]["response"] == own.response and "error" in records[1]
    other = run("batch", str(lines), "-o", str(output), "--k", "3", "--server", served.url)
    assert isinstance(other.exception, InputError) and "was begun with other" in str(other.exception)


def test_refusals_of_a_server_keep_their_exit_codes(served: Served) -> None:
    unknown = run("respond", TEXT, "--values", "karmaa", "--server", served.url)
    assert isinstance(unknown.exception, InputError) and unknown.exception.field == "values"
    long = run("respond", "word " * 3500, "--server", served.url)
    assert isinstance(long.exception, VispaError) and not isinstance(long.exception, InputError)
