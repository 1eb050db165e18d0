"""Which finalist of `vispa tune` is kept, and what is said where the time ends or a model says nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import write_taxonomy
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.generation.rows import Generated
from vispa.generation.transformers import TransformersEngine
from vispa.models.loading import EMBEDDED, LoadedModel, load_model
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import cached_bank
from vispa.steering.bank_parts import REFINED
from vispa.steering.recipe import Recipe, portable_recipe
from vispa.study.expression import asked_situations
from vispa.taxonomy import Taxonomy
from vispa.tuning import refining
from vispa.tuning import tune as tuning
from vispa.tuning.clock import Clock
from vispa.tuning.examples import Example
from vispa.tuning.search import ESTIMATOR, Search
from vispa.tuning.situations import development_situations
from vispa.tuning.trials import Bench, Trial
from vispa.tuning.tune import Tuned, tune

_REFINED = Recipe(REFINED, blocks=(1,), magnitude="coefficient", amount=1.0, minimal_quality=0.0)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(EMBEDDED)


@pytest.fixture(scope="module")
def bank(loaded: LoadedModel) -> VectorBank:
    return cached_bank(loaded, Taxonomy.built_in(), estimators=(ESTIMATOR,))


def _with_refined(bank: VectorBank, factor: float) -> VectorBank:
    """The bank with refined directions that are multiples of fitted ones."""
    entry = bank.entries[ESTIMATOR]
    directions = replace(entry.directions, vectors=factor * entry.directions.vectors)
    return replace(bank, entries={**bank.entries, REFINED: replace(entry, directions=directions, imported=True)})


Tuning = Callable[..., tuple[Tuned, list[VectorBank]]]


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel) -> Tuning:
    """Tuning of a bank whose finalists have these harmonic means and expressions; gives also what was saved."""

    def run(
        bank: VectorBank, had: tuple[float, float], others: Sequence[tuple[Recipe, float, float]]
    ) -> tuple[Tuned, list[VectorBank]]:
        kept: list[VectorBank] = []

        def searched(search: Search, given: Sequence[Recipe]) -> Trial:
            # A search replaces the refined directions, whatever becomes of them.
            search.bench.engine.bank = _with_refined(search.bench.engine.bank or bank, -1.0)
            expression: Any = SimpleNamespace(texts=[])
            found = [
                Trial(recipe, expression, expression, {"harmonic_mean": score, "expression": expressed})
                for recipe, score, expressed in ((given[0], *had), *others)
            ]

            def finalists(*_: Any, **__: Any) -> list[Trial]:
                search.trials.extend(("finalists", one) for one in found)
                return found

            monkeypatch.setattr(search, "_round", finalists)
            return search._final([one.recipe for one in found])

        monkeypatch.setattr(tuning, "ValueJudge", lambda *_: None)
        monkeypatch.setattr(tuning, "cached_bank", lambda *_, **__: bank)
        monkeypatch.setattr(tuning, "keep_tuned", kept.append)
        monkeypatch.setattr(Search, "run", searched)
        return tune(loaded, Taxonomy.built_in(), minutes=1.0), kept

    return run


def _other(number: int) -> Recipe:
    return replace(portable_recipe(), amount=0.1 + number / 100)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        # The more expressive one is alike to the best, but no better than the model's own.
        ([(0.525, 0.5), (0.512, 0.6)], 0),
        ([(0.53, 0.5), (0.5105, 0.9), (0.52, 0.99)], 0),
        # Of two that are better, and alike, the more expressive one.
        ([(0.55, 0.5), (0.535, 0.6), (0.512, 0.7)], 1),
        ([(0.9, 0.5), (0.6, 0.6)], 0),
        # None is better by more than 0.02.
        ([(0.519, 0.9), (0.51, 0.5)], None),
        ([(0.515, 0.5)], None),
        ([(0.5, 0.6)], None),
        ([(0.4, 0.9)], None),
    ],
)
def test_a_finalist_that_is_clearly_better_than_the_models_own_is_kept(
    tuned: Tuning, bank: VectorBank, others: list[tuple[float, float]], chosen: int | None
) -> None:
    found, kept = tuned(bank, (0.5, 0.5), [(_other(place), *each) for place, each in enumerate(others)])
    assert found.is_new is (chosen is not None)
    assert found.chosen.recipe == found.bank.recipe == (bank.recipe if chosen is None else _other(chosen))
    assert kept == ([] if chosen is None else [found.bank])
    stays = "The recipe that the model has stays: none is better by more than 0.02."
    assert (stays in found.reasons) is (chosen is None)
    labels = [reason.split(":")[0] for reason in found.reasons if reason.startswith("Final")]
    at = 0 if chosen is None else chosen + 1
    assert labels == ["Final, chosen" if place == at else "Final, rejected" for place in range(len(others) + 1)]


@pytest.mark.parametrize(("score", "is_new"), [(0.4, False), (0.48, False), (0.505, True), (0.6, True)])
def test_a_model_without_a_tuned_recipe_keeps_a_record_and_only_another_recipe_is_new(
    tuned: Tuning, bank: VectorBank, score: float, is_new: bool
) -> None:
    untuned = replace(bank, recipe=portable_recipe(), tuning=None)
    found, kept = tuned(untuned, (0.5, 0.5), [(_other(1), score, 0.5)])
    assert found.is_new is is_new and found.bank.recipe == (_other(1) if is_new else portable_recipe())
    assert kept == [found.bank] and found.bank.tuning == found.record


@pytest.mark.parametrize("own", [None, _REFINED], ids=["fitted", "refined"])
@pytest.mark.parametrize("uses", [False, True], ids=["not used", "used"])
def test_refined_directions_are_kept_only_for_a_recipe_that_uses_them(
    tuned: Tuning, bank: VectorBank, own: Recipe | None, uses: bool
) -> None:
    before = _with_refined(bank, 2.0)
    before = before if own is None else before.with_tuned(own, {"chosen": "by hand"})
    winner = replace(_REFINED, amount=0.5) if uses else _other(1)
    found, _ = tuned(before, (0.5, 0.5), [(winner, 0.6, 0.6)])
    assert found.bank.recipe == winner and set(found.bank.entries) == set(before.entries)
    expected = (-1.0 if uses else 2.0) * bank.entries[ESTIMATOR].directions.vectors
    assert torch.equal(found.bank.entries[REFINED].directions.vectors, expected)


def _search(bank: VectorBank, loaded: LoadedModel) -> Search:
    situations = asked_situations(loaded, development_situations()[:1])
    engine = TransformersEngine(loaded, bank)
    judge: Any = None
    return Search(Bench(engine, judge, situations, Taxonomy.built_in(), bank.info.values, 8), Clock(float("inf")))


@pytest.mark.parametrize("ends", ["before", "while examples are written", "never"])
def test_refining_that_learnt_nothing_is_not_said_to_have_been(
    monkeypatch: pytest.MonkeyPatch, bank: VectorBank, loaded: LoadedModel, ends: str
) -> None:
    search = _search(bank, loaded)
    recipe = Recipe(ESTIMATOR, blocks=(1,), magnitude="residual", amount=0.1, minimal_quality=0.0)
    best: Any = SimpleNamespace(recipe=recipe)

    def written(_: Recipe) -> list[Example]:
        if ends != "never":
            search.clock.end = 0.0
        return [Example(0, search.bench.situations[0].plain, "It is good.")] * 2

    monkeypatch.setattr(search, "_examples", written)
    monkeypatch.setattr(search, "_round", lambda *_, **__: [])
    if ends == "before":
        search.clock.end = 0.0
    assert search._refine(best) is None
    kept = search.bench.engine.bank
    assert kept is not None
    if ends == "never":
        assert search.reasons == ["Directions were refined on 2 of the model's own comments."]
        assert not torch.equal(kept.entries[REFINED].directions.vectors, bank.entries[ESTIMATOR].directions.vectors)
    else:
        assert search.reasons == ["There was no time for the round on refining directions."] and kept is bank


@pytest.mark.parametrize("watched", [True, False], ids=["progress", "silent"])
@pytest.mark.parametrize(
    ("ends", "why"),
    [
        ("flat", "every gradient was 0"),
        ("short", "those of their values have no length, which refining does not add to"),
        ("overflown", "they became numbers that are not finite"),
    ],
)
def test_why_directions_were_not_refined_is_said_where_time_was_left(
    monkeypatch: pytest.MonkeyPatch, bank: VectorBank, loaded: LoadedModel, ends: str, why: str, watched: bool
) -> None:
    if ends == "short":
        entry = bank.entries[ESTIMATOR]
        vectors = entry.directions.vectors.clone()
        vectors[0] = 0
        short = replace(entry, directions=replace(entry.directions, vectors=vectors))
        bank = replace(bank, entries={**bank.entries, ESTIMATOR: short})
    else:
        slope = {"flat": 0.0, "overflown": float("inf")}[ends]
        monkeypatch.setattr(refining, "_loss", lambda _, vectors, *__: (slope * vectors).sum())
    search = _search(bank, loaded)
    told: list[tuple[str, int, int]] = []
    search.progress = (lambda *what: told.append(what)) if watched else None
    example = Example(0, search.bench.situations[0].plain, "It is good.")
    monkeypatch.setattr(search, "_examples", lambda _: [example] * 3)
    recipe = Recipe(ESTIMATOR, blocks=(1,), magnitude="residual", amount=0.1, minimal_quality=0.0)
    best: Any = SimpleNamespace(recipe=recipe)
    assert search._refine(best) is None
    assert search.reasons == [f"Directions were not refined on 3 of the model's own comments: {why}."]
    assert search.bench.engine.bank is bank and search.trials == []
    assert sum(count for _, count, _ in told) == (12 if watched else 0)


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        (lambda block: 1.0 if block == 2 else 0.5, "blocks around 2, 1 give most"),
        (lambda _: 0.5, "no block gives anything; blocks around 0, 1 are tried"),
        (lambda _: 0.1, "no block gives anything; blocks around 0, 1 are tried"),
    ],
    ids=["one", "chance", "below chance"],
)
def test_blocks_of_which_none_gives_anything_are_not_said_to_give_most(
    monkeypatch: pytest.MonkeyPatch, bank: VectorBank, loaded: LoadedModel, heard: Callable[[int], float], said: str
) -> None:
    search = _search(bank, loaded)

    def found(_: str, recipes: Sequence[Recipe], *__: Any, **___: Any) -> list[Any]:
        figures = [{"rank": heard(one.blocks[0]), "relation": 1.0, "fluency": 1.0} for one in recipes]
        return [SimpleNamespace(figures=own) for own in figures]

    monkeypatch.setattr(search, "_round", found)
    search._screen()
    assert search.reasons == [f"Steered alone, {said}."]


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_the_command_and_the_bank_say_why_directions_were_not_refined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    recipe = Recipe(ESTIMATOR, blocks=(1,), magnitude="residual", amount=0.1, minimal_quality=0.0)

    def examples(search: Search, _: Recipe) -> list[Example]:
        return [Example(0, search.bench.situations[0].plain, "It is good.")]

    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Search, "_screen", lambda _: [])
    monkeypatch.setattr(Search, "_strength", lambda *_: SimpleNamespace(recipe=recipe))
    monkeypatch.setattr(Search, "_examples", examples)
    monkeypatch.setattr(refining, "_loss", lambda _, vectors, *__: 0 * vectors.sum())
    # A model without a recipe of its own keeps the record whatever is chosen.
    monkeypatch.setattr(tuning, "is_tuned", lambda _: False)
    given = ["tune", EMBEDDED, "--taxonomy", str(write_taxonomy(tmp_path)), "--minutes", "60"]
    result = CliRunner().invoke(app, [*given, *(["--json"] if as_json else [])])
    assert result.exit_code == 0, result.output
    said = "Directions were not refined on 1 of the model's own comments: every gradient was 0."
    told = json.loads(result.stdout)["reasons"] if as_json else result.stdout.splitlines()
    record = cached_bank(load_model(EMBEDDED), Taxonomy.load(tmp_path)).tuning
    assert record is not None
    for reasons in (told, record["reasons"]):
        assert said in reasons and not any("time" in reason for reason in reasons)


def _refuse(word: str) -> None:
    pytest.fail(f"{word} is not JSON")


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Empties comments: of the steered model, of the unsteered one, or of both."""
    generate = TransformersEngine.generate

    def empty(whose: str) -> None:
        def generated(self: Any, rows: Any, *how: Any, **more: Any) -> list[Generated]:
            sides = {"steered": (True,), "unsteered": (False,), "both": (True, False)}[whose]
            found = generate(self, rows, *how, **more)
            return [
                replace(one, text="", ids=()) if bool(row.steers) in sides else one
                for row, one in zip(rows, found, strict=True)
            ]

        monkeypatch.setattr(TransformersEngine, "generate", generated)

    return empty


