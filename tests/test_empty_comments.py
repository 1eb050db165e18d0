"""A comment that says nothing counts for no value, and the answer says that the model gave nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from mode_parts import Encoder, Reader, parts

from vispa.errors import VispaError
from vispa.evaluation.methods.base import Bench
from vispa.evaluation.methods.moe import _with_words
from vispa.evaluation.methods.voice import Voice
from vispa.generation.rows import Generated
from vispa.generation.transformers import TransformersEngine
from vispa.models.loading import LoadedModel
from vispa.modes.case import Case
from vispa.modes.distributional import mix, read_comments
from vispa.modes.mixture import Mixture
from vispa.modes.overton.extractive import ExtractiveAggregator
from vispa.modes.overton.written import WrittenAggregator
from vispa.modes.prompts import built_in_prompts
from vispa.modes.readings import Reading
from vispa.modes.steerable import SteerableMode
from vispa.pipeline import Vispa
from vispa.readers.base import Failure
from vispa.records import Comment, OvertonResponse, Selection, Stance, SteerableResponse
from vispa.request import MODES, Request
from vispa.steering.fitting import fit_bank
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

BLANK = ["", "   \n", "\u200b", "\x1b\x07"]
SLUGS = ("calm", "thrift", "candor")


def comment(value: str, text: str, stance: Stance | None = "support") -> Comment:
    known: dict[Stance, float] = {} if stance is None else {stance: 1.0}
    return Comment(value=value, text=text, shift={}, prompt="", tokens=1, stance=known)


def case(*texts: str) -> Case:
    comments = [
        comment(value, text, "support" if text.strip() else None) for value, text in zip(SLUGS, texts, strict=False)
    ]
    return Case("Paying a debt late", comments, target="a right to rest", options=("Yes", "No"))


@pytest.mark.parametrize("blank", BLANK)
def test_the_overton_lead_names_the_values_without_a_comment(small_taxonomy: Taxonomy, blank: str) -> None:
    (answer,) = ExtractiveAggregator(small_taxonomy).aggregate([case("Rest is good.", blank, "Speak up.")])
    assert isinstance(answer, OvertonResponse)
    lead, nothing, *said = answer.claims
    assert lead.text == "The values agree: calm and candor both speak for it." and lead.comments == (0, 2)
    assert nothing.text == "The model gave nothing for thrift." and nothing.values == ("thrift",)
    assert answer.response.startswith(f"{lead.text} {nothing.text}\n")
    assert all("thrift" not in claim.values for claim in said) and len(said) == 2


def test_one_comment_is_no_agreement(small_taxonomy: Taxonomy) -> None:
    (answer,) = ExtractiveAggregator(small_taxonomy).aggregate([case("", "It costs.", "")])
    assert isinstance(answer, OvertonResponse)
    assert answer.response.startswith("Thrift speaks for it. The model gave nothing for calm and candor.\n")


def test_a_comment_whose_stance_cannot_be_read_is_no_empty_one(small_taxonomy: Taxonomy) -> None:
    one = Case("x", [comment("calm", "Hm, well.", None)])
    (answer,) = ExtractiveAggregator(small_taxonomy).aggregate([one])
    assert isinstance(answer, OvertonResponse)
    assert answer.response == "Calm: Hm, well."


@pytest.mark.parametrize("blank", BLANK)
def test_a_written_response_is_made_of_what_was_said(blank: str) -> None:
    reader = Reader()
    aggregator = WrittenAggregator(reader, built_in_prompts().overton, Encoder())
    (answer,) = aggregator.aggregate([case(blank, "Pay in full.", "Say why.")])
    assert isinstance(answer, OvertonResponse) and answer.claims[0].comments == (1, 2)
    (prompt,) = reader.asked
    assert "1. Pay in full.\n2. Say why." in prompt and "3." not in prompt


def test_a_response_without_words_is_a_failure() -> None:
    aggregator = WrittenAggregator(Reader(" \n"), built_in_prompts().overton, Encoder())
    (answer,) = aggregator.aggregate([case("Rest.", "Pay.", "Say.")])
    assert isinstance(answer, Failure) and "wrote nothing" in answer.reason


@pytest.mark.parametrize("blank", BLANK)
def test_steerable_mode_never_picks_an_empty_comment(blank: str) -> None:
    reader = Reader()
    mode = SteerableMode(parts(reader))
    two, one = mode.answer([case("Rest.", "Pay.", blank), case(blank, "Pay.", blank)])
    assert isinstance(two, SteerableResponse) and isinstance(one, SteerableResponse)
    assert two.chosen == 1 and two.fit == pytest.approx((1 / 3, 2 / 3, 0.0), abs=1e-6)
    assert one.chosen == 1 and one.fit == (0.0, 1.0, 0.0) and "pick" not in one.prompts


@pytest.mark.parametrize("kind", ["mean", "relevance", "given"])
def test_an_empty_comment_has_no_share_in_a_mixture(kind: str) -> None:
    one = case("Rest.", " ", "Say.")
    (found,) = read_comments(Reader(), [one], built_in_prompts())
    assert not isinstance(found, Failure) and found[1] is None
    found[2] = Reading(np.array([0.9, 0.1]))
    values = tuple(Selection(value=slug, score=s) for slug, s in zip(SLUGS, (0.2, 0.9, 0.6), strict=True))
    mixture = Mixture.given({"calm": 1, "thrift": 6, "candor": 3}) if kind == "given" else Mixture(kind)
    answer = mix(replace(one, values=values), found, mixture)
    assert answer.weights == pytest.approx((0.5, 0, 0.5) if kind == "mean" else (0.25, 0, 0.75))
    assert answer.by_value[1] == () and "thrift" not in answer.prompts
    assert answer.distribution[0] == pytest.approx(answer.weights[0] / 3 + answer.weights[2] * 0.9)


@pytest.mark.parametrize(
    "mixture",
    [
        Mixture.given({"thrift": 1}),
        Mixture.given({"thrift": 1, "calm": 0}),
        Mixture("fitted", {"calm": 1.0}, {"Chad": {"thrift": 1.0}}),
        Mixture("fitted", {}, {"Peru": {"calm": 1.0}}),
    ],
)
def test_weights_on_values_without_a_reading_alone_are_a_failure(mixture: Mixture) -> None:
    one = case("Rest.", " ", "Say.")
    (found,) = read_comments(Reader(), [one], built_in_prompts())
    assert not isinstance(found, Failure)
    values = tuple(Selection(value=slug, score=0.0) for slug in SLUGS)
    answer = mix(replace(one, values=values, country="Chad"), found, mixture)
    assert isinstance(answer, Failure) and "weight above 0" in answer.reason
    # Of values that nobody weighed, none counts more than another.
    for kind in ("mean", "relevance"):
        equal = mix(replace(one, values=values), found, Mixture(kind))
        assert not isinstance(equal, Failure) and equal.weights == (0.5, 0.0, 0.5)


def test_nothing_said_at_all_is_a_failure(small_taxonomy: Taxonomy) -> None:
    nothing, reader = case("", " ", "\u200b"), Reader()
    prompts = built_in_prompts()
    found = [
        *ExtractiveAggregator(small_taxonomy).aggregate([nothing]),
        *WrittenAggregator(reader, prompts.overton, Encoder()).aggregate([nothing]),
        *SteerableMode(parts(reader)).answer([nothing]),
        *read_comments(reader, [nothing], prompts),
    ]
    assert all(isinstance(one, Failure) and "no comment for any" in one.reason for one in found) and len(found) == 4
    assert reader.asked == []


class EqualSelector:
    name = "equal"

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy

    def scores(self, texts: Sequence[str], progress: object = None) -> np.ndarray:
        return np.ones((len(texts), 3), dtype=np.float32)


@pytest.fixture
def vispa(llama: LoadedModel, small_taxonomy: Taxonomy) -> Vispa:
    recipe = Recipe("one_versus_others", (1, 2), magnitude="coefficient", amount=3.0, minimal_quality=0.0)
    bank = fit_bank(llama, small_taxonomy, recipe=recipe)
    return Vispa(llama, bank, EqualSelector(small_taxonomy), taxonomy=small_taxonomy)


def saying(monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    def generate(engine, rows, sampling, progress=None):
        return [Generated(texts.get(row.steers[0].value, "") if row.steers else "A", 1) for row in rows]

    monkeypatch.setattr(TransformersEngine, "generate", generate)


@pytest.mark.parametrize("mode", MODES)
def test_the_record_says_what_is_missing(vispa: Vispa, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    saying(monkeypatch, calm="Rest now.", candor="Tell it.")
    toward = "a good name" if mode == "steerable" else None
    answer = vispa.respond("Selling old letters", k=3, mode=mode, toward=toward)
    assert answer.silent == ("thrift",)
    missing = next(one for one in answer.comments if one.value == "thrift")
    assert missing.stance == {} and missing.leaning is None and missing.text == ""
    saying(monkeypatch)
    with pytest.raises(VispaError, match="no comment for any of the values"):
        vispa.respond("Selling old letters", k=3, mode=mode, toward=toward)
    given = [Request("Selling old letters", k=3, mode=mode, toward=toward), Request("Buying a harp", k=1)]
    assert all(isinstance(one, Failure) for one in vispa.respond_many(given))


def test_a_community_member_that_says_nothing_is_not_picked(vispa: Vispa) -> None:
    voices = [Voice("one", " ", "one"), Voice("two", "Yes.", "two")]
    assert _with_words(voices) == voices[1:]
    assert isinstance(_with_words(voices[:1]), Failure)


def test_an_unsteered_response_without_words_is_an_error(vispa: Vispa, monkeypatch: pytest.MonkeyPatch) -> None:
    from vispa.evaluation.methods import base

    monkeypatch.setattr(TransformersEngine, "generate", lambda _, rows, sampling: [Generated("\n", 2) for _ in rows])
    (answer,) = base.written_answers(Bench(vispa), ["Why?"])
    assert answer.response is None and answer.error == "The model wrote nothing." and answer.tokens == 2
