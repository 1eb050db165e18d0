"""What a command means without a server is what a server is asked for, or is refused; files are gone on with or not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from served import TEXT, Served, embedded_pipeline, started
from typer.testing import CliRunner

from vispa import Recipe, Request, Vispa
from vispa.cli.main import app
from vispa.errors import InputError, NumericalError
from vispa.items.answering import answer_file
from vispa.items.asking import item_request
from vispa.items.begun import settings_path
from vispa.items.reading import read_items
from vispa.modes.mixture import Mixture
from vispa.readers.base import Failure
from vispa.request import Sampling
from vispa.serving.client import ServerClient

CHINESE = "我对朋友说谎。" * (20_000 // 7)


@pytest.fixture(scope="module")
def pipeline() -> Vispa:
    return embedded_pipeline()


@pytest.fixture(scope="module")
def served(pipeline: Vispa) -> Iterator[Served]:
    """A server with weights of its own."""
    weighing = pipeline.variant()
    weighing.mixture = Mixture.given({"karma": 1.0})
    found = started(lambda: weighing)
    yield found
    found.stop()


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def refused(found: Any) -> InputError:
    assert isinstance(found.exception, InputError), found.output
    return found.exception


# ---------------------------------------------------------------- what is asked for


@pytest.mark.parametrize(
    ("given", "mixture", "asked"),
    [
        ((), Mixture(), {}),
        (("--weights", "mean"), Mixture(), {}),
        (("--weights", "mean", "--k", "3"), Mixture(), {"k": 3}),
        (("--values", "honor,power"), Mixture(), {"values": "honor,power"}),
        (("--weights", "relevance", "--k", "2"), Mixture("relevance"), {"k": 2}),
        (("--weights", '{"honor": 1, "karma": 3}'), Mixture.given({"honor": 1.0, "karma": 3.0}), {}),
    ],
)
def test_weights_are_those_of_the_command(
    given: tuple[str, ...], mixture: Mixture, asked: dict[str, Any], served: Served, pipeline: Vispa, tmp_path: Path
) -> None:
    fixed = ("--mode", "distributional", "--options", "Right|Wrong", "--max-new-tokens", "8", "--server", served.url)
    weighing = pipeline.variant()
    weighing.mixture = mixture
    own = weighing.respond(TEXT, mode="distributional", options="Right|Wrong", max_new_tokens=8, **asked)
    (tmp_path / "texts.txt").write_text(TEXT)
    answers = tmp_path / "answers.jsonl"
    found = run("respond", TEXT, *fixed, *given, "--json")
    assert run("batch", str(tmp_path / "texts.txt"), "-o", str(answers), *fixed, *given).exit_code == 0
    for text in (found.stdout, answers.read_text()):
        record = json.loads(text)
        assert record["mixture"] == own.mixture
        assert [one["value"] for one in record["values"]] == [one.value for one in own.values]
        assert record["distribution"] == pytest.approx(own.distribution, abs=1e-3)


@pytest.mark.parametrize(
    ("mixture", "words"),
    [
        (Mixture("given", {"karma": 1.0}, temperature=2.0), "groups or a temperature"),
        (Mixture("mean", temperature=0.5), "groups or a temperature"),
        (Mixture("given", {"karma": 1.0}, {"Chad": {"honor": 1.0}}), "groups or a temperature"),
        (Mixture("fitted", {"karma": 1.0}), "a fitted mixture"),
    ],
)
def test_weights_that_a_server_would_take_a_part_of_are_refused(mixture: Mixture, words: str, tmp_path: Path) -> None:
    mixture.save(tmp_path / "mixture.json")
    asked = ("--mode", "distributional", "--weights", str(tmp_path / "mixture.json"))
    error = refused(run("respond", TEXT, *asked, "--server", "http://127.0.0.1:9"))
    assert error.field == "--weights" and words in error.problem


@pytest.mark.parametrize("where", ["command line", "environment", "file"])
@pytest.mark.parametrize("given", ["own", "paper"])
def test_a_polarity_that_is_given_reaches_the_server(
    given: str, where: str, served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command = ["respond", TEXT, "--values", "karma", "--max-new-tokens", "4", "--server", served.url]
    other = "paper" if given == "own" else "own"
    monkeypatch.setattr(served.service, "polarity", other)
    assert run(*command).exit_code == 0
    if where == "command line":
        command += ["--polarity", given]
    elif where == "environment":
        monkeypatch.setenv("VISPA_POLARITY", given)
    else:
        (tmp_path / "config.toml").write_text(f'polarity = "{given}"\n')
        monkeypatch.setenv("VISPA_CONFIG", str(tmp_path / "config.toml"))
    error = refused(run(*command))
    assert error.field == "polarity" and f"steers by {other}" in error.problem
    monkeypatch.setattr(served.service, "polarity", given)
    assert run(*command).exit_code == 0


@pytest.mark.parametrize(
    "item",
    [
        {
            "situation": "Lying to my boss.",
            "vrd": "the duty to be honest",
            "input": "Situation: Lying to my boss.\nDoes the duty to be honest support or oppose this?\n"
            "Options: A. Support B. Oppose C. Either\nAnswer:",
        },
        {"situation": "Lying to my boss.", "vrd": "honesty"},
    ],
)
def test_stances_are_asked_in_the_words_that_the_model_knows(
    item: dict[str, str], served: Served, pipeline: Vispa, tmp_path: Path
) -> None:
    file = tmp_path / "items.json"
    file.write_text(json.dumps([item]))
    items = read_items(file, "steerable")
    requests = {one.id: item_request(one, {"k": 2}, own_stances=True) for one in items}
    answer_file(pipeline, items, requests, tmp_path / "here.jsonl", {}, sampling=Sampling(8))
    there = tmp_path / "there.jsonl"
    asked = ("--mode", "steerable", "--k", "2", "--max-new-tokens", "8", "--server", served.url)
    assert run("batch", str(file), "-o", str(there), *asked).exit_code == 0
    own, found = (json.loads((tmp_path / name).read_text()) for name in ("here.jsonl", "there.jsonl"))
    assert found["prompts"] == own["prompts"] and found["response"] == own["response"]


# ---------------------------------------------------------------- going on


class _Other:
    """A selector or aggregator of another name."""

    def __init__(self, one: Any) -> None:
        self._one, self.name = one, "another"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._one, name)


def _steered(vispa: Vispa) -> None:
    recipe = Recipe.from_mapping({"estimator": "mean", "blocks": [2], "magnitude": "residual", "amount": 0.5})
    vispa.engine = vispa.engine.with_recipe(recipe)


def _worded(vispa: Vispa) -> None:
    vispa.prompts = replace(vispa.prompts, comment="Say something of this: {text}")


def _weighing(vispa: Vispa) -> None:
    vispa.mixture = Mixture("relevance")


def _selecting(vispa: Vispa) -> None:
    vispa.selector = _Other(vispa.selector)


def _aggregating(vispa: Vispa) -> None:
    vispa.aggregator = _Other(vispa.aggregator)


CHANGES: dict[str, Callable[[Vispa], None]] = {
    "server_recipe": _steered,
    "server_prompts": _worded,
    "server_selector_name": _selecting,
    "server_aggregator": _aggregating,
}


@pytest.fixture
def begun(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Begins a file by a command, then repeats it at the server after a change."""
    (tmp_path / "texts.txt").write_text("Lying to my boss\nEating meat")
    output = tmp_path / "answers.jsonl"

    def repeat(
        change: Callable[[Vispa], None] | None, *given: str, earlier: Callable[[dict[str, Any]], None] | None = None
    ) -> Any:
        command = ("batch", str(tmp_path / "texts.txt"), "-o", str(output), "--k", "1", "--max-new-tokens", "4")
        command = (*command, "--server", served.url, *given)
        first = run(*command)
        assert first.exit_code == 0, first.output
        if earlier is not None:
            settings = json.loads(settings_path(output).read_text())
            earlier(settings)
            settings_path(output).write_text(json.dumps(settings))
        changed = served.service.pipeline.variant()
        if change is not None:
            change(changed)
        monkeypatch.setattr(served.service, "_pipeline", changed)
        return run(*command)

    return repeat


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_is_not_gone_on_with_at_a_server_that_answers_otherwise(name: str, begun: Callable[..., Any]) -> None:
    assert f"was begun with other {name}." in refused(begun(CHANGES[name])).problem


