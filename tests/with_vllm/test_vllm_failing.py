"""Requests whose shift is not finite, or was not measured, fail: alone, and not unsteered."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pairs import CHUNK, Pair, made_pair
from small import CALIBRATED, RESIDUAL, VALUES
from transformers import PreTrainedTokenizerFast

from vispa.errors import NumericalError
from vispa.generation.rows import Row, Sampling
from vispa.generation.vllm.asked import ARGUMENT, FAILED, Asked
from vispa.generation.vllm.scheduler import VllmScheduler
from vispa.generation.vllm.steps import Steps
from vispa.models.encoding import Prompt
from vispa.steering.recipe import Steer

WRITTEN = Sampling(8)
# What a probe asks for times this is no number any more.
HUGE = 1e38
GOOD = [(Steer(value, recipe=CALIBRATED),) for value in VALUES[:4]]
BAD = (Steer(VALUES[4], HUGE, recipe=CALIBRATED),)


def asked_as_over_http(pair: Pair, rows: list[Row]) -> list[Any]:
    """The outputs of requests that nobody asks about afterwards."""
    from vllm import SamplingParams

    def params(row: Row) -> Any:
        argument = Asked(row.steers).as_argument()
        return SamplingParams(
            temperature=0, max_tokens=8, detokenize=False, ignore_eos=True, stop_token_ids=[2],
            extra_args={ARGUMENT: argument},
        )  # fmt: skip

    return pair.vllm.running.run([(row.prompt.ids, params(row)) for row in rows])


@pytest.mark.parametrize("places", [[0], [2], [4], [1, 2], [0, 1, 2, 3, 4]])
def test_a_row_that_cannot_be_steered_fails_alone(
    pair: Pair, places: list[int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    steers = [*GOOD, GOOD[0]]
    for place in places:
        steers[place] = BAD
    rows = pair.rows_of(steers, "One of {} rows.")
    assert sum(len(row.prompt.ids) for row in rows) <= CHUNK
    # What vLLM says goes to its own place alone.
    monkeypatch.setattr(logging.getLogger("vllm"), "propagate", True)
    good = [row for place, row in enumerate(rows) if place not in places]
    expected = iter(pair.transformers.generate(good, WRITTEN) if good else [])
    for place, output in enumerate(asked_as_over_http(pair, rows)):
        if place in places:
            assert (output.outputs[0].finish_reason, list(output.outputs[0].token_ids)) == ("error", [])
        else:
            assert tuple(output.outputs[0].token_ids) == next(expected).ids
    told = {record.message for record in caplog.records if record.levelno == logging.ERROR}
    assert len(told) == len(places) and all("is not answered" in one and VALUES[4] in one for one in told)
    with pytest.raises(NumericalError, match=VALUES[4]):
        pair.vllm.generate(rows, WRITTEN)
    # Whoever comes next is answered, and nothing is left.
    pair.agree(pair.rows_of(GOOD), WRITTEN)
    assert not pair.vllm.running.engine.has_unfinished_requests()


@pytest.mark.parametrize("what", ["options", "likelihoods"])
def test_questions_whose_row_cannot_be_steered(pair: Pair, what: str) -> None:
    rows = pair.rows_of([GOOD[0], BAD])
    with pytest.raises(NumericalError, match=VALUES[4]):
        pair.vllm.options(rows, [2, 2]) if what == "options" else pair.vllm.likelihoods(rows, [[" Yes"], [" No"]])
    assert len(pair.vllm.options(rows[:1], [2])) == 1


def test_a_request_beside_one_that_fails(pair: Pair) -> None:
    scheduler = VllmScheduler(pair.vllm)
    try:
        rows = [pair.rows_of([one], "A scheduled text.") for one in (GOOD[0], BAD, GOOD[1])]
        tickets = [scheduler.submit(pair.vllm, own, WRITTEN) for own in rows]
        with pytest.raises(NumericalError, match=VALUES[4]):
            tickets[1].result(60)
        for place in (0, 2):
            assert tickets[place].result(60)[0].ids == pair.transformers.generate(rows[place], WRITTEN)[0].ids
    finally:
        scheduler.close()


def test_activations_that_are_not_finite(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """A token that a model in too coarse numbers cannot read, in one of the prompts of a pass."""
    pair = made_pair("llama", tokenizer, tmp_path)
    rows = pair.rows_of(GOOD)
    broken = len(tokenizer) - 1
    assert all(broken not in row.prompt.ids for row in rows)
    (worker,) = pair.vllm.running.engine.collective_rpc(lambda self: [self])[0]
    with torch.inference_mode():
        worker.model_runner.get_model().model.embed_tokens.weight[broken] = torch.nan
    rows[1] = replace(rows[1], prompt=replace(rows[1].prompt, ids=(*rows[1].prompt.ids, broken)))
    expected = pair.transformers.generate([row for place, row in enumerate(rows) if place != 1], WRITTEN)
    found = [one.outputs[0] for one in asked_as_over_http(pair, rows)]
    assert [one.finish_reason == "error" for one in found] == [False, True, False, False]
    assert [tuple(one.token_ids) for one in found if one.token_ids] == [one.ids for one in expected]
    with pytest.raises(NumericalError, match="activation"):
        pair.vllm.generate(rows, WRITTEN)


def test_a_request_that_was_not_measured_is_not_answered(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Steps._measure

    def once_less(self: Any, block: int, *others: Any) -> None:
        if block != 2:
            measure(self, block, *others)

    rows = pair.rows_of([GOOD[0], (Steer(VALUES[0], recipe=RESIDUAL),)], "Is it measured?")
    monkeypatch.setattr(Steps, "_measure", once_less)
    measured, fixed = asked_as_over_http(pair, rows)
    assert measured.outputs[0].finish_reason == "error" and not measured.outputs[0].token_ids
    assert tuple(fixed.outputs[0].token_ids) == pair.transformers.generate(rows[1:], WRITTEN)[0].ids


@pytest.mark.parametrize("late", [False, True])
def test_what_failed_travels_with_a_pass_that_ends_later(late: bool) -> None:
    """On GPUs a step gives something that is waited for while the next one runs."""
    from types import SimpleNamespace

    from vispa.generation.vllm.worker import SteeredWorker

    given = SimpleNamespace()
    inner = SimpleNamespace(get_output=lambda: given) if late else given
    steered = object.__new__(SteeredWorker)
    steered._steps = SimpleNamespace(failed={"a": "why"})  # type: ignore[assignment]
    assert steered._with_failed(None) is None
    found = steered._with_failed(inner)
    assert found is inner and steered._steps.failed == {}
    steered._steps.failed = {"b": "of the next step"}
    assert getattr(found.get_output() if late else found, FAILED) == {"a": "why"}


def handed_on(pair: Pair, arguments: Sequence[object], ids: Sequence[int]) -> list[Any]:
    """The outputs of requests that came by another front, which neither checks nor salts them."""
    from vllm import SamplingParams
    from vllm.inputs import tokens_input
    from vllm.v1.engine.input_processor import InputProcessor

    engine, found = pair.vllm.running.engine, dict[str, Any]()
    process = InputProcessor.process_inputs.__wrapped__
    for place, argument in enumerate(arguments):
        extra = {} if argument is None else {"extra_args": {ARGUMENT: argument}}
        params = SamplingParams(temperature=0, max_tokens=8, detokenize=False, ignore_eos=True, **extra)
        name = f"handed-on-{place}"
        request = process(engine.input_processor, name, tokens_input(list(ids)), params, ("generate",))
        engine.add_request(name, request, params)
    while engine.has_unfinished_requests():
        found |= {output.request_id: output.outputs[0] for output in engine.step() if output.finished}
    return [found[f"handed-on-{place}"] for place in range(len(arguments))]


@pytest.mark.parametrize("length", [5, 40, 2 * CHUNK + 9])
def test_what_no_front_has_checked_is_not_obeyed(
    pair: Pair, length: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("vllm"), "propagate", True)
    ids = (pair.vllm.raw_prompt("Some text of many words. ").ids * 40)[:length]
    raw: list[object] = [
        f"{VALUES[0]}:3", "nonsense", "", 7, ["a"], {}, {"steers": [[VALUES[0], 1.0, None]]},
        Asked((Steer(VALUES[0]),)).as_argument() | {"steers": 5},
    ]  # fmt: skip
    (plain,) = pair.transformers.generate([Row(Prompt("", tuple(ids)))], WRITTEN)
    found = handed_on(pair, [None, *raw, None], ids)
    assert [(one.finish_reason, list(one.token_ids)) for one in found[1:-1]] == [("error", [])] * len(raw)
    told = {record.message for record in caplog.records if "is not answered" in record.message}
    assert len(told) == len(raw) and sum("was not checked by the front" in one for one in told) == 5
    # Neither beside them nor after them is anything of theirs read.
    for one in (found[0], found[-1], *handed_on(pair, [None], ids)):
        assert tuple(one.token_ids)[: len(plain.ids)] == plain.ids
    pair.agree(pair.rows_of(GOOD), WRITTEN)