@pytest.mark.filterwarnings("error:Mean of empty slice")
def test_what_cannot_be_measured_is_null_in_json_and_nothing_in_the_table(
    tmp_path: Path, silent: Callable[[str], None]
) -> None:
    silent("steered")
    folder = tmp_path / "tuning"
    own = str(write_taxonomy(tmp_path))
    given = ["tune", EMBEDDED, "--taxonomy", own, "--minutes", "0.0001", "-o", str(folder)]
    result = CliRunner().invoke(app, [*given, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout, parse_constant=_refuse)
    assert found["chosen"]["nll"] is None and found["chosen"]["fluency"] == 0.0
    assert "nan" not in (folder / "frontier.csv").read_text(encoding="utf-8")
    kept = cached_bank(load_model(EMBEDDED), Taxonomy.load(tmp_path)).tuning
    json.loads(json.dumps(kept, allow_nan=False))
    shown = CliRunner().invoke(app, given)
    assert "nan" not in shown.output and "nll            –" in shown.output


@pytest.mark.parametrize("whose", ["unsteered", "both"])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_a_model_that_says_nothing_is_not_tuned(
    tmp_path: Path, silent: Callable[[str], None], whose: str, form: list[str]
) -> None:
    silent(whose)
    own = str(write_taxonomy(tmp_path))
    result = CliRunner().invoke(app, ["tune", EMBEDDED, "--taxonomy", own, "--minutes", "0.0001", *form])
    assert result.exit_code != 0 and not result.stdout
    assert "model: says nothing of any of 8 situations" in str(result.exception) + result.output
