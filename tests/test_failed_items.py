"""Items that failed: what is said to do about them, and that a batch goes on without doing its work twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vispa.cli.batch import _report
from vispa.cli.main import app
from vispa.cli.setup import Setup
from vispa.errors import InputError, VispaError
from vispa.items.answering import BatchSummary, answered_file
from vispa.items.begun import options_as_json
from vispa.items.failing import Lost, may_pass, what_to_do
from vispa.items.item import Item
from vispa.readers.base import Failure, Unfinished, Unreached, Unweighable
from vispa.request import Request, Sampling

FAR = Unreached("The server failed with HTTP status 503. Run again later.")
GONE = Lost("Its worker died 4 times.")
LONG = Failure("The text is longer than what the model reads.")

OTHER_OUTPUT = "takes another output (-o)"


@pytest.mark.parametrize(
    ("failure", "passes"),
    [(FAR, True), (GONE, True), (LONG, False), (Unfinished(), False), (Unweighable("No letter is likely."), False)],
)
def test_what_a_text_brings_about_comes_again(failure: Failure, passes: bool) -> None:
    assert may_pass(failure) is passes


@pytest.mark.parametrize(
    ("failed", "passing", "said", "unsaid"),
    [
        (2, 2, "Repeat the command to ask them again.", OTHER_OUTPUT),
        (2, 0, OTHER_OUTPUT, "Repeat"),
        (1, 0, "would again", "Repeat"),
        (
            1200,
            1100,
            "Repeat the command to ask 1,100 of them again. The other 100 fail for their text",
            "them again: ",
        ),
        (2, None, "not where a text or a setting is at fault", OTHER_OUTPUT),
    ],
)
def test_the_advice_is_true_of_the_failures(failed: int, passing: int | None, said: str, unsaid: str) -> None:
    advice = what_to_do(failed, passing)
    assert said in advice and unsaid not in advice


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("passing", "said"), [(1, "ask them again."), (0, OTHER_OUTPUT), (None, "helps where")])
def test_a_batch_ends_with_the_advice(
    as_json: bool, passing: int | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text(json.dumps({"id": 1, "error": "No."}) + "\n")
    summary = BatchSummary(str(output), 1, 1, 1, 1.0, 1, 1.0, 1, passing)
    with pytest.raises(VispaError, match="1 of 1 items have no answer; their lines say why") as caught:
        _report(summary, Setup(), as_json=as_json)
    assert said in str(caught.value)
    printed = capsys.readouterr().out
    if as_json:
        assert json.loads(printed)["may_pass"] == passing
    else:
        assert (f"may pass: {passing}" in printed) == (passing is not None)


@pytest.mark.parametrize("tells", [False, True])
def test_the_failures_that_are_left_are_counted_by_kind(tells: bool, tmp_path: Path) -> None:
    items = [Item(id=number, text=f"Text {number}") for number in range(40)]
    requests = {item.id: Request(item.text) for item in items}
    failing: dict[str, Failure] = {"Text 3": FAR, "Text 35": GONE, "Text 7": LONG, "Text 39": Unfinished()}

    def run() -> BatchSummary:
        def respond(asked: Sequence[Request]) -> list[Any]:
            return [failing.get(one.text) or Failure("No.") for one in asked]

        responding: Any = partial(map, respond)
        return answered_file(responding, items, requests, tmp_path / "out.jsonl", {}, tells_kinds=tells)

    first = run()
    assert (first.failed, first.may_pass) == (40, 2 if tells else None)
    # What was asked by an earlier call is asked again by this one.
    del failing["Text 3"]
    assert run().may_pass == (1 if tells else None)


# ---------------------------------------------------------------- going on


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., BaseException | None]:
    """`vispa batch` with a model whose loading is noted and whose answers all fail."""
    source = tmp_path / "items.txt"
    source.write_text("Feeding the ducks\nSelling a boat\nMending a fence\n")

    def settings(_: object, options: dict[str, Any], sampling: Sampling) -> dict[str, Any]:
        return {**options_as_json(options), **sampling.effective()}

    monkeypatch.setattr(Setup, "load", lambda *_, **__: (tmp_path / "loaded").touch())
    monkeypatch.setattr("vispa.items.answering.batch_settings", settings)
    monkeypatch.setattr("vispa.items.answering.responder", lambda *_: lambda asked: [LONG] * len(asked))

    def run(*options: str) -> BaseException | None:
        command = ["batch", str(source), "-o", str(tmp_path / "out.jsonl"), "--model", "embedded", *options]
        return CliRunner().invoke(app, command).exception

    return run


@pytest.mark.parametrize("again", [[], ["--overwrite"], ["--json"]])
def test_items_are_digested_once(
    again: list[str], batch: Callable[..., BaseException | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    digested: list[Item] = []
    dumped = Item.model_dump_json

    def counted(item: Item, **how: Any) -> str:
        digested.append(item)
        return dumped(item, **how)

    monkeypatch.setattr(Item, "model_dump_json", counted)
    for options in ([], again):
        digested.clear()
        assert OTHER_OUTPUT in str(batch(*options))
        assert len(digested) == 3


@pytest.mark.parametrize(
    ("changed", "said"), [(["--k", "2"], "other k"), (["--limit", "2"], "other items"), (["--seed", "1"], None)]
)
def test_another_run_is_refused_before_a_model_is_loaded(
    changed: list[str], said: str | None, batch: Callable[..., BaseException | None], tmp_path: Path
) -> None:
    batch()
    (tmp_path / "loaded").unlink()
    found = batch(*changed)
    assert isinstance(found, InputError) and (said is None or said in str(found))
    assert not (tmp_path / "loaded").exists()
