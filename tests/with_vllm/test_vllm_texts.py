"""vLLM writes what transformers writes, whatever stands beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from pairs import CHUNK, TOKENS, Pair, mixed
from small import CALIBRATED, COEFFICIENT, RESIDUAL, VALUES

from vispa.errors import InputError
from vispa.generation.rows import Row, Sampling
from vispa.generation.running import Writing
from vispa.generation.transformers import TransformersEngine
from vispa.generation.vllm.engine import VllmEngine
from vispa.models.encoding import Prompt, raw_prompt
from vispa.steering.recipe import Recipe, Steer


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma", "gemma3_text"])
@pytest.mark.parametrize("recipe", [RESIDUAL, COEFFICIENT, CALIBRATED], ids=lambda recipe: recipe.magnitude)
def test_all_values_in_one_batch(make_pair: Callable[..., Pair], kind: str, recipe: Recipe) -> None:
    pair = make_pair(kind, max_num_batched_tokens=CHUNK)
    rows = pair.rows_of(mixed(recipe))
    steered = pair.agree(rows)
    plain = pair.transformers.generate([Row(row.prompt) for row in rows], TOKENS)
    assert sum(one.ids != other.ids for one, other in zip(steered, plain, strict=True)) >= 12


def test_without_a_prefix_cache(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair("llama", enable_prefix_caching=False)
    pair.agree(pair.rows_of(mixed(RESIDUAL), "The same text for all."))
    pair.agree(pair.rows_of(mixed(CALIBRATED), "The same text for all."))


@pytest.mark.parametrize("recipe", [RESIDUAL, CALIBRATED], ids=lambda recipe: recipe.magnitude)
def test_cached_prompts_are_not_shared_between_steers(pair: Pair, recipe: Recipe) -> None:
    """Long enough for blocks of the cache; asked twice, so that the second time all is cached."""
    rows = pair.rows_of(mixed(recipe), "The same text for all, and it is a long one of many words.")
    first = pair.agree(rows)
    again = pair.agree(rows[::-1])
    assert [one.ids for one in first] == [one.ids for one in again][::-1]


def test_what_was_said_while_steered_is_not_read_as_plain(pair: Pair) -> None:
    """A prompt that goes on with what a steered row said must not find its keys and values."""
    recipe = replace(RESIDUAL, scope="generated", amount=1.0)
    (row,) = pair.rows_of([(Steer(VALUES[0], recipe=recipe),)], "Tell me something that goes on for a while.")
    (said,) = pair.agree([row], Sampling(40))
    pair.agree([Row(Prompt("", (*row.prompt.ids, *said.ids[:32])))])


@pytest.mark.parametrize("scope", ["all", "prompt", "generated", "last"])
def test_scopes_in_prompts_longer_than_a_chunk(pair: Pair, scope: str) -> None:
    recipe = replace(RESIDUAL, scope=scope)
    rows = pair.rows_of(
        [(Steer(VALUES[0], recipe=recipe),), (), (Steer(VALUES[1], recipe=recipe),)],
        "This is number {}. " + "It is a long text. " * 12,
    )
    assert min(len(row.prompt.ids) for row in rows) > 2 * CHUNK
    pair.agree(rows)


@pytest.mark.parametrize("scope", ["all", "prompt", "generated", "last"])
@pytest.mark.parametrize("how", ["plain", "gate", "cap", "both_ways"])
def test_measured_amounts_of_any_scope(pair: Pair, scope: str, how: str) -> None:
    options = {"plain": {}, "gate": {"gate": 0.5}, "cap": {"cap": 0.05}, "both_ways": {"both_ways": True}}[how]
    recipe = replace(CALIBRATED, scope=scope, **options)
    pair.agree(pair.rows_of([(Steer(value, recipe=recipe),) for value in VALUES[:9]]))


def test_prompts_that_are_measured_wait_for_a_pass_of_their_own(pair: Pair) -> None:
    """Together they fill several passes, none of which may end within one."""
    rows = pair.rows_of(mixed(CALIBRATED), "This text is about as long as two thirds of a pass; number {}.")
    assert 2 * min(len(row.prompt.ids) for row in rows) > CHUNK
    pair.agree(rows)


@pytest.mark.parametrize("orthogonal", [False, True])
def test_several_steers_a_row(pair: Pair, orthogonal: bool) -> None:
    steers = [
        (Steer(VALUES[0]), Steer(VALUES[1], 0.5)),
        (Steer(VALUES[2], -1.0), Steer(VALUES[3], recipe=CALIBRATED)),
        (
            Steer(VALUES[4], recipe=replace(RESIDUAL, scope="prompt")),
            Steer(VALUES[5], recipe=replace(COEFFICIENT, scope="last")),
            Steer(VALUES[6], recipe=replace(CALIBRATED, scope="generated", blocks=(2,))),
        ),
        (Steer(VALUES[7], 0.0),),
    ]
    pair.agree([replace(row, orthogonal=orthogonal) for row in pair.rows_of(steers)])


@pytest.mark.parametrize("recipe", [RESIDUAL, CALIBRATED], ids=lambda recipe: recipe.magnitude)
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_subjects_get_their_share(pair: Pair, recipe: Recipe, share: float) -> None:
    text = "Here is a situation: my dog is ill. Comment!"
    prompt = raw_prompt(pair.vllm.loaded, text, "my dog is ill")
    assert 0 < prompt.subject[0] < prompt.subject[1] < len(prompt.ids)
    recipe = replace(recipe, subject_share=share)
    pair.agree([Row(prompt, (Steer(value, recipe=recipe),)) for value in VALUES[:5]])
    # The same tokens, of which others are the subject.
    pair.agree([Row(replace(prompt, subject=(1, 9)), (Steer(value, recipe=recipe),)) for value in VALUES[:5]])


@pytest.mark.parametrize("recipe", [RESIDUAL, CALIBRATED], ids=lambda recipe: recipe.magnitude)
def test_shifts_that_fade(pair: Pair, recipe: Recipe) -> None:
    fading = replace(recipe, half_life=3.0)
    steers = [
        (Steer(VALUES[0], recipe=fading),),
        (Steer(VALUES[1], recipe=fading), Steer(VALUES[2], recipe=recipe)),
        (Steer(VALUES[3], recipe=replace(fading, scope="generated")),),
        (Steer(VALUES[4], recipe=replace(fading, half_life=9.0)),),
    ]
    rows = pair.rows_of(steers)
    found = pair.agree(rows, Sampling(24))
    stays = pair.rows_of([tuple(replace(one, recipe=recipe) for one in own) for own in steers])
    assert [one.ids for one in found] != [one.ids for one in pair.agree(stays, Sampling(24))]
    mixed_up = (Steer(VALUES[0], recipe=fading), Steer(VALUES[1], recipe=replace(fading, half_life=9.0)))
    with pytest.raises(InputError, match="half_life"):
        pair.vllm.generate(pair.rows_of([mixed_up]), TOKENS)


def test_rows_that_come_while_others_write(pair: Pair) -> None:
    rows = pair.rows_of(mixed(RESIDUAL)[:8] + mixed(CALIBRATED)[8:16], "Some rows come later than others; number {}.")
    expected = [one.ids for one in pair.transformers.generate(rows, TOKENS)]
    engine, found, names = pair.vllm.running.engine, {}, {}
    waiting = list(enumerate(rows))
    while waiting or engine.has_unfinished_requests():
        for place, row in waiting[:2]:
            names[f"late-{place}"] = place
            given = {"prompt_token_ids": list(row.prompt.ids)}
            engine.add_request(f"late-{place}", given, pair.vllm.begun(Writing(row, TOKENS)))
        waiting = waiting[2:]
        for output in engine.step():
            if output.finished:
                found[names[output.request_id]] = tuple(output.outputs[0].token_ids)
    assert [found[place] for place in range(len(rows))] == expected


def test_rows_that_are_interrupted(make_pair: Callable[..., Pair]) -> None:
    """With few blocks of keys and values, rows are thrown out and read again."""
    pair = make_pair("llama", num_gpu_blocks_override=14, block_size=32, max_model_len=128)
    text = "This is a prompt that takes two blocks of the cache, {}."
    pair.agree(pair.rows_of(mixed(CALIBRATED)[:8], text), Sampling(40))
    pair.agree(pair.rows_of(mixed(RESIDUAL)[:8], text), Sampling(40))


@pytest.mark.parametrize("recipe", [None, RESIDUAL, CALIBRATED], ids=["plain", "fixed", "measured"])
def test_options_and_likelihoods(pair: Pair, recipe: Recipe | None) -> None:
    steers = () if recipe is None else (Steer(VALUES[0], recipe=recipe),)
    rows = [Row(pair.vllm.raw_prompt(f"Is {number} odd?\nA. Yes\nB. No\nAnswer:"), steers) for number in range(4)]
    ours, theirs = pair.vllm.options(rows, [2, 3, 2, 26]), pair.transformers.options(rows, [2, 3, 2, 26])
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-7)
    texts = [[" Yes", " No, never"], [" Yes"], [" A", " B", " C"], [" x"]]
    ours, theirs = pair.vllm.likelihoods(rows, texts), pair.transformers.likelihoods(rows, texts)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_sampled_rows_hang_on_their_seeds_alone(pair: Pair) -> None:
    rows = pair.rows_of(mixed(RESIDUAL)[:6], "Say something.")
    sampling = Sampling(12, temperature=1.0, top_p=0.9, seed=3)
    together = [one.ids for one in pair.vllm.generate(rows, sampling)]
    alone = [pair.vllm.generate([row], sampling)[0].ids for row in rows]
    other = [one.ids for one in pair.vllm.generate(rows, replace(sampling, seed=4))]
    assert together == alone != other


@pytest.mark.parametrize(("kept", "fetched", "count"), [(8, 2, 20), (6, 1, 31)])
def test_what_was_measured_for_more_rows_than_workers_keep(
    make_pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch, kept: int, fetched: int, count: int
) -> None:
    monkeypatch.setattr("vispa.generation.vllm.steps._MOST_TOLD", kept)
    monkeypatch.setattr("vispa.generation.vllm.running._FETCHED", fetched, raising=False)
    pair = make_pair("llama", max_num_seqs=4)
    pair.agree(pair.rows_of([(Steer(value, recipe=CALIBRATED),) for value in VALUES[:count]]), Sampling(3))


def test_another_recipe_on_the_same_workers(pair: Pair) -> None:
    recipe = replace(COEFFICIENT, amount=30.0)
    rows = pair.rows_of([(Steer(value),) for value in VALUES[:4]])
    other = Pair(pair.vllm.with_recipe(recipe), pair.transformers.with_recipe(recipe))
    assert [one.ids for one in other.agree(rows)] != [one.ids for one in pair.agree(rows)]


def test_progress_counts_every_row(pair: Pair) -> None:
    told: list[int] = []
    pair.vllm.generate(pair.rows_of(mixed(RESIDUAL)), Sampling(3), told.append)
    assert sum(told) == len(VALUES) and not pair.vllm.generate([], TOKENS)


def test_the_embedded_model() -> None:
    from vispa.models.loading import load_model
    from vispa.steering.bank_cache import cached_bank
    from vispa.taxonomy import Taxonomy

    loaded = load_model("embedded", device="cpu")
    bank = cached_bank(loaded, Taxonomy.built_in(), estimators=())
    pair = Pair(VllmEngine(loaded, bank), TransformersEngine(loaded, bank))
    prompt = pair.vllm.chat_prompt("Telling my grandmother a comforting lie", "my grandmother")
    rows = [Row(prompt, (Steer(value),)) for value in bank.info.values]
    texts = pair.agree([*rows, Row(prompt)], Sampling(24))
    assert len({one.text for one in texts}) > 10
    torch.testing.assert_close(
        torch.tensor(np.array(pair.vllm.options(rows, [3] * len(rows)))),
        torch.tensor(np.array(pair.transformers.options(rows, [3] * len(rows)))), rtol=1e-3, atol=1e-6,
    )  # fmt: skip
