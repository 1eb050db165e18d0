"""The study of values that change: its figures against full fits and the product's selector, and its command."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import BagOfWords

from benchmarks.drift import answers, directions, selection
from benchmarks.drift.__main__ import main
from benchmarks.drift.answers import Answering, changes, others_of
from benchmarks.drift.changes import ADDED, HALVES, PAIRS, RENAMED, REWORDED, SPLIT, changed, new_pairs
from benchmarks.drift.directions import Read, Readings
from benchmarks.drift.section import draw, section
from vispa.models.encoder import load_encoder
from vispa.models.loading import load_model
from vispa.request import EMBEDDED
from vispa.selection.adapted import load_adapted
from vispa.selection.embedding import EmbeddingSelector
from vispa.steering.bank_cache import cached_bank
from vispa.steering.estimators.mean_difference import mean_difference
from vispa.steering.estimators.one_versus_others import OneVersusOthers
from vispa.study.known import KnownTexts, pair_sentences
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy


def random_read(seed: int, pairs: int = 12) -> Read:
    generator = torch.Generator().manual_seed(seed)
    shape = (pairs, 2, 5)
    return Read(*(torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2)))


@pytest.fixture(scope="module")
def readings() -> Readings:
    values = (*REWORDED, SPLIT, "honor", "karma")
    every = {slug: random_read(place) for place, slug in enumerate(values)}
    new = {
        slug: random_read(10 + place, 9) for place, slug in enumerate(path.stem for path in sorted(PAIRS.glob("*.csv")))
    }
    # What all have in common is not told by directions.
    means = torch.stack([one.expressing.mean(0) for one in every.values()])
    return Readings(values, means, {slug: every[slug] for slug in (*REWORDED, SPLIT)}, new)


def test_directions_after_a_change_are_those_of_a_full_fit(readings: Readings) -> None:
    others = {"honor": random_read(3), "karma": random_read(4)}
    halves = [one.slug for one in HALVES]
    read = {
        **{slug: readings.old[slug] for slug in REWORDED},
        **others,
        **{slug: readings.new[slug] for slug in halves},
    }
    fitted = OneVersusOthers().fit([one.expressing.float() for one in read.values()], []).vectors
    after = readings.after(without=(SPLIT,), added=halves)
    assert list(after) == list(read)
    torch.testing.assert_close(torch.stack(list(after.values())).float(), fitted)


def test_all_old_pairs_are_the_old_direction_and_all_new_ones_the_new(readings: Readings) -> None:
    slug, chance = REWORDED[0], np.random.default_rng(0)
    old, new = readings.old[slug], readings.new[slug]
    none = directions.mixed(old, new, 0.0, chance)
    assert directions.cosine(none.difference.mean(0), old.difference.mean(0)) == pytest.approx(1.0)
    half = directions.mixed(old, new, 0.5, chance)
    rows = {tuple(row.flatten().tolist()) for row in half.expressing}
    assert len(rows & {tuple(row.flatten().tolist()) for row in old.expressing}) == 6
    assert len(rows & {tuple(row.flatten().tolist()) for row in new.expressing}) == 6
    expected = mean_difference([new.expressing], [new.expressing - new.difference])[0]
    torch.testing.assert_close(new.difference.mean(0).float(), expected)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    read = random_read(5, 30)
    found = directions.jackknife(read, lambda one: float(one.expressing[:, 0, 0].mean()) / 10)
    error = float(read.expressing[:, 0, 0].std()) / 30**0.5 / 10
    assert found["high"] - found["estimate"] == pytest.approx(1.96 * error)


def test_figures_of_random_readings_have_their_intervals(readings: Readings) -> None:
    found = directions.study(readings, draws=4, seed=1)
    assert found == directions.study(readings, draws=4, seed=1)
    for own in found["reworded"].values():
        for shares in own["shares"].values():
            assert list(shares) == ["0.1", "0.25", "0.5", "1"]
            assert shares["0.1"]["estimate"] > shares["0.5"]["estimate"] > shares["1"]["estimate"]
            assert all(one["low"] <= one["estimate"] <= one["high"] for one in shares.values())
    assert [one["nearest"][0]["value"] for one in found["split"]["values"].values()] == [SPLIT, SPLIT]


def test_scores_of_own_values_are_the_selectors(tmp_path: Path) -> None:
    taxonomy = changed(Taxonomy.built_in(), tmp_path, labels=RENAMED, added=ADDED[:1])
    situations = selection.Situations.load(6)
    selector = EmbeddingSelector(taxonomy)
    scores = selector.head.probabilities(situations.vectors)
    own, slugs = selection.OwnValues(situations), list(taxonomy)
    for slug, pairs in ((REWORDED[0], taxonomy.pairs(REWORDED[0])), (ADDED[0].slug, new_pairs(ADDED[0].slug))):
        words = f"{taxonomy[slug].label}: {taxonomy[slug].definition}"
        np.testing.assert_allclose(own.scores(words, pairs), scores[:, slugs.index(slug)], rtol=1e-4)
    kept = [slugs.index(slug) for slug in slugs if slug not in RENAMED and slug != ADDED[0].slug]
    np.testing.assert_allclose(scores[:, kept], situations.scores[:, kept], rtol=1e-5)
    assert load_adapted().encoder is selector.encoder


def test_overlap_and_rank_of_scores_are_as_counted_by_hand() -> None:
    before = np.linspace(1, 0, 8, dtype=np.float32)[None].repeat(4, 0)
    after = before.copy()
    # The best of eight comes last: one of six is lost.
    after[:2, 0] = -1
    assert selection._overlap(before, [after], range(8))["estimate"] == pytest.approx((2 * 5 / 6 + 2) / 4)
    assert selection._is_chosen(after, (0,)).tolist() == [0, 0, 1, 1]
    scores = np.array([0.1, 0.4, 0.2, 0.9], dtype=np.float32)
    assert selection._rank(scores.repeat(20), (scores**2).repeat(20)[None])["estimate"] == pytest.approx(1.0)


def test_written_pairs_are_sound_and_new() -> None:
    known = {text for slug in Taxonomy.built_in() for side in Taxonomy.built_in().sentences(slug) for text in side}
    counts = {path.stem: len(new_pairs(path.stem)) for path in PAIRS.glob("*.csv")}
    assert counts == dict.fromkeys(REWORDED, 100) | dict.fromkeys((one.slug for one in (*HALVES, *ADDED)), 60)
    for slug in counts:
        texts = [text for pair in new_pairs(slug) for text in (pair.positive, pair.negative)]
        assert len(set(texts)) == len(texts) and known.isdisjoint(texts)
    with (PAIRS / "tolerance.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == ["positive", "negative", "person", "form", "scene"]


def test_mixtures_of_a_changed_model_move_and_unchanged_ones_do_not() -> None:
    loaded, taxonomy = load_model(EMBEDDED), Taxonomy.built_in()
    bank = cached_bank(loaded, taxonomy)
    readings = Readings.of(loaded, bank, taxonomy, bank.recipe)
    place = bank.info.values.index("tradition")
    blocks = list(bank.recipe.chosen_blocks(len(loaded.blocks)))
    torch.testing.assert_close(
        readings.after()["tradition"].float(), bank.entry(bank.recipe.estimator).directions.vectors[place, blocks],
        rtol=1e-3, atol=1e-4,
    )  # fmt: skip
    answering = Answering(loaded, bank, bank.recipe, readings.after(), others_of(bank.info.values, 2))
    found = changes(readings, 0)
    told = answering.mixtures(found[1:2], 3)["changes"][found[1].name]
    assert told["value"]["estimate"] > told["mixture"]["estimate"] > 0
    assert told["others"]["estimate"] < told["value"]["estimate"]


def test_comments_are_judged_for_changed_values_and_others(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, taxonomy = load_model(EMBEDDED), Taxonomy.built_in()
    bank = cached_bank(loaded, taxonomy)
    few = pair_sentences(taxonomy)
    own = {one.slug: tuple(pair.positive for pair in new_pairs(one.slug)) for one in (*HALVES, *ADDED)}
    known = KnownTexts(*({slug: texts[:2] for slug, texts in {**side, **own}.items()} for side in vars(few).values()))
    judge = ValueJudge(load_encoder(), known)
    monkeypatch.setattr(answers._Judges, "of", lambda _self, _change: answers._Judged(judge))
    readings = Readings.of(loaded, bank, taxonomy, bank.recipe)
    answering = Answering(loaded, bank, bank.recipe, readings.after(), ("honor", "karma"))
    found = changes(readings, 0)
    report = answering.expression([found[4], found[5]], 2)
    split, added = report["changes"].values()
    assert split["before"]["rank"]["n"] == added["after"]["rank"]["n"] == 2 and added["before"] is None
    assert split["others before"] == added["others before"]
    assert all(0 <= one["hit"]["estimate"] <= 1 for one in split.values())
    assert "| universalism split | " in section({"expression": report})


class WideBagOfWords(BagOfWords):
    """With as many numbers as the bundled encoder's vectors have."""

    def encode(self, texts, progress=None):
        return np.pad(super().encode(texts), ((0, 0), (0, 128)))


