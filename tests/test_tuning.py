"""`vispa tune`: a model's own recipe, on the embedded model with a few values."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace

import pytest
import torch

from vispa.cli.main import app
from vispa.errors import InputError
from vispa.files.reading import read_toml
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoder import load_encoder
from vispa.models.loading import EMBEDDED, load_model
from vispa.steering.bank_cache import bank_path, cached_bank
from vispa.steering.recipe import Recipe, portable_recipe
from vispa.study.expression import asked_situations
from vispa.study.known import tuning_pairs
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy
from vispa.tuning.clock import Clock
from vispa.tuning.search import REFINED, Search
from vispa.tuning.situations import development_situations
from vispa.tuning.standing import with_standing, without_standing
from vispa.tuning.trials import Bench, Trial
from vispa.tuning.tune import tune

_VALUES = ("karma", "honor", "hedonism", "tradition")


@pytest.fixture(scope="module")
def taxonomy():
    return Taxonomy.built_in()


@pytest.fixture(scope="module")
def loaded():
    return load_model(EMBEDDED)


@pytest.fixture(scope="module")
def judge(taxonomy):
    return ValueJudge(load_encoder(), tuning_pairs(taxonomy))


def _search(loaded, taxonomy, judge, seconds=3600.0, seed=0):
    engine = TransformersEngine(loaded, cached_bank(loaded, taxonomy))
    situations = asked_situations(loaded, development_situations())
    return Search(Bench(engine, judge, situations, taxonomy, _VALUES, 12), Clock(time.monotonic() + seconds), seed)


@pytest.fixture(scope="module")
def searched(loaded, taxonomy, judge):
    search = _search(loaded, taxonomy, judge)
    return search, search.run((portable_recipe(),))


def test_development_situations_are_many_and_distinct():
    found = development_situations()
    assert len(found) == len(set(found)) >= 60


def test_every_round_is_measured_and_the_best_finalist_wins(searched):
    search, best = searched
    rounds = [name for name, _ in search.trials]
    assert set(rounds) >= {"screening blocks", "runs of blocks", "strengths", "finalists"}
    final = [one for name, one in search.trials if name == "finalists"]
    assert best.score >= max(one.score for one in final) - 0.02
    fallback = next(one for one in final if one.recipe == portable_recipe())
    assert best.score > fallback.score
    assert any("chosen" in reason for reason in search.reasons)


def test_directions_are_refined_and_no_situation_serves_two_rounds(searched):
    search, _ = searched
    assert REFINED in search.bench.engine.bank.entries
    assert any(name == "refined strengths" for name, _ in search.trials)


def test_what_directions_were_refined_from_stays_in_the_running(searched):
    search, _ = searched
    final = [one.recipe for name, one in search.trials if name == "finalists"]
    fitted = {one.recipe for name, one in search.trials if name == "strengths"}
    assert final[0].estimator == REFINED and len([one for one in final if one in fitted]) == 1, final


@pytest.mark.parametrize("worth", [0.0, 0.2, 0.9])
def test_refined_directions_are_chosen_where_they_are_better(loaded, taxonomy, judge, monkeypatch, worth):
    """A base model's few comments taught directions that were worse than those that they were refined from."""
    search = _search(loaded, taxonomy, judge)
    monkeypatch.setattr(Trial, "score", property(lambda one: worth if one.recipe.estimator == REFINED else 0.5))
    best = search.run((portable_recipe(),))
    assert (best.recipe.estimator == REFINED) == (worth > 0.5)


def test_the_same_seed_finds_the_same_recipe(loaded, taxonomy, judge, searched):
    again = _search(loaded, taxonomy, judge)
    assert again.run((portable_recipe(),)).recipe == searched[1].recipe
    assert [one.figures for _, one in again.trials] == [one.figures for _, one in searched[0].trials]


def test_without_time_the_fallback_is_measured_and_said_to_be_all(loaded, taxonomy, judge):
    search = _search(loaded, taxonomy, judge, seconds=-1.0)
    best = search.run((portable_recipe(),))
    assert best.recipe == portable_recipe()
    assert any("There was no time" in reason for reason in search.reasons)


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan")])
def test_a_budget_of_nothing_is_refused(loaded, taxonomy, minutes):
    with pytest.raises(InputError, match="minutes"):
        tune(loaded, taxonomy, minutes=minutes)


# Hardly steers, by refined directions, which a search would replace; the portable recipe is better.
_WEAK = Recipe(REFINED, blocks=(0,), magnitude="coefficient", amount=0.001, minimal_quality=0.0)


@pytest.mark.parametrize("standing", ["good", "weak"])
def test_the_command_keeps_what_is_better_and_writes_recipe_table_and_figure(
    tmp_path, monkeypatch, loaded, taxonomy, standing
):
    from typer.testing import CliRunner

    bank = cached_bank(loaded, taxonomy)
    if standing == "weak":
        entry = bank.entries["one_versus_others_sink_free"]
        bank = replace(bank, entries={**bank.entries, REFINED: replace(entry, imported=True)})
        bank = bank.with_tuned(_WEAK, {"chosen": "by hand"})
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    bank.save(bank_path(loaded, taxonomy))
    before = bank_path(loaded, taxonomy).read_bytes()
    folder = tmp_path / "tuning"
    result = CliRunner().invoke(app, ["tune", "embedded", "--minutes", "0.001", "-o", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert {"recipe", "reasons", "frontier", "chosen"} <= summary.keys()
    assert summary["is_new"] is (standing == "weak")
    recipe = Recipe.from_mapping(read_toml(folder / "recipe.toml"), "recipe.toml")
    assert recipe == (portable_recipe() if standing == "weak" else bank.recipe)  # no time for another
    kept = cached_bank(loaded, taxonomy)
    assert kept.recipe == recipe and set(kept.entries) == set(bank.entries)
    if standing == "weak":
        assert kept.tuning["reasons"] == summary["reasons"]
    else:
        assert bank_path(loaded, taxonomy).read_bytes() == before
        assert summary["reasons"][-1].startswith("The recipe that the model has stays")
    rows = list(csv.DictReader((folder / "frontier.csv").open(encoding="utf-8")))
    assert len(rows) == len(summary["frontier"]) and rows[-1]["round"] == "finalists"
    assert {row["recipe"].split(",")[0] for row in rows} >= {"one_versus_others_sink_free"}
    assert (folder / "frontier.png").read_bytes().startswith(b"\x89PNG")


def test_refined_directions_of_before_stay_until_they_are_beaten(loaded, taxonomy):
    bank = cached_bank(loaded, taxonomy)
    entry = bank.entries["one_versus_others_sink_free"]
    bank = replace(bank, entries={**bank.entries, REFINED: replace(entry, imported=True)}, recipe=_WEAK)
    measured = replace(_WEAK, magnitude="kl", amount=0.3)
    bank = bank.with_strengths(measured, dict.fromkeys(bank.info.values, 0.05))
    aside, standing = with_standing(bank)
    zeros = replace(entry, directions=replace(entry.directions, vectors=torch.zeros_like(entry.directions.vectors)))
    searched = replace(aside, entries={**aside.entries, REFINED: zeros})
    assert searched.steers("karma", standing) and not searched.steers("karma", _WEAK)
    assert not aside.unmeasured(replace(measured, estimator=standing.estimator))
    assert set(without_standing(aside).entries) == set(bank.entries)
    assert without_standing(aside).strengths == bank.strengths
