"""Requests that would be answered unsteered, cut short or never are refused when they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pairs import Pair, mixed
from small import CALIBRATED, RESIDUAL, VALUES, random_bank, small_model
from transformers import PreTrainedTokenizerFast

from vispa.errors import ContextError, InputError, TextError
from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.generation.vllm.admission import admitted, longest_whole, prompt_length
from vispa.generation.vllm.asked import ARGUMENT
from vispa.generation.vllm.engine import VllmEngine
from vispa.generation.vllm.plugin import register
from vispa.generation.vllm.scheduler import VllmScheduler
from vispa.generation.vllm.settings import Settings
from vispa.models.encoding import Prompt
from vispa.steering.recipe import Recipe, Steer

# Values that nothing is steered toward: of no quality, without a direction, with an amount of 0.
COARSE, ZERO, NOUGHT = VALUES[7], VALUES[8], VALUES[9]
LONGEST, BATCHED, SCHEDULED = 200, 128, 48


@pytest.fixture(scope="module")
def short(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Some values have no direction; contexts and passes are shorter than they could be."""
    loaded = small_model("llama", tokenizer, tmp_path_factory.mktemp("short"))
    bank = random_bank(loaded, replace(RESIDUAL, minimal_quality=0.5, amounts={NOUGHT: 0.0}))
    for entry in bank.entries.values():
        entry.directions.quality[VALUES.index(COARSE)] = 0.4
        entry.directions.vectors[VALUES.index(ZERO)] = 0
    given = f'{{"max_model_len": {LONGEST}, "max_num_batched_tokens": {BATCHED}, "block_size": 32,'
    given += f' "max_num_scheduled_tokens": {SCHEDULED}, "kv_cache_memory_bytes": 67108864}}'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISPA_VLLM", given)
        yield Pair(VllmEngine(loaded, bank), TransformersEngine(loaded, bank))


def params(argument: object, tokens: int = 8) -> Any:
    from vllm import SamplingParams

    return SamplingParams(
        temperature=0, max_tokens=tokens, detokenize=False, ignore_eos=True, extra_args={ARGUMENT: argument}
    )


# ---------------------------------------------------------------- beams


def requests() -> dict[str, tuple[type, dict[str, Any]]]:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest
    from vllm.entrypoints.speech_to_text.transcription.protocol import TranscriptionRequest
    from vllm.entrypoints.speech_to_text.translation.protocol import TranslationRequest

    return {
        "completion": (CompletionRequest, {"prompt": "Hello"}),
        "chat": (ChatCompletionRequest, {"messages": [{"role": "user", "content": "Hello"}]}),
        "transcription": (TranscriptionRequest, {"file": None}),
        "translation": (TranslationRequest, {"file": None}),
    }


def beams(kind: str, arguments: dict[str, Any] | None) -> Any:
    made, named = requests()[kind]
    given = {"use_beam_search": True, "n": 2, "model": "any", "vllm_xargs": arguments, **named}
    return made.model_construct(**given).to_beam_search_params(6, {})


@pytest.mark.parametrize("kind", ["completion", "chat", "transcription", "translation"])
@pytest.mark.parametrize("steers", [f"{VALUES[0]}:3", "nonsense:1", "", 7, f"{VALUES[0]}:0"])
def test_beams_that_are_to_be_steered_are_refused(kind: str, steers: object) -> None:
    from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
    from vllm.exceptions import VLLMValidationError

    register()
    with pytest.raises(VLLMValidationError, match="beam search") as caught:
        beams(kind, {ARGUMENT: steers})
    told = create_error_response(caught.value).error
    assert (told.code, told.param) == (HTTPStatus.BAD_REQUEST, ARGUMENT)


@pytest.mark.parametrize("kind", ["completion", "chat", "transcription", "translation"])
@pytest.mark.parametrize("arguments", [None, {}, {"other": "x"}])
def test_plain_beams_are_searched(kind: str, arguments: dict[str, Any] | None) -> None:
    register()
    assert beams(kind, arguments).beam_width == 2


