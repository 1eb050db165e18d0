"""What a prompt is about: which of its tokens, and that they get their share of a shift, against a slow reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from engines import generate
from random_banks import CALIBRATED, COEFFICIENT, VALUES, random_bank
from transformers import PreTrainedTokenizerFast

from vispa.errors import InputError
from vispa.generation.rows import Row, Sampling
from vispa.models.encoding import Prompt, chat_prompt, raw_prompt
from vispa.models.loading import LoadedModel, load_model
from vispa.steering.activations import hooks_on
from vispa.steering.recipe import Recipe, Scope, Steer

ASK = "What matters here: "
SITUATIONS = ["I lied.", "She sold the old family house", "A walk in the rain, alone, at night", "No"]


def words(tokenizer: PreTrainedTokenizerFast, prompt: Prompt) -> str:
    return str(tokenizer.decode(prompt.ids[slice(*prompt.subject)])).strip()


@pytest.mark.parametrize(
    ("message", "subject", "expected"),
    [
        ("What of this: I lied.", "I lied.", "I lied"),
        ("What of this: I lied. Say it.", "I lied.", "I lied."),
        ("I lied. What of it?", " I lied.  ", "I lied."),
        ("lie or lie?", "lie", "lie"),
        ("What of this: über naïve 🙂?", "über naïve 🙂", "über naïve 🙂"),
        ("What of this?", "something else", "What of this"),
        ("What of this?", "  ", "What of this"),
        ("x", "x", ""),
        ("What of this: I lied.", None, ""),
    ],
)
def test_the_tokens_of_a_subject_in_a_raw_prompt(
    message: str, subject: str | None, expected: str, llama: LoadedModel
) -> None:
    # The last token of a prompt, after which the model goes on, is never one of them.
    assert words(llama.tokenizer, raw_prompt(llama, message, subject)) == expected


@pytest.mark.parametrize(
    ("message", "subject", "expected"),
    [
        ("What of this: I lied.", "I lied.", " I lied."),
        ("What of this: I lied.", None, "What of this: I lied."),
        ("Is <|im_start|> here?", "<|im_start|>", "<|im_start|>"),
    ],
)
def test_the_tokens_of_a_subject_in_a_chat(message: str, subject: str | None, expected: str) -> None:
    embedded = load_model("embedded")
    assert words(embedded.tokenizer, chat_prompt(embedded, message, subject)).strip() == expected.strip()


def referred(loaded: LoadedModel, row: Row, recipe: Recipe, count: int) -> str:
    """Greedy decoding of one row without batch or cache, each token's shift by hand."""
    vectors = random_bank().entry("mean").directions.vectors[VALUES.index(row.steers[0].value)]
    start, end = row.prompt.subject
    ids = list(row.prompt.ids)
    for _ in range(count):
        factor = torch.full((len(ids), 1), recipe.amount)
        if recipe.scope == "generated":
            factor[: len(row.prompt.ids)] = 0
        factor[start:end] *= recipe.subject_share
        if recipe.half_life is not None:
            said = torch.arange(1, len(ids) - len(row.prompt.ids) + 1)
            factor[len(row.prompt.ids) :, 0] *= 0.5 ** (said / recipe.half_life)
        with hooks_on(loaded.blocks, lambda block, hidden, f=factor: hidden + f * vectors[block], recipe.blocks):
            ids.append(int(loaded.model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == loaded.tokenizer.eos_token_id:
            break
    said = [one for one in ids[len(row.prompt.ids) :] if one != loaded.tokenizer.eos_token_id]
    return str(loaded.tokenizer.decode(said)).strip()


def every(loaded: LoadedModel, ask: str, recipes: Sequence[Recipe]) -> list[Row]:
    """Each situation for two values, steered by each recipe; the recipes stand side by side."""
    return [
        Row(raw_prompt(loaded, ask + text, text), (Steer(value, recipe=recipe),))
        for text in SITUATIONS
        for value in VALUES[:2]
        for recipe in recipes
    ]


@pytest.mark.parametrize("ask", [ASK, ""])
def test_subjects_get_their_share_of_the_shift(ask: str, llama: LoadedModel) -> None:
    recipes = [replace(COEFFICIENT, subject_share=share) for share in (1.0, 0.5, 0.0)]
    rows = every(llama, ask, recipes)
    with torch.inference_mode():
        expected = [referred(llama, row, row.steers[0].recipe or COEFFICIENT, 6) for row in rows]
    found = [one.text.strip() for one in generate(llama, rows, Sampling(6), random_bank())]
    assert found == expected
    assert any(len({*found[place : place + 3]}) > 1 for place in range(0, len(found), 3))


@pytest.mark.parametrize("scope", ["all", "generated"])
def test_shifts_that_fade(scope: Scope, llama: LoadedModel) -> None:
    recipes = [replace(COEFFICIENT, half_life=one, scope=scope) for one in (None, 4.0, 0.5)]
    rows = every(llama, ASK, recipes)
    with torch.inference_mode():
        expected = [referred(llama, row, row.steers[0].recipe or COEFFICIENT, 8) for row in rows]
    # Texts of all three in one batch, each alone, and in batches that others join are those of the reference.
    assert [one.text.strip() for one in generate(llama, rows, Sampling(8), random_bank())] == expected
    alone = [generate(llama, [row], Sampling(8), random_bank())[0].text.strip() for row in rows]
    assert alone == expected
    assert any(len({*expected[place : place + 3]}) == 3 for place in range(0, len(expected), 3))


@pytest.mark.parametrize("half_life", [0, -3.0, float("nan"), float("inf")])
def test_a_half_life_that_cannot_be_is_refused(half_life: float) -> None:
    with pytest.raises(InputError, match="half_life"):
        Recipe(half_life=half_life)


def test_a_measured_shift_is_shared_out_too_and_is_the_same_alone_and_in_a_batch(llama: LoadedModel) -> None:
    recipe = replace(CALIBRATED, subject_share=0.25, amount=0.999)
    rows = [Row(raw_prompt(llama, ASK + text, text), (Steer("calm", recipe=recipe),)) for text in SITUATIONS]
    together = generate(llama, rows, Sampling(4), random_bank())
    alone = [generate(llama, [row], Sampling(4), random_bank())[0] for row in rows]
    assert [one.text for one in together] == [one.text for one in alone]
    whole = [replace(row, steers=(Steer("calm", recipe=replace(recipe, subject_share=1.0)),)) for row in rows]
    assert [one.shift for one in generate(llama, whole, Sampling(4), random_bank())] != [one.shift for one in together]


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan"), float("inf")])
def test_a_share_outside_of_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="subject_share"):
        Recipe(subject_share=share)