def test_a_file_is_not_gone_on_with_by_other_versions(begun: Callable[..., Any], monkeypatch: Any) -> None:
    def change(_: Vispa) -> None:
        monkeypatch.setattr("vispa.items.answering.versions", lambda _: {"vispa": "999"})

    assert "was begun with other server_versions." in refused(begun(change)).problem


@pytest.mark.parametrize(
    ("change", "given"),
    [
        (None, ()),
        (_weighing, ()),
        (_weighing, ("--mode", "distributional")),
    ],
)
def test_a_file_is_gone_on_with_where_nothing_changed_that_counts(
    change: Callable[[Vispa], None] | None, given: tuple[str, ...], begun: Callable[..., Any]
) -> None:
    assert begun(change, *given).exit_code == 0


def test_a_recipe_of_the_command_goes_before_the_server_s(begun: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('estimator = "mean"\nblocks = [1]\nmagnitude = "residual"\namount = 0.2\n')
    assert begun(_steered, "--recipe", str(tmp_path / "recipe.toml")).exit_code == 0


def _forget(settings: dict[str, Any]) -> None:
    """Settings as earlier versions wrote them."""
    known = ("model", "model_fingerprint", "bank", "taxonomy", "polarity")
    for name in [*settings]:
        if name == "weights" or (name.startswith("server_") and name.removeprefix("server_") not in known):
            del settings[name]


def _weighing_equally(vispa: Vispa) -> None:
    vispa.mixture = Mixture()


@pytest.mark.parametrize(
    ("change", "given"),
    [(None, ()), (_steered, ()), (_weighing_equally, ("--mode", "distributional"))],
)
def test_a_file_that_an_earlier_version_began_is_gone_on_with(
    change: Callable[[Vispa], None] | None, given: tuple[str, ...], begun: Callable[..., Any]
) -> None:
    assert begun(change, *given, earlier=_forget).exit_code == 0


def _began_at_an_earlier_server(settings: dict[str, Any]) -> None:
    """Settings as this version writes them where the server tells nothing of its own."""
    weights = settings.get("weights")
    _forget(settings)
    settings |= {} if weights is None else {"weights": weights}


@pytest.mark.parametrize("change", [None, _weighing_equally])
def test_a_file_that_was_begun_at_an_earlier_server_is_gone_on_with(
    change: Callable[[Vispa], None] | None, begun: Callable[..., Any]
) -> None:
    assert begun(change, "--mode", "distributional", earlier=_began_at_an_earlier_server).exit_code == 0


def test_equal_weights_that_an_earlier_version_did_not_ask_for_are_not_mixed_in(begun: Callable[..., Any]) -> None:
    error = refused(begun(None, "--mode", "distributional", earlier=_forget))
    assert "was begun with other weights (not given, now mean)" in error.problem


# ---------------------------------------------------------------- several texts


@pytest.mark.parametrize("bad", [(1,), (0, 2), (0, 1, 2)])
def test_a_text_whose_numbers_are_not_finite_fails_alone(
    bad: Sequence[int], served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = Vispa._respond_together

    def broken(vispa: Vispa, requests: Sequence[Request], *given: Any, **more: Any) -> Any:
        if any("broken" in request.text for request in requests):
            raise NumericalError("an activation is not finite")
        return together(vispa, requests, *given, **more)

    monkeypatch.setattr(Vispa, "_respond_together", broken)
    texts = [f"Lying to my {'broken' if number in bad else 'good'} friend {number}" for number in range(3)]
    body = {"items": [{"text": text, "k": 1} for text in texts], "sampling": {"max_tokens": 4}}
    found = served.post("/v1/vispa/batch", body)
    assert found.status_code == 200
    items = found.json()["items"]
    assert [one.get("error") for one in items] == [
        "an activation is not finite" if n in bad else None for n in range(3)
    ]
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    output = tmp_path / "answers.jsonl"
    asked = ("--k", "1", "--max-new-tokens", "4", "--server", served.url)
    run("batch", str(tmp_path / "texts.txt"), "-o", str(output), *asked)
    assert ["error" in json.loads(line) for line in output.read_text().splitlines()] == [n in bad for n in range(3)]


@pytest.mark.parametrize("place", [0, 7, 10])
@pytest.mark.parametrize(
    ("names", "shown"), [(None, "item {place}: values"), ([f"n{n}" for n in range(11)], "item 'n{place}': values")]
)
def test_a_refused_item_is_named_whatever_it_is_sent_with(
    place: int, names: list[str] | None, shown: str, served: Served
) -> None:
    requests = [Request(TEXT, values=("nope",) if number == place else ("karma",)) for number in range(11)]
    how = {"sampling": {"max_tokens": 1}}
    with pytest.raises(InputError, match="'nope' is not in the taxonomy") as refusal:
        ServerClient(served.url).respond_many(requests, how, names)
    assert refusal.value.field == shown.format(place=place)


def test_the_command_names_an_item_by_its_id(served: Served, tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"id": "first", "text": "Lying"}\n{"id": "second", "text": "Stealing"}\n')
    asked = ("--values", "nope", "--server", served.url)
    error = refused(run("batch", str(tmp_path / "items.jsonl"), "-o", str(tmp_path / "answers.jsonl"), *asked))
    assert error.field == "item 'first': values"


@pytest.mark.parametrize("fields", [{}, {"question": CHINESE, "mode": "distributional", "prompt": CHINESE}])
def test_long_texts_in_any_letters_are_sent(fields: dict[str, Any], served: Served) -> None:
    requests = [Request(CHINESE, values=("karma",), **fields) for _ in range(9)]
    found = ServerClient(served.url).respond_many(requests, {"sampling": {"max_tokens": 1}})
    assert len(found) == 9 and all(isinstance(one, Failure) for one in found)