@pytest.mark.parametrize(
    ("ids", "embeddings", "length"),
    [([1, 2], None, 2), ([], None, 0), (None, None, 0), (None, torch.ones(3, 8), 3), ([], torch.ones(1, 8), 1)],
)
def test_prompts_are_as_long_as_their_ids_or_embeddings(ids: Any, embeddings: Any, length: int) -> None:
    assert prompt_length(SimpleNamespace(prompt_token_ids=ids, prompt_embeds=embeddings)) == length


# ---------------------------------------------------------------- values without a direction


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"{COARSE}:3", COARSE),
        (ZERO, ZERO),
        (f"{NOUGHT}:-1", NOUGHT),
        (f"{VALUES[0]}:1,{ZERO}:0.5", ZERO),
        (f"{COARSE}:-0.1, {VALUES[1]}:2", COARSE),
        (f"{COARSE}:0,{ZERO}:1", ZERO),
    ],
)
def test_values_that_nothing_is_steered_toward_are_refused(short: Pair, text: str, value: str) -> None:
    with pytest.raises(TextError, match=f"names {value}, toward which nothing is steered"):
        short.vllm.running.run([([1, 5, 6], params(text))])


@pytest.mark.parametrize("text", [f"{COARSE}:0", f"{VALUES[0]}:1,{ZERO}:0"])
def test_what_weighs_nothing_need_not_steer(short: Pair, text: str) -> None:
    (output,) = short.vllm.running.run([([1, 5, 6], params(text))])
    assert len(output.outputs[0].token_ids) == 8


@pytest.mark.parametrize("recipe", [None, replace(CALIBRATED, minimal_quality=0.5)], ids=["fixed", "measured"])
def test_rows_of_such_values_are_those_of_transformers(short: Pair, recipe: Recipe | None) -> None:
    """The pipeline asks for them, and its records say that they were not steered."""
    nothing = [COARSE, ZERO] if recipe else [COARSE, ZERO, NOUGHT]
    steers = [(Steer(value, recipe=recipe),) for value in (VALUES[0], *nothing)]
    steers += [(Steer(VALUES[0], recipe=recipe), Steer(value, recipe=recipe)) for value in nothing]
    steers += [(Steer(VALUES[1], recipe=recipe), Steer(NOUGHT)), (Steer(NOUGHT),)]
    found = short.agree(short.rows_of(steers, "Row {}."))
    assert any(found[0].shift.values()) and found[1].left_out


# ---------------------------------------------------------------- long prompts


def config_of(drafts: int | None = None, **scheduler: Any) -> Any:
    speculative = None if drafts is None else SimpleNamespace(max_num_new_slots_for_drafting=drafts)
    given = {"max_num_batched_tokens": 128, "async_scheduling": True, **scheduler}
    return SimpleNamespace(scheduler_config=SimpleNamespace(**given), speculative_config=speculative)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (config_of(), ("max_num_batched_tokens", 128)),
        (config_of(max_num_scheduled_tokens=None, long_prefill_token_threshold=0), ("max_num_batched_tokens", 128)),
        (config_of(max_num_scheduled_tokens=48), ("max_num_scheduled_tokens", 48)),
        (config_of(max_num_scheduled_tokens=256), ("max_num_batched_tokens", 128)),
        (config_of(drafts=5), ("max_num_batched_tokens", 123)),
        (config_of(drafts=0, max_num_scheduled_tokens=128), ("max_num_batched_tokens", 128)),
        (config_of(drafts=5, max_num_scheduled_tokens=124), ("max_num_batched_tokens", 123)),
        (
            config_of(drafts=5, max_num_scheduled_tokens=64, long_prefill_token_threshold=32),
            ("long_prefill_token_threshold", 32),
        ),
    ],
)
def test_how_long_a_prompt_a_pass_takes(config: Any, expected: tuple[str, int]) -> None:
    assert longest_whole(config) == expected


