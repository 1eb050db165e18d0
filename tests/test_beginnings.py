"""Rows side by side whose prompts begin alike are read once up to where they part, and nothing changes by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from engines import generate
from hypothesis import given, settings
from hypothesis import strategies as st
from random_banks import CALIBRATED, COEFFICIENT, random_bank

from vispa.generation.beginnings import beginnings, reading_batches, runs
from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.batching import Budget
from vispa.models.encoding import raw_prompt
from vispa.models.loading import LoadedModel
from vispa.steering.activations import block_output
from vispa.steering.recipe import Recipe, Steer

QUESTIONS = [
    "Passage: I told my old father that the house had been sold, and he wept. Was that right?",
    "May a nurse tell the family what the doctor kept from them for so long, if they ask her at night?",
    "No?",
]
OPTIONS = ["yes", "no", "it depends on them", "nobody knows"]


def orders(question: str) -> list[str]:
    """The question with its options in every cyclic order."""
    turned = [[*OPTIONS[start:], *OPTIONS[:start]] for start in range(len(OPTIONS))]
    return [question + "".join(f" {'ABCD'[i]}. {one}" for i, one in enumerate(own)) + " Answer:" for own in turned]


def asked(loaded: LoadedModel, recipe: Recipe | None, questions: Sequence[str] = QUESTIONS) -> list[Row]:
    """Rows of a few questions in their orders, each question for several steers."""
    steers = [()] if recipe is None else [(), (Steer("calm", 1.0, recipe),), (Steer("candor", 0.5, recipe),)]
    return [Row(raw_prompt(loaded, text), own) for question in questions for own in steers for text in orders(question)]


def tokens_read(loaded: LoadedModel, work: Callable[[], Any]) -> tuple[int, Any]:
    """Tokens that the last block reads, padding included, and what the work gives."""
    read: list[int] = []
    handle = loaded.blocks[-1].register_forward_hook(
        lambda _module, _inputs, output: read.append(block_output(output).shape[:2].numel())
    )
    try:
        found = work()
    finally:
        handle.remove()
    return sum(read), found


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@pytest.mark.parametrize("recipe", [None, replace(COEFFICIENT, scope="all"), replace(COEFFICIENT, scope="prompt")])
def test_options_in_several_orders_share_what_is_asked(
    kind: str, recipe: Recipe | None, make_model: Callable[..., LoadedModel]
) -> None:
    loaded = make_model(kind)
    engine, rows = TransformersEngine(loaded, random_bank()), asked(loaded, recipe, QUESTIONS[:2])
    count, together = tokens_read(loaded, lambda: engine.options(rows, [4] * len(rows)))
    assert count < 0.65 * sum(len(row.prompt.ids) for row in rows)
    for row, masses in zip(rows, together, strict=True):
        (alone,) = engine.options([row], [4])
        np.testing.assert_allclose(masses, alone, rtol=2e-4)


@pytest.mark.parametrize("kind", ["gpt2", "falcon", "mistral"])
def test_models_for_which_places_count_read_options_whole(kind: str, make_model: Callable[..., LoadedModel]) -> None:
    loaded = make_model(
        kind, **({"sliding_window": 32} if kind == "mistral" else {"alibi": True} if kind == "falcon" else {})
    )
    engine, rows = TransformersEngine(loaded, random_bank()), asked(loaded, None)
    count, together = tokens_read(loaded, lambda: engine.options(rows, [4] * len(rows)))
    assert count >= sum(len(row.prompt.ids) for row in rows)
    for row, masses in zip(rows, together, strict=True):
        np.testing.assert_allclose(masses, engine.options([row], [4])[0], rtol=2e-4)


@pytest.mark.parametrize("recipe", [CALIBRATED, replace(COEFFICIENT, gate=0.9), replace(COEFFICIENT, scope="last")])
def test_options_of_any_steer_are_those_of_the_row_alone(recipe: Recipe, llama: LoadedModel) -> None:
    engine = TransformersEngine(llama, random_bank())
    rows = asked(llama, recipe)
    together = engine.options(rows, [4] * len(rows))
    for row, masses in zip(rows, together, strict=True):
        np.testing.assert_allclose(masses, engine.options([row], [4])[0], rtol=2e-4)


def test_texts_after_beginnings_of_several_lengths_are_those_of_the_rows_alone(llama: LoadedModel) -> None:
    # The same prompt stands in two groups that begin with different numbers of tokens.
    recipe = replace(COEFFICIENT, scope="all")
    steers = [(Steer("calm", 1.0, recipe),), (Steer("candor", 1.0, recipe),)]
    texts = [*orders(QUESTIONS[0]), *orders(QUESTIONS[1])]
    rows = [Row(raw_prompt(llama, text), steers[0]) for text in texts]
    rows += [Row(raw_prompt(llama, text), steers[1]) for text in (texts[0], texts[4], texts[5])]
    together = generate(llama, rows, Sampling(6), random_bank())
    assert [text.text for text in together] == [
        generate(llama, [row], Sampling(6), random_bank())[0].text for row in rows
    ]


TOKENS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), min_size=1, max_size=8)


@settings(max_examples=200, deadline=None)
@given(prompts=TOKENS, kinds=st.lists(st.integers(0, 1), min_size=8, max_size=8))
def test_a_beginning_is_what_its_rows_begin_with(prompts: Sequence[tuple[int, ...]], kinds: Sequence[int]) -> None:
    kinds = kinds[: len(prompts)]
    found = beginnings(prompts, kinds, len(prompts))
    for place, group in enumerate(found.groups.members):
        first, length = found.groups.firsts[group], found.lengths[group]
        assert kinds[first] == kinds[place]
        assert prompts[first][:length] == prompts[place][:length] and length < len(prompts[place])
    begun = [found.lengths[group] for group in found.groups.members]
    rest = max(len(ids) - length for ids, length in zip(prompts, begun, strict=True))
    read = len(found.lengths) * max(found.lengths) + len(prompts) * rest
    assert found.rest(prompts) == rest
    assert found.saved(prompts, len(prompts)) in (0, len(prompts) * max(map(len, prompts)) - read)
    numbers = runs(prompts, kinds)
    assert numbers[0] == 0 and all(after - before in (0, 1) for before, after in pairwise(numbers))


@settings(max_examples=200, deadline=None)
@given(prompts=TOKENS, kinds=st.lists(st.integers(0, 1), min_size=8, max_size=8), tokens=st.integers(1, 30))
def test_batches_hold_every_row_once_and_whole_runs(
    prompts: Sequence[tuple[int, ...]], kinds: Sequence[int], tokens: int
) -> None:
    kinds = kinds[: len(prompts)]
    batches = list(reading_batches(prompts, kinds, Budget(tokens=tokens)))
    assert sorted(place for batch in batches for place in batch) == list(range(len(prompts)))
    numbers = runs(prompts, kinds)
    for batch in batches:
        own = {numbers[place] for place in batch}
        # A run is in one batch; a batch of several is within the budget where nothing is padded.
        assert {place for place, number in enumerate(numbers) if number in own} == set(batch)
        assert len(own) == 1 or sum(len(prompts[place]) for place in batch) - tokens <= sum(
            len(prompts[place]) - 1 for place in batch
        )


def test_a_run_that_no_batch_may_hold_is_cut() -> None:
    # 26 orders of a question of 4,500 tokens: their keys and values together would be those of 117,000.
    prompts = [(*range(4330), *([10_000 + row] * 170)) for row in range(26)]
    batches = list(reading_batches(prompts, [0] * 26, Budget(tokens=8192)))
    assert sorted(place for batch in batches for place in batch) == list(range(26))
    assert max(map(len, batches)) == 3


def test_a_long_run_of_few_rows_is_one_batch() -> None:
    prompts = [(*range(1400), *([10_000 + row] * 100)) for row in range(3)]
    assert list(reading_batches(prompts, [0] * 3, Budget(tokens=1024))) == [[0, 1, 2]]


@pytest.mark.parametrize("recipe", [CALIBRATED, replace(COEFFICIENT, gate=0.9)])
def test_what_cannot_share_is_read_in_batches_within_the_budget(recipe: Recipe, llama: LoadedModel) -> None:
    engine, read = TransformersEngine(llama, random_bank()), []
    rows = asked(llama, recipe, QUESTIONS[:2])
    handle = llama.blocks[-1].register_forward_hook(
        lambda _module, _inputs, output: read.append(block_output(output).shape[:2].numel())
    )
    engine.options(rows, [4] * len(rows))
    handle.remove()
    assert max(read) <= 1024


@pytest.mark.parametrize("recipe", [None, replace(COEFFICIENT, scope="all"), CALIBRATED])
@pytest.mark.parametrize("questions", [QUESTIONS[:1], QUESTIONS[2:], []])
def test_what_a_reading_takes_of_a_pass_is_known_before(
    llama: LoadedModel, recipe: Recipe | None, questions: Sequence[str]
) -> None:
    engine = TransformersEngine(llama, random_bank())
    rows = asked(llama, recipe, questions)
    read, _ = tokens_read(llama, lambda: engine.options(rows, [4] * len(rows)))
    # Padding between runs of several lengths, and beginnings that are too short to be worth a pass, are left out.
    assert 0.8 * read <= sum(tokens for _, tokens in engine.reading_parts(rows, Budget())) <= 1.25 * read
