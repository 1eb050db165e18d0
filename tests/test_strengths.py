"""Strength by effect: divergences against a slow reference, the search, what is kept and what is refused."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vispa.errors import InputError
from vispa.files import caching
from vispa.generation import strengths
from vispa.generation.bisection import Search, searched
from vispa.generation.divergence import divergences, plain_texts
from vispa.generation.prompts import everyday_prompts
from vispa.generation.strengths import QUANTILE, TOKENS, measure_strengths, measured_bank
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import chat_prompt, raw_prompt
from vispa.models.loading import LoadedModel
from vispa.pipeline import Vispa
from vispa.request import Sampling
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import bank_path, cached_bank
from vispa.steering.fitting import fit_bank
from vispa.steering.recipe import Recipe, Scope, Steer
from vispa.study.dose import dose_response
from vispa.taxonomy import Taxonomy

RESIDUAL = Recipe("one_versus_others", (1, 2), magnitude="residual", amount=0.5, minimal_quality=0.0)
KL = replace(RESIDUAL, magnitude="kl", amount=0.05)
TEXTS = ("Lying to my boss", "A walk", "Giving all my savings to somebody I have never met")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(caching, "_said", set())


@pytest.fixture(scope="module")
def bank(llama: LoadedModel, small_taxonomy: Taxonomy) -> VectorBank:
    return fit_bank(llama, small_taxonomy)


# ---------------------------------------------------------------- divergences


def slow_log_probabilities(
    loaded: LoadedModel, prompt: tuple[int, ...], said: tuple[int, ...], shifts: dict[int, torch.Tensor], scope: Scope
) -> torch.Tensor:
    """Log probabilities before every token of `said`, one prompt and token at a time, without a cache."""
    rows = []
    for count in range(len(said)):
        ids = prompt + said[:count]
        first, last = {"all": (0, len(ids)), "prompt": (0, len(prompt)), "generated": (len(prompt), len(ids))}.get(
            scope, (len(prompt) - 1, len(ids))
        )

        def shifted(block: int, output: torch.Tensor, first: int = first, last: int = last) -> torch.Tensor:
            output = output.clone()
            output[:, first:last] += shifts[block]
            return output

        handles = [
            loaded.blocks[block].register_forward_hook(
                lambda _m, _i, output, block=block: (
                    (shifted(block, output[0]), *output[1:]) if isinstance(output, tuple) else shifted(block, output)
                )
            )
            for block in shifts
        ]
        try:
            with torch.inference_mode():
                rows.append(loaded.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].double())
        finally:
            for handle in handles:
                handle.remove()
    return torch.stack(rows).log_softmax(-1)


@pytest.mark.parametrize("scope", ["all", "prompt", "generated", "last"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("llama", {}), ("gpt2", {}), ("mistral", {"sliding_window": 12}), ("gemma3_text", {"head_dim": 16})],
)
def test_divergences_are_those_of_single_passes_token_by_token(
    make_model: Callable[..., LoadedModel], small_taxonomy: Taxonomy, kind: str, options: dict[str, int], scope: Scope
) -> None:
    loaded = make_model(kind, **options)
    bank = fit_bank(loaded, small_taxonomy)
    recipe = replace(RESIDUAL, scope=scope)
    engine = TransformersEngine(loaded, bank, recipe)
    texts = plain_texts(engine, [raw_prompt(loaded, text) for text in TEXTS], 5)
    rows = [(text, Steer(value, weight)) for value, weight in (("calm", 1.0), ("candor", 0.3)) for text in range(3)]
    for (place, steer), found in zip(rows, divergences(engine, texts, rows), strict=True):
        text, row = texts[place], bank.row(steer.value)
        shifts = {}
        for block in (1, 2):
            vector = bank.entry("one_versus_others").directions.vectors[row, block]
            shifts[block] = vector / vector.norm() * steer.weight * 0.5 * bank.residual_norm[block]
        plain = slow_log_probabilities(loaded, text.prompt.ids, text.ids, {}, scope)
        moved = slow_log_probabilities(loaded, text.prompt.ids, text.ids, shifts, scope)
        assert text.ids == tuple(plain.argmax(-1).tolist())
        expected = (moved.exp() * (moved - plain)).sum(-1).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
        assert expected.max() > 1e-3


def test_a_shift_of_nothing_moves_nothing(llama: LoadedModel, bank: VectorBank) -> None:
    engine = TransformersEngine(llama, bank, RESIDUAL)
    texts = plain_texts(engine, [raw_prompt(llama, "A walk")], 1)
    assert [len(text.ids) for text in texts] == [1]
    (found,) = divergences(engine, texts, [(0, Steer("calm", 0.0))])
    assert found == pytest.approx([0.0], abs=1e-6)


# ---------------------------------------------------------------- the search

CURVES: tuple[Callable[[float], float], ...] = (
    lambda x: 40 * x**2,
    lambda x: 300 * x**3,
    lambda x: 5 * x,
    lambda x: math.expm1(9 * x),
    lambda x: 3 * x**2 / (0.02 + x**2),
    lambda x: 0.4 * x if x < 0.3 else 8 * x,
)


def test_growing_functions_are_brought_to_their_targets_side_by_side() -> None:
    asked: list[int] = []

    def values(places: list[int], arguments: list[float]) -> list[float]:
        asked.append(len(places))
        return [CURVES[place](argument) for place, argument in zip(places, arguments, strict=True)]

    searches = [Search(1.0, (0.001, 1.0), 0.04) for _ in CURVES]
    ended: list[int] = []
    searched(values, searches, ended.append)
    for curve, search in list(zip(CURVES, searches, strict=True))[:-1]:
        assert search.reached and curve(search.best[1]) == pytest.approx(1.0, rel=0.06)
    # The last one leaps over its target.
    assert not searches[-1].reached and searches[-1].best[1] == pytest.approx(0.3, rel=0.2)
    assert asked[0] == len(CURVES) and sorted(asked, reverse=True) == asked and len(asked) <= 10
    assert sum(ended) == sum(search.ended for search in searches)


def test_greater_targets_take_greater_arguments() -> None:
    for curve in CURVES[:-1]:
        found = []
        for target in (0.1, 0.3, 1.0, 2.0):
            search = Search(target, (0.001, 1.0), 0.04)
            searched(lambda _, arguments: [curve(arguments[0])], [search])  # noqa: B023
            found.append(search.best[1])
        assert found == sorted(set(found))


@pytest.mark.parametrize(
    ("curve", "bound"),
    [(lambda x: 0.1 * x, 0.5), (lambda x: 0.0, 0.5), (lambda x: 5.0, 0.01), (lambda x: math.inf, 0.01)],
)
def test_targets_beyond_the_bounds_end_at_them(curve: Callable[[float], float], bound: float) -> None:
    search = Search(1.0, (0.01, 0.5), 0.04)
    searched(lambda _, arguments: [curve(arguments[0])], [search])
    assert search.ended and not search.reached
    assert search.argument == search.best[1] == bound


# ---------------------------------------------------------------- strengths


def test_every_value_of_the_embedded_model_comes_out_as_strong_as_asked() -> None:
    vispa = Vispa.embedded()
    recipe = replace(vispa.recipe, magnitude="kl", amount=0.5, amounts={"honor": 0.25})
    prompts = [chat_prompt(vispa.model, text) for text in everyday_prompts()[:4]]
    values = ("karma", "honor", "power")
    found = measure_strengths(vispa.model, vispa.bank, recipe, prompts, values=values)
    assert found.unreached == () and list(found.fractions) == list(values)
    again = measure_strengths(vispa.model, vispa.bank, recipe, prompts, values=values)
    assert again == found
    # Read again, as a reader would steer with them.
    bank = vispa.bank.with_strengths(recipe, found.fractions)
    engine = TransformersEngine(vispa.model, bank, recipe)
    texts = plain_texts(engine, prompts, TOKENS)
    for value in values:
        tokens = np.concatenate(divergences(engine, texts, [(place, Steer(value)) for place in range(4)]))
        assert np.quantile(tokens, QUANTILE) == pytest.approx(recipe.amount_for(value), rel=0.1)


@pytest.mark.usefixtures("cache")
def test_an_unreachable_target_takes_the_bound_and_is_said(
    llama: LoadedModel, bank: VectorBank, caplog: pytest.LogCaptureFixture
) -> None:
    capped = replace(KL, amount=50.0, cap=0.2)
    prompts = [raw_prompt(llama, text) for text in TEXTS]
    with caplog.at_level(logging.WARNING):
        measured = measured_bank(llama, bank, capped, prompts=prompts)
    assert {measured.amount(value, capped) for value in bank.info.values} == {0.2}
    assert "At no fraction" in caplog.text and "candor (" in caplog.text
    found = measure_strengths(llama, bank, capped, prompts)
    assert found.unreached == bank.info.values and all(0 < one < 50 for one in found.divergences.values())


def test_a_value_that_the_recipe_does_not_steer_is_not_measured(llama: LoadedModel, bank: VectorBank) -> None:
    nowhere = replace(KL, minimal_quality=2.0)
    found = measure_strengths(llama, bank, nowhere, [raw_prompt(llama, "A walk")])
    assert found.divergences == {} and found.unreached == () and set(found.fractions) == set(bank.info.values)


@pytest.mark.usefixtures("cache")
def test_strengths_are_measured_once_and_kept(
    llama: LoadedModel, small_taxonomy: Taxonomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, int]] = []
    bank = cached_bank(llama, small_taxonomy)
    assert measured_bank(llama, bank, RESIDUAL) is bank
    measured = measured_bank(llama, bank, KL, progress=lambda *done: told.append(done))
    assert {(stage, most) for stage, _, most in told} == {("measuring strengths", 3)}
    assert sum(done for _, done, _ in told) == 3
    monkeypatch.setattr(strengths, "measure_strengths", None)
    kept = cached_bank(llama, small_taxonomy)
    assert measured_bank(llama, kept, KL) is kept and kept.strengths == measured.strengths
    assert kept.fingerprint == bank.fingerprint and kept.recipe == bank.recipe
    # Fitted anew, the directions may be others.
    assert cached_bank(llama, small_taxonomy, force=True).strengths == {}


@pytest.mark.usefixtures("cache")
def test_only_what_is_missing_is_measured(
    llama: LoadedModel, small_taxonomy: Taxonomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = measured_bank(llama, cached_bank(llama, small_taxonomy), KL)
    asked = []
    measure = measure_strengths

    def told(*given: object, values: object, **how: object) -> object:
        asked.append(values)
        return measure(*given, values=values, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(strengths, "measure_strengths", told)
    other = replace(KL, amounts={"calm": 0.1})
    measured = measured_bank(llama, bank, other)
    assert asked == [("calm",)] and measured.amount("calm", other) > measured.amount("calm", KL)
    assert measured.amount("candor", other) == measured.amount("candor", KL)
    # Both records are in the file.
    assert VectorBank.load(bank_path(llama, small_taxonomy)).strengths == measured.strengths


@pytest.mark.usefixtures("cache")
def test_what_was_measured_is_kept_with_its_directions(
    llama: LoadedModel, small_taxonomy: Taxonomy, bank: VectorBank
) -> None:
    """Also where the cached bank, another than the one in use, lacks them."""
    path = bank_path(llama, small_taxonomy)
    path.parent.mkdir(parents=True)
    replace(bank, entries={"probe": bank.entries["probe"]}).save(path)
    measured = measured_bank(llama, bank, KL)
    kept = VectorBank.load(path)
    assert kept.entries.keys() == bank.entries.keys() and kept.strengths == measured.strengths


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("moved", ["vectors", "prompts"])
def test_strengths_of_other_directions_or_prompts_are_not_kept(
    llama: LoadedModel, small_taxonomy: Taxonomy, bank: VectorBank, moved: str
) -> None:
    path = bank_path(llama, small_taxonomy)
    path.parent.mkdir(parents=True)
    bank.save(path)
    prompts = [raw_prompt(llama, "A walk")] if moved == "prompts" else None
    if moved == "vectors":
        entry = bank.entry(KL.estimator)
        directions = replace(entry.directions, vectors=-entry.directions.vectors)
        bank = replace(bank, entries={**bank.entries, KL.estimator: replace(entry, directions=directions)})
    measured = measured_bank(llama, bank, KL, prompts=prompts)
    assert measured.strengths and not VectorBank.load(path).strengths
    if prompts:
        others = measured_bank(llama, measured, KL, prompts=[raw_prompt(llama, "Rain on the roof all night")])
        assert others.strengths != measured.strengths


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("changed", [{"half_life": 1.0}, {"scope": "generated"}])
def test_a_strength_is_of_all_that_it_was_measured_with(
    llama: LoadedModel, bank: VectorBank, changed: dict[str, Any]
) -> None:
    other = replace(KL, **changed)
    prompts = [raw_prompt(llama, "A walk")]
    measured = measured_bank(llama, bank, other, prompts=prompts)
    assert measured.unmeasured(KL) and not measured.unmeasured(other)
    found = measured_bank(llama, measured, KL, prompts=prompts)
    values = bank.info.values
    assert [found.amount(v, KL) for v in values] != [found.amount(v, other) for v in values]


@pytest.mark.usefixtures("cache")
def test_a_cache_that_cannot_be_used_stops_nothing(
    llama: LoadedModel, bank: VectorBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "file"))
    assert measured_bank(llama, bank, KL, prompts=[raw_prompt(llama, "A walk")]).unmeasured(KL) == ()


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (replace(KL, estimator="none"), "estimator: 'none' is not in the bank"),
        (replace(KL, blocks=(9,)), "blocks: 9 is not a block"),
        (replace(KL, amounts={"clam": 1.0}), "amounts: 'clam' is not a value"),
        (replace(KL, blocks=()), "blocks: names no block"),
    ],
)
def test_recipes_that_do_not_fit_are_refused_before_anything_is_measured(
    llama: LoadedModel, bank: VectorBank, monkeypatch: pytest.MonkeyPatch, recipe: Recipe, message: str
) -> None:
    monkeypatch.setattr(strengths, "plain_texts", None)
    with pytest.raises(InputError, match=message):
        measured_bank(llama, bank, recipe)


def test_a_dose_response_multiplies_what_was_measured(llama: LoadedModel, bank: VectorBank) -> None:
    prompts = [raw_prompt(llama, text) for text in TEXTS]
    measured = bank.with_strengths(KL, measure_strengths(llama, bank, KL, prompts).fractions)
    found = dose_response(
        llama, measured, prompts[:1], ["calm"], recipe=KL, magnitudes=(1.0, 2.0), sampling=Sampling(2)
    )
    once = measured.amount("calm", KL) * float(bank.residual_norm[1])
    assert [row.shift.get(1, 0.0) for row in found.rows] == pytest.approx([0.0, once, 2 * once], rel=1e-4)
    with pytest.raises(InputError, match="kl is not measured"):
        dose_response(llama, bank, prompts, ["calm"], recipe=KL)


def test_prompts_are_needed(llama: LoadedModel, bank: VectorBank) -> None:
    with pytest.raises(InputError, match="prompts: are none"):
        measure_strengths(llama, bank, KL, [])


@pytest.mark.usefixtures("cache")
def test_a_user_writes_the_magnitude_and_the_target_alone(small_taxonomy: Taxonomy) -> None:
    told: list[str] = []
    recipe = Recipe("one_versus_others", (1,), magnitude="kl", amount=0.2, minimal_quality=0.0)
    vispa = Vispa.from_pretrained(
        "embedded", taxonomy=small_taxonomy, recipe=recipe, progress=lambda stage, *_: told.append(stage)
    )
    assert "measuring strengths" in told
    answer = vispa.respond("Lying to my boss", values=("calm", "candor"), max_new_tokens=8)
    steering = answer.provenance.steering
    assert (steering.magnitude, steering.amount) == ("kl", 0.2)
    assert steering.strengths == {value: vispa.bank.amount(value, recipe) for value in ("calm", "candor")}
    norm = float(vispa.bank.residual_norm[1])
    for comment in answer.comments:
        assert comment.shift[1] == pytest.approx(steering.strengths[comment.value] * norm, rel=1e-4)
    with pytest.raises(InputError, match="kl is not measured"):
        vispa.variant(recipe=replace(recipe, amount=0.3))
