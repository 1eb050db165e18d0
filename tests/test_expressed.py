"""Which values a recipe expresses: the judge of a taxonomy, and the part of a study that asks it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from encoders import BagOfWords

from vispa.models.encoder import load_encoder
from vispa.models.encoding import chat_prompt
from vispa.models.loading import EMBEDDED, load_model
from vispa.steering.bank_cache import cached_bank
from vispa.steering.recipe import embedded_recipe
from vispa.study.expressed import expressed
from vispa.study.expression import Situation
from vispa.study.figures import draw_expression
from vispa.study.known import KnownTexts, known_comments
from vispa.study.taxonomy_judge import TaxonomyJudge, taxonomy_judge
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy


def test_the_built_in_values_are_judged_by_what_no_vector_is_fitted_on():
    encoder = BagOfWords()
    found = taxonomy_judge(Taxonomy.built_in(), encoder)
    assert found.learnt_from == "comments"
    assert set(found.accuracy) == {"hits", "ranks", "sides", "pair_hits", "pair_ranks"}
    assert 0.06 < found.accuracy["hits"] < 0.9  # of 31, counting words
    assert "of 31 " in found.words and "pairs" in found.words
    assert len(encoder.read) == len(set(encoder.read)) > 31 * 60  # no text is embedded twice
    known = known_comments()
    seen = [known.promoting[value][0] for value in known.promoting]
    assert found.judge.judge(seen, list(known.promoting)).hits.mean() > found.accuracy["hits"]


def test_other_values_are_judged_by_their_own_pairs(small_taxonomy):
    found = taxonomy_judge(small_taxonomy, BagOfWords())
    assert found.learnt_from == "pairs" and found.judge.values == ("calm", "thrift", "candor")
    assert found.accuracy["hits"] == found.accuracy["sides"] == 1.0  # each has a verb of its own for either side
    assert "fitted too" in found.words
    paper = Taxonomy.built_in().with_polarity("paper")
    assert paper.fingerprint != Taxonomy.built_in().fingerprint  # its sides are others than the comments'


@pytest.fixture(scope="module")
def found():
    taxonomy, loaded = Taxonomy.built_in(), load_model(EMBEDDED)
    few = {side: {v: t[:6] for v, t in getattr(known_comments(), side).items()} for side in ("promoting", "opposing")}
    judge = TaxonomyJudge(ValueJudge(load_encoder(), KnownTexts(**few)), "comments", {})
    situations = [
        Situation(text, chat_prompt(loaded, f"Please comment on the following situation: {text}"))
        for text in ("Lying to a friend", "Skipping a check-up")
    ]
    told = []
    bank = cached_bank(loaded, taxonomy)
    expression = expressed(
        loaded, bank, judge, situations, recipe=embedded_recipe(), progress=lambda *one: told.append(one)
    )
    return expression, told


def test_steered_comments_are_beside_unsteered_ones(found):
    found, told = found
    assert sum(done for _, done, _ in told) == told[0][2] == 2 * (31 + 1)
    overall = found.overall()
    assert overall["unsteered"]["fluency"] == pytest.approx(1.0)  # its own yardstick
    assert np.isnan(overall["unsteered"]["leakage"]) and 0 < overall["steered"]["leakage"] < 1
    assert overall["steered"]["rank"] > overall["unsteered"]["rank"] + 0.05
    rows = list(found.comments())
    assert len(rows) == 2 * 2 * 31
    for row in found.by_value():
        own = [one for one in rows if one["value"] == row["value"] and one["steering"] == "steered"]
        assert row["topic"] == pytest.approx(np.mean([one["topic"] for one in own]))
        assert row["leaks_to"] != row["value"]
        change = found.steered.change(found.plain)[found.steered.values.index(row["value"])]
        assert row["change"] == change[found.steered.values.index(row["leaks_to"])]


def test_the_most_expressed_value_is_drawn_on_top(found, tmp_path: Path):
    pytest.importorskip("matplotlib")
    draw_expression(found[0], tmp_path / "a.svg", {"honor": "<honor> $x$"})
    drawn = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "&lt;honor&gt; $x$" in drawn and "unsteered" in drawn and "found among 31" in drawn
    rows = sorted(found[0].by_value(), key=lambda row: (row["hit"], row["rank"]))
    names = [row["value"].replace("honor", "&lt;honor&gt; $x$") for row in rows]
    assert drawn.index(f">{names[0]}<") < drawn.index(f">{names[-1]}<")