@pytest.mark.parametrize("count", [SCHEDULED + 1, 60, BATCHED, BATCHED + 1])
def test_prompts_that_no_pass_has_room_for_hinder_nobody(short: Pair, count: int) -> None:
    steers = (Steer(VALUES[0], recipe=CALIBRATED),)
    ids = (short.vllm.raw_prompt("word " * 130).ids * 2)[:count]
    rows = [Row(Prompt("", ids[:own]), steers) for own in (count, SCHEDULED)]
    ended: list[Any] = []
    with pytest.raises(TextError, match=r"max_num_scheduled_tokens"):
        short.vllm.running.begin(ids, short.vllm._params(rows[0], max_tokens=2), ended.append)
    short.vllm.running.begin(rows[1].prompt.ids, short.vllm._params(rows[1], max_tokens=2), ended.append)
    short.vllm.running.begin([1, 5, 6], params(VALUES[1], tokens=2), ended.append)
    for _ in range(12):
        short.vllm.running.step()
    assert sum(output.finished for output in ended) == 2
    # A shift that is not measured needs no pass of its own.
    assert len(short.vllm.generate([Row(Prompt("", ids), (Steer(VALUES[0]),))], Sampling(2))) == 1


# ---------------------------------------------------------------- long texts


@pytest.mark.parametrize("count", [1, 100, LONGEST - 1, LONGEST, LONGEST + 20])
def test_texts_longer_than_what_vllm_was_started_for_are_refused(short: Pair, count: int) -> None:
    """The model itself reads 512 tokens."""
    ids = (short.vllm.raw_prompt("word " * 130).ids * 2)[:count]
    row, room = Row(Prompt("", ids)), LONGEST - count
    if room > 0:
        (text,) = short.vllm.generate([row], Sampling(room))
        assert text.tokens == room or not text.limited
        short.vllm.options([row], [2])
    else:
        with pytest.raises(ContextError, match=f"the {LONGEST} that vllm"):
            short.vllm.options([row], [2])
    with pytest.raises(ContextError, match="max_model_len in VISPA_VLLM"):
        short.vllm.generate([row], Sampling(max(room, 0) + 1))
    with pytest.raises(ContextError, match=f"the {LONGEST} that vllm"):
        short.vllm.likelihoods([row], [[" a" * (1 + max(room, 0))]])


def test_long_texts_that_share_vllm_fail_alone(short: Pair) -> None:
    scheduler = VllmScheduler(short.vllm)
    try:
        rows = short.rows_of(mixed(RESIDUAL)[:3])
        long, fine = (scheduler.submit(short.vllm, rows, Sampling(number)) for number in (LONGEST, 4))
        with pytest.raises(ContextError, match=f"the {LONGEST} that vllm"):
            long.result(60)
        assert len(fine.result(60)) == 3
    finally:
        scheduler.close()
    assert not short.vllm.running.engine.has_unfinished_requests()


# ---------------------------------------------------------------- what fades


@pytest.mark.parametrize(
    ("drafts", "late", "refused"), [(None, True, False), (3, False, False), (0, True, True), (3, True, True)]
)
@pytest.mark.parametrize("half_life", [None, 4.0])
def test_what_fades_where_drafts_count_as_text(
    short: Pair, tmp_path: Path, drafts: int | None, late: bool, refused: bool, half_life: float | None
) -> None:
    assert short.vllm.bank is not None
    recipe = replace(RESIDUAL, half_life=half_life)
    replace(short.vllm.bank, recipe=recipe).save(tmp_path / "bank.safetensors")
    config = config_of(drafts, async_scheduling=late)
    config.additional_config = {ARGUMENT: vars(Settings(str(tmp_path / "bank.safetensors")))}
    config.model_config = SimpleNamespace(dtype=torch.float32)
    for text in (VALUES[0], f"{VALUES[0]}:0.5,{VALUES[1]}:-1"):
        if refused and half_life:
            with pytest.raises(InputError, match=r"half_life: .*--no-async-scheduling"):
                admitted(text, [1, 5, 6], 3, config)
        else:
            given, salt = admitted(text, [1, 5, 6], 3, config)
            assert given.steers and salt is not None