def test_the_command_measures_selection_and_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = pair_sentences(Taxonomy.built_in())
    own = {one.slug: tuple(pair.positive for pair in new_pairs(one.slug)) for one in (*HALVES, *ADDED)}
    known = KnownTexts(*({slug: texts[:2] for slug, texts in {**side, **own}.items()} for side in vars(few).values()))
    judge = ValueJudge(BagOfWords(), known)
    monkeypatch.setattr(answers._Judges, "of", lambda _self, _change: answers._Judged(judge))
    monkeypatch.setattr(selection, "_RESAMPLES", 50)
    # Encoding all pairs takes long; what the encoder's scores are is tested above.
    monkeypatch.setattr(selection, "load_adapted", lambda: replace(load_adapted(), encoder=WideBagOfWords()))
    path = tmp_path / "drift.json"
    few_texts = ["--draws", "1", "--texts", "40", "--situations", "1", "--others", "1"]
    report = main(["--parts", "selection,expression", *few_texts, "--json", str(path)])
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(report))
    found = report["selection"]
    assert found["situations"] == 40 and found["draws"] == 1 and found["built_in_pairs_matter"] is False
    assert set(found["reworded"]) == set(REWORDED) and set(found["added"]) == {one.slug for one in ADDED}
    for own_figures in (*found["reworded"].values(), {"split": found["split"]}, found["added"]):
        for figures in own_figures.values():
            told = [one for one in figures.values() if one is not None]
            assert told and all(one["low"] <= one["estimate"] <= one["high"] and one["n"] == 40 for one in told)
    for slug, steps in found["reworded"].items():
        assert steps["renamed, 0.1 of the pairs new"]["rank"]["estimate"] > 0.9, slug
    comments = report["expression"]["changes"]
    assert all(one["after"]["hit"]["n"] == 1 for one in comments.values())
    assert f"| {REWORDED[0]}: renamed | " in section(report) and "| universalism split | " in section(report)


def test_tables_say_what_figures_without_an_interval_are_of(readings: Readings) -> None:
    words = section({"directions": directions.study(readings, draws=2, seed=0)})
    assert "mean and least of all 4 or 5 that stay: no sample of values, so without interval" in words


def test_the_command_writes_what_its_tables_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "drift.json"
    main(["--parts", "directions,mixtures", "--draws", "2", "--questions", "2", "--others", "2", "--json", str(path)])
    report = json.loads(path.read_text(encoding="utf-8"))
    assert (
        report["command"] == "python -m benchmarks.drift --parts directions,mixtures --draws 2 --questions 2 --others 2"
    )
    assert section(report) in capsys.readouterr().out
    draw(report, tmp_path / "drift.svg")
    assert "% of the pairs" in (tmp_path / "drift.svg").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["--parts", "everything"])
