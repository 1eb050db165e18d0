"""Sampling of comments: what the seed, the temperature and top_p do, and where they are recorded."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from engines import generate

from vispa.errors import InputError
from vispa.evaluation.methods import Bench
from vispa.generation import sampling as drawing
from vispa.generation.rows import Row, Sampling
from vispa.models.encoding import raw_prompt
from vispa.models.loading import LoadedModel
from vispa.pipeline import Vispa
from vispa.request import Request
from vispa.steering.fitting import fit_bank
from vispa.steering.recipe import Recipe, Steer
from vispa.taxonomy import Taxonomy

SAMPLED = Sampling(12, temperature=1.0, seed=3)
TEXTS = ["Borrowing a ladder", "Selling a bicycle", "Keeping a promise", "Telling a joke at a funeral"]


class EqualSelector:
    name = "equal"

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy

    def scores(self, texts: Sequence[str], progress: object = None) -> np.ndarray:
        return np.ones((len(texts), 3), dtype=np.float32)


@pytest.fixture(scope="module")
def vispa(llama: LoadedModel, small_taxonomy: Taxonomy) -> Vispa:
    # Shifts too small to matter: values then differ by their random numbers alone.
    recipe = Recipe("one_versus_others", (1,), magnitude="coefficient", amount=1e-9, minimal_quality=0.0)
    bank = fit_bank(llama, small_taxonomy, recipe=recipe)
    return Vispa(llama, bank, EqualSelector(small_taxonomy), taxonomy=small_taxonomy)


def said(vispa: Vispa, text: str, **sampling: float) -> list[str]:
    found = vispa.respond_many([Request(text, values=("calm", "thrift", "candor"))], max_new_tokens=16, **sampling)[0]
    return [comment.text for comment in found.comments]  # type: ignore[union-attr]


def drawn(loaded: LoadedModel, rows: list[Row], sampling: Sampling) -> list[str]:
    return [one.text for one in generate(loaded, rows, sampling)]


def test_the_same_seed_gives_the_same_text_and_another_seed_another(vispa: Vispa) -> None:
    one = said(vispa, TEXTS[0], temperature=1.0, seed=1)
    assert one == said(vispa, TEXTS[0], temperature=1.0, seed=1)
    assert one != said(vispa, TEXTS[0], temperature=1.0, seed=2)
    assert one != said(vispa, TEXTS[0])


def test_greedy_is_the_default_and_has_no_seed(vispa: Vispa) -> None:
    assert said(vispa, TEXTS[1]) == said(vispa, TEXTS[1], seed=7) == said(vispa, TEXTS[1], temperature=0.0, seed=8)


def test_values_of_one_text_do_not_share_their_numbers(vispa: Vispa) -> None:
    """Hardly anything is added to the residual stream, so that only random numbers can tell the values apart."""
    assert len(set(said(vispa, TEXTS[2]))) == 1
    assert len(set(said(vispa, TEXTS[2], temperature=1.0))) == 3


def test_prompts_seeds_and_values_each_have_their_numbers(llama: LoadedModel) -> None:
    rows = [Row(raw_prompt(llama, text), steers) for text in TEXTS for steers in ((), (Steer("calm"),), (Steer("x"),))]
    draws = drawing.draws([*rows, replace(rows[0], seed=1)], SAMPLED)
    draws = torch.cat([draws, drawing.draws(rows, replace(SAMPLED, seed=4))])
    assert len({tuple(row) for row in draws.tolist()}) == 2 * len(rows) + 1
    again = drawing.draws(rows[:2], SAMPLED)
    assert torch.equal(again, draws[:2])
    longer = drawing.draws(rows[:2], replace(SAMPLED, max_new_tokens=40))
    assert torch.equal(longer[:, :12], again)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_text_does_not_depend_on_its_batch(llama: LoadedModel, count: int) -> None:
    rows = [Row(raw_prompt(llama, text)) for text in TEXTS]
    together = drawn(llama, rows, SAMPLED)
    for start in range(0, len(rows), count):
        assert drawn(llama, rows[start : start + count][::-1], SAMPLED)[::-1] == together[start : start + count]


@pytest.mark.parametrize("temperature", [1e-45, 1e-20, 1e-6])
def test_a_tiny_temperature_is_greedy(llama: LoadedModel, temperature: float) -> None:
    rows = [Row(raw_prompt(llama, text)) for text in TEXTS]
    assert drawn(llama, rows, Sampling(6, temperature=temperature)) == drawn(llama, rows, Sampling(6))


@pytest.mark.parametrize("top_p", [1e-9, 1e-30, 1e-46, 5e-324])
def test_top_p_near_zero_is_greedy(top_p: float, llama: LoadedModel) -> None:
    rows = [Row(raw_prompt(llama, text)) for text in TEXTS]
    assert drawn(llama, rows, Sampling(6, temperature=5.0, top_p=top_p)) == drawn(llama, rows, Sampling(6))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("draw", [0.0, 0.5, 1 - 2**-24])
def test_every_share_and_temperature_draws_a_token(dtype: torch.dtype, draw: float) -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0, -torch.inf]], dtype=dtype)
    ends = (5e-324, 1e-46, 1e-30, 0.5, 1 - 1e-16)
    for temperature, top_p in itertools.product((*ends, 1e30, 1e39, 1e308), (*ends, 1.0)):
        (token,) = drawing.drawn_tokens(logits, [Sampling(1, temperature, top_p)], torch.tensor([draw])).tolist()
        # At the greatest temperatures all are as likely, and there is no likeliest one.
        sure = temperature <= 1e-30 or (top_p <= 1e-30 and temperature < 1e30)
        assert token in ((1,) if sure else (0, 1, 2)), (temperature, top_p)


def test_tokens_are_drawn_as_often_as_is_likely() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.2])).expand(6000, 3)
    draws = torch.rand(6000, generator=torch.Generator().manual_seed(0))
    for sampling, expected in (
        (Sampling(temperature=1.0), [0.5, 0.3, 0.2]),
        (Sampling(temperature=1.0, top_p=0.7), [0.625, 0.375, 0.0]),
        (Sampling(temperature=0.5), [25 / 38, 9 / 38, 4 / 38]),
    ):
        shares = torch.bincount(drawing.drawn_tokens(logits, [sampling] * 6000, draws), minlength=3) / 6000
        assert shares.tolist() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", "1"),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("top_p", True),
        ("seed", 1.5),
        ("max_new_tokens", 0),
    ],
)
def test_sampling_that_cannot_be_is_refused(vispa: Vispa, field: str, given: object) -> None:
    with pytest.raises(InputError, match=field.replace("_", "-")):
        vispa.respond("Feeding a stray cat", **{field: given})  # type: ignore[arg-type]


DOORS: dict[str, Callable[[Vispa, dict[str, Any]], object]] = {
    "respond": lambda vispa, how: vispa.respond(TEXTS[0], **how),
    "respond_one": lambda vispa, how: vispa.respond_one(Request(TEXTS[0]), **how),
    "respond_many": lambda vispa, how: vispa.respond_many([Request(TEXTS[0])], **how),
    "arespond": lambda vispa, how: asyncio.run(vispa.arespond(TEXTS[0], **how)),
    "stream": lambda vispa, how: asyncio.run(anext(vispa.stream(TEXTS[0], **how))),  # type: ignore[arg-type]
    "an evaluation": lambda vispa, how: Bench(vispa, **how),
}


@pytest.mark.parametrize("how", [{"top_p": 0.9}, {"top_p": 1e-9, "temperature": 0}, {"top_p": 0.5, "seed": 3}])
@pytest.mark.parametrize("door", DOORS)
def test_a_share_of_what_is_not_sampled_is_refused(vispa: Vispa, door: str, how: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"top-p: has no effect at temperature 0.* or give a temperature"):
        DOORS[door](vispa, how)


@pytest.mark.parametrize("how", [{"top_p": 1}, {"top_p": 1.0, "temperature": 0.0}, {"top_p": 0.9, "temperature": 0.1}])
def test_other_shares_are_taken(how: dict[str, Any]) -> None:
    assert Sampling(**how).top_p == how["top_p"]


def test_only_what_has_an_effect_counts() -> None:
    assert Sampling(9, seed=4).effective() == Sampling(9, top_p=1).effective() == {"max_new_tokens": 9}
    assert Sampling(9, 0.7, 0.9, 4).effective() == {"max_new_tokens": 9, "temperature": 0.7, "top_p": 0.9, "seed": 4}
