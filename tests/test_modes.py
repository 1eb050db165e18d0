"""The three modes: prompts, picking, mixing, fitting, failures; on fakes and a small random model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mode_parts import parts
from scipy.spatial.distance import jensenshannon

from vispa import modes
from vispa import request as vispa_request
from vispa.errors import InputError, VispaError
from vispa.evaluation.methods.base import Bench
from vispa.evaluation.methods.voice import Voice
from vispa.evaluation.methods.voices import answer_from_voices
from vispa.items.item import Item
from vispa.models.loading import LoadedModel
from vispa.modes.base import Parts, with_values
from vispa.modes.case import Case
from vispa.modes.checking import checked
from vispa.modes.mixture import Mixture, at_temperature, jensen_shannon
from vispa.modes.mixture_fitting import Example, fit_mixture
from vispa.modes.overton.extractive import ExtractiveAggregator
from vispa.modes.overton.support import supported_claims
from vispa.modes.overton.written import WrittenAggregator
from vispa.modes.prompts import built_in_prompts
from vispa.modes.questions import lettered, option_prompt, question_stem, target_in_words
from vispa.modes.steerable import SteerableMode
from vispa.pipeline import Vispa
from vispa.readers.base import Failure, Unweighable
from vispa.records import Comment, OvertonResponse, Provenance, Record, Selection, Stance, SteerableResponse
from vispa.request import STANCE_OPTIONS, Request
from vispa.selection.embedding import EmbeddingSelector
from vispa.steering.fitting import fit_bank
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

QUESTION = "Question: Is it fine?\nOptions: A. Yes B. No\nAnswer:"


def comment(value: str, text: str, stance: Stance = "support") -> Comment:
    stances: dict[Stance, float] = {"support": 0.1, "oppose": 0.1, "either": 0.1, stance: 0.8}
    return Comment(value=value, text=text, shift={}, prompt="", tokens=1, stance=stances)


class FakeReader:
    """Answers from functions of the prompt; keeps what it was asked."""

    name, option_reading = "fake", "letters"

    def __init__(
        self,
        options: Callable[[str, int], np.ndarray | Failure] = lambda _prompt, count: np.full(count, 1 / count),
        write: Callable[[str], str | Failure] = lambda _prompt: "A",
    ) -> None:
        self._options, self._write = options, write
        self.asked: list[str] = []

    def write(self, prompts: Sequence[str], *, max_new_tokens: int = 300, progress: object = None):
        self.asked += prompts
        return [self._write(prompt) for prompt in prompts]

    def option_probabilities(
        self, prompts: Sequence[str], counts: Sequence[int], *, progress: object = None, least: object = None
    ):
        self.asked += prompts
        return [self._options(prompt, count) for prompt, count in zip(prompts, counts, strict=True)]


# ---------------------------------------------------------------- prompts and questions


def test_option_prompts() -> None:
    prompts = built_in_prompts()
    plain = Case("Feeding ducks", (), options=STANCE_OPTIONS)
    assert option_prompt(plain, prompts, "Good.").startswith("Passage: Good.\nSituation: Feeding ducks\n")
    asked = Case("Is it fine?", (), QUESTION, ("Yes", "No"), country="Chile")
    assert option_prompt(asked, prompts, None).endswith(QUESTION)
    assert "Chile" in option_prompt(asked, prompts, "Well.") and option_prompt(asked, prompts, "Well.").endswith(
        "Answer:"
    )
    worded = Case("Is it fine?", (), None, ("Yes", "No"))
    assert option_prompt(worded, prompts, None).endswith("Options: A. Yes B. No\nAnswer:")
    assert lettered(["x"] * 26).endswith("Z. x")


@pytest.mark.parametrize(
    ("question", "stem"),
    [
        (QUESTION, "Is it fine?"),
        ("Question: Why? Because\nsomething\nOptions: A. x\nAnswer:", "Why? Because\nsomething"),
        ("Pick one.\nScenario: You are late.\nA. I run.\nB. I walk.\nAnswer:", "Pick one.\nScenario: You are late."),
        ("Feeding ducks", "Feeding ducks"),
    ],
)
def test_question_stems(question: str, stem: str) -> None:
    assert question_stem(question) == stem


def test_groups_are_said_in_words() -> None:
    assert target_in_words("POLPARTY_Democrat") == "a person whose political party is: Democrat"
    assert target_in_words("right to privacy") == "right to privacy"
    assert target_in_words("SEX_") == "SEX_"


def test_prompts_can_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "prompts.toml"
    path.write_text('comment = "Say something on {text}"\n')
    assert built_in_prompts().overridden(path).comment == "Say something on {text}"
    for text, message in (
        ('comment = "no place"\n', "has the placeholders"),
        ('comment = "{text} {more}"\n', "has the placeholders"),
        ('comment = "{text"\n', "a brace that is not around a plain name"),
        ('remark = "{text}"\n', "field remark: is unknown"),
        ("comment = 3\n", "field comment: is 3. It should be a text"),
        ("comment = \n", "is not valid TOML"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            built_in_prompts().overridden(path)
    with pytest.raises(InputError, match="cannot be read"):
        built_in_prompts().overridden(tmp_path / "missing.toml")


# ---------------------------------------------------------------- Overton


def test_extractive_traces_every_sentence() -> None:
    comments = [
        comment("karma", "Good deeds return. I am for it."),
        comment("honor", "I am for it. A name is at stake.", "oppose"),
    ]
    found = ExtractiveAggregator(Taxonomy.built_in()).aggregate([Case("Feeding ducks", comments)])[0]
    assert isinstance(found, OvertonResponse)
    assert found.claims[0].text == "The values part here: karma speaks for it; honor speaks against it."
    merged = next(claim for claim in found.claims if claim.text == "I am for it.")
    assert merged.comments == (0, 1) and merged.values == ("karma", "honor")
    assert all(claim.supported and claim.text in found.response for claim in found.claims)


class WordEncoder:
    """Bags of words, so that similarity is the share of common words."""

    def encode(self, texts: Sequence[str]):
        words = sorted({word for text in texts for word in text.lower().split()})
        counts = np.array([[text.lower().split().count(word) for word in words] for text in texts], dtype=np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_sentences_that_no_comment_says_are_flagged() -> None:
    comments = [comment("karma", "good deeds return to us."), comment("honor", "a name is worth gold.")]
    text = "Good deeds return to you. The moon is cheese. A name is worth gold."
    claims = supported_claims([text], [comments], WordEncoder())[0]
    assert [claim.supported for claim in claims] == [True, False, True]
    assert claims[0].values == ("karma",) and claims[2].comments == (1,)
    assert claims[2].support == pytest.approx(1, abs=1e-4) and claims[1].support < 0.5


def test_written_aggregator_asks_once_a_case_and_keeps_failures() -> None:
    reader = FakeReader(
        write=lambda prompt: Failure("the server is gone.") if "bad" in prompt else "Good deeds return."
    )
    aggregator = WrittenAggregator(reader, built_in_prompts().overton, WordEncoder())
    said = [comment("karma", "Good deeds return.")]
    found = aggregator.aggregate([Case("fine", said), Case("bad", said)])
    assert found[1] == Failure("the server is gone.")
    assert isinstance(found[0], OvertonResponse) and found[0].claims[0].supported
    assert found[0].prompts == {"overton": reader.asked[0]} and "1. Good deeds return." in reader.asked[0]


# ---------------------------------------------------------------- steerable


def test_reader_picks_and_answers() -> None:
    def options(prompt: str, count: int) -> np.ndarray:
        if "agree with most" in prompt:
            return np.array([0.2, 0.7, 0.1])
        return np.array([0.1, 0.9]) if "second" in prompt else np.array([0.9, 0.1])

    reader = FakeReader(options)
    case = Case(
        "x", [comment("a", "first"), comment("b", "second"), comment("c", "third")], QUESTION, ("Yes", "No"), "t"
    )
    answer = SteerableMode(parts(reader)).answer([case])[0]
    assert isinstance(answer, SteerableResponse)
    assert (answer.chosen, answer.answer, answer.response) == (1, "B", "No")
    assert answer.distribution == pytest.approx((0.1, 0.9))
    assert answer.prompts["pick"].count("\n") and "second" in answer.prompts["answer"]


@pytest.mark.parametrize(("written", "letter"), [("B", "B"), ("Answer: A", "A"), ("**(b)**", "B"), ("yes.", "A")])
def test_reader_without_probabilities_writes_a_letter(written: str, letter: str) -> None:
    reader = FakeReader(lambda _p, _c: Unweighable("no logprobs."), lambda _p: written)
    case = Case("x", [comment("a", "only")], QUESTION, ("Yes", "No"), "t")
    answer = SteerableMode(parts(reader)).answer([case])[0]
    assert isinstance(answer, SteerableResponse)
    assert answer.answer == letter and answer.distribution is None
    assert answer.prompts == {"answer": reader.asked[-1]} and "Reply with the letter" in reader.asked[-1]


def test_a_case_that_fails_leaves_the_others() -> None:
    reader = FakeReader(write=lambda _p: Failure("gone."))
    reader._options = lambda prompt, count: Failure("gone.") if "bad" in prompt else np.full(count, 1 / count)
    said = [comment("a", "one"), comment("b", "two")]
    found = SteerableMode(parts(reader)).answer([Case("bad", said, target="t"), Case("good", said, target="t")])
    assert isinstance(found[0], Failure) and isinstance(found[1], SteerableResponse)


# ---------------------------------------------------------------- mixtures

distributions = st.lists(st.floats(0.001, 1), min_size=3, max_size=3).map(lambda x: np.array(x) / sum(x))


@given(distributions, distributions)
def test_jensen_shannon_equals_scipy(one: np.ndarray, two: np.ndarray) -> None:
    # Rounding may take the root of a number below 0 there.
    expected = np.nan_to_num(float(jensenshannon(one, two)))
    assert float(jensen_shannon(one, two)) == pytest.approx(expected, abs=1e-7)
    padded = [np.append(p, 0.0) for p in (one, two)]
    assert float(jensen_shannon(*padded)) == pytest.approx(float(jensen_shannon(one, two)), abs=1e-12)


@given(distributions, st.floats(0.2, 5))
def test_temperature_keeps_the_order_and_the_sum(p: np.ndarray, temperature: float) -> None:
    changed = at_temperature(p, temperature)
    assert changed.sum() == pytest.approx(1)
    # Shares that differ by rounding alone may change places.
    assert (np.diff(changed[np.argsort(p, kind="stable")]) > -1e-12).all()


def test_weights_of_every_kind() -> None:
    values, relevance = ["karma", "honor"], [0.9, 0.3]
    assert Mixture().weights(values, relevance).tolist() == [0.5, 0.5]
    assert Mixture("relevance").weights(values, relevance) == pytest.approx([0.75, 0.25])
    given = Mixture.given({"honor": 3, "karma": 1})
    assert given.weights(values, relevance) == pytest.approx([0.25, 0.75])
    assert given.values == ("honor", "karma")
    grouped = Mixture("fitted", {"karma": 1.0}, {"Chile": {"honor": 1.0}})
    assert grouped.weights(values, relevance, "Chile").tolist() == [0.0, 1.0]
    assert grouped.weights(values, relevance, "Peru").tolist() == [1.0, 0.0]


@pytest.mark.parametrize("table", [{}, [1], {"karma": "much"}, {"karma": -1}, {"karma": 0}, {"karma": True}])
def test_impossible_weights_are_refused(table: object) -> None:
    with pytest.raises(InputError, match="weights"):
        Mixture.given(table)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000))
def test_fitted_weights_are_the_populations(seed: int) -> None:
    """A population made from known weights gives them back and beats the plain mean on other questions."""
    rng = np.random.default_rng(seed)
    values = [f"v{i}" for i in range(5)]
    truth = rng.dirichlet(np.full(5, 0.6))
    examples = []
    for number in range(60):
        by_value = rng.dirichlet(np.full(2 + number % 4, 0.7), size=5)
        examples.append(Example(by_value, truth @ by_value, "north" if number % 2 else "south"))
    fitted = fit_mixture(examples[:40], values, per_group=True)
    found = np.array([fitted.shares[value] for value in values])
    assert np.abs(found - truth).sum() / 2 <= 0.1
    assert set(fitted.groups) == {"north", "south"}
    assert fitted.report["cross_validated_distance"] <= fitted.report["distance_of_the_mean"]
    held_out = examples[40:]

    def distance(weights: np.ndarray) -> float:
        return float(np.mean([jensen_shannon(weights @ e.by_value, e.gold) for e in held_out]))

    assert distance(found) <= distance(np.full(5, 0.2))


def test_fit_reaches_the_optimum_of_a_grid() -> None:
    rng = np.random.default_rng(3)
    examples = [Example(rng.dirichlet(np.ones(3), size=2), rng.dirichlet(np.ones(3))) for _ in range(20)]
    fitted = fit_mixture(examples, ["a", "b"])
    grid = [
        np.mean([float(jensenshannon(np.array([w, 1 - w]) @ e.by_value, e.gold)) for e in examples])
        for w in np.linspace(0, 1, 501)
    ]
    assert fitted.report["distance"] <= min(grid) + 1e-5


@pytest.mark.parametrize("countries", [1, 10])
def test_examples_of_one_question_are_held_out_together(countries: int) -> None:
    """Noise that is the same for all countries of a question is not learnt from the others."""
    rng = np.random.default_rng(1)
    examples, alone = [], []
    for number in range(12):
        by_value, gold = rng.dirichlet(np.full(4, 0.5), size=12), rng.dirichlet(np.full(4, 0.5))
        examples += [Example(by_value, gold, question=f"question {number}") for _ in range(countries)]
        alone.append(Example(by_value, gold))
    values = [f"v{i}" for i in range(12)]
    expected = fit_mixture(alone, values, seed=4).report
    found = fit_mixture(examples, values, seed=4).report
    assert found["cross_validated_distance"] > found["distance"] + 0.02
    if countries == 1:
        assert found == expected


@pytest.mark.parametrize("calibrate", [False, True])
def test_a_report_is_of_the_weights_that_are_used(calibrate: bool) -> None:
    """Groups that their own weights fit exactly are at no distance, held out neither."""
    rng = np.random.default_rng(2)
    truths = {"north": np.array([1.0, 0.0, 0.0]), "south": np.array([0.0, 0.0, 1.0])}
    examples = []
    for number in range(24):
        group, by_value = ("north", "south")[number % 2], rng.dirichlet(np.ones(3), size=3)
        examples.append(Example(by_value, truths[group] @ by_value, group))
    together = fit_mixture(examples, ["a", "b", "c"]).report
    found = fit_mixture(examples, ["a", "b", "c"], per_group=True, calibrate=calibrate)
    assert together["distance"] > 0.1
    if not calibrate:
        assert found.report["distance"] < 0.01 and found.report["cross_validated_distance"] < 0.01
    own = [found.weights(["a", "b", "c"], [], e.group) @ found.sharpened(e.by_value) for e in examples]
    by_hand = np.mean([float(jensenshannon(mixed, e.gold)) for mixed, e in zip(own, examples, strict=True)])
    assert found.report["distance"] == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("values", [3, 8])
def test_weights_that_came_to_nothing_are_none(values: int) -> None:
    """Otherwise their values would be steered, written and counted all the same."""
    rng = np.random.default_rng(values)
    names = [f"v{i}" for i in range(values)]
    tables = [rng.dirichlet(np.ones(3), size=values) for _ in range(20)]
    fitted = fit_mixture(
        [Example(table, table[1], f"g{n % 2}") for n, table in enumerate(tables)], names, per_group=True
    )
    assert fitted.values == ("v1",)
    for shares in (fitted.shares, *fitted.groups.values()):
        assert {name for name, share in shares.items() if share} == {"v1"} and sum(shares.values()) == 1


@pytest.mark.parametrize(
    ("questions", "groups", "per_group", "field"),
    [
        (["a", "b", "a"], [None] * 3, False, "examples: are 3"),
        (["a", "a", "b", "b", "b", "a"], [None] * 6, False, "questions: are 2"),
        ([None] * 6, ["n", "n", "s", "s", "w", None], True, "groups: have fewer than 5"),
        ([None] * 6, [None] * 6, True, "groups: are none"),
    ],
)
def test_too_few_questions_or_members_of_groups_are_refused(
    questions: list[str | None], groups: list[str | None], per_group: bool, field: str
) -> None:
    rng = np.random.default_rng(0)
    examples = [
        Example(rng.dirichlet(np.ones(2), size=2), rng.dirichlet(np.ones(2)), group, question)
        for question, group in zip(questions, groups, strict=True)
    ]
    with pytest.raises(InputError, match=field):
        fit_mixture(examples, ["a", "b"], per_group=per_group)


def test_calibration_finds_the_temperature() -> None:
    rng = np.random.default_rng(5)
    examples = []
    for _ in range(40):
        by_value = rng.dirichlet(np.ones(4), size=2)
        examples.append(Example(by_value, np.array([0.3, 0.7]) @ at_temperature(by_value, 2.0)))
    fitted = fit_mixture(examples, ["a", "b"], calibrate=True)
    assert fitted.temperature == pytest.approx(2.0, rel=0.02)
    assert fitted.shares["a"] == pytest.approx(0.3, abs=0.02)


def test_mixtures_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "mixture.json"
    mixture = Mixture("fitted", {"karma": 0.25, "honor": 0.75}, {"Chile": {"karma": 1.0}}, 1.5, {"distance": 0.1})
    mixture.save(path)
    assert Mixture.load(path) == mixture
    path.write_text('{"karma": 2}')
    assert Mixture.load(path) == Mixture("given", {"karma": 2.0})
    path.write_text("{")
    with pytest.raises(InputError, match="is not valid JSON"):
        Mixture.load(path)


# ---------------------------------------------------------------- requests and the whole pipeline


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "plural"}, "mode"),
        ({"mode": "steerable"}, "toward: is missing"),
        ({"toward": "karma"}, "Overton mode"),
        ({"options": ("a", "b")}, "Overton mode"),
        ({"mode": "distributional", "options": ("a", " ")}, "empty"),
        ({"mode": "distributional", "options": ("a",) * 27}, "options: are 27"),
        ({"values": ("valor2",)}, "not in the taxonomy"),
        ({"k": 0}, "k"),
        ({"diversity": 2.0}, "diversity"),
    ],
)
def test_impossible_requests_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        checked(Request("Feeding ducks", **fields), Taxonomy.built_in())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "weighted", "message"),
    [
        ({"values": "honor,benevolence"}, ("karma",), r"^weights: give none of .* above 0: honor, benevolence\."),
        ({"values": ("Honor",), "passages": False}, ("karma", "power"), "^weights: give none"),
        ({"k": 3}, ("karma",), "^k: has no effect where weights name the values"),
        ({"k": "auto"}, ("karma",), "^k: has no effect where weights name the values"),
        ({"threshold": 0.5}, ("karma",), "^threshold: has no effect where weights name"),
        ({"diversity": 0.5}, ("karma", "honor"), "^diversity: has no effect where weights name"),
    ],
)
def test_weights_and_what_does_not_go_with_them(
    fields: dict[str, Any], weighted: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        checked(Request("Feeding ducks", mode="distributional", **fields), Taxonomy.built_in(), weighted)


def test_weights_name_the_values_and_need_one_of_those_named() -> None:
    def asked(weighted: tuple[str, ...], **fields: Any) -> Request:
        return checked(Request("Feeding ducks", mode="distributional", **fields), Taxonomy.built_in(), weighted)

    assert asked(("karma", "honor")).values == ("karma", "honor")
    assert asked(("karma",), values="Honor,Karma").values == ("honor", "karma")
    assert asked((), k=3).k == 3
    # In the other modes a pipeline's weights say nothing.
    assert checked(Request("Feeding ducks", k=3), Taxonomy.built_in(), ("karma",)).k == 3


def test_a_target_that_is_a_value_needs_no_picking() -> None:
    found = checked(Request("Feeding ducks", mode="steerable", toward="Kindness"), Taxonomy.built_in())
    assert found.values == ("benevolence",)
    assert checked(Request("x", mode="steerable", toward="right to rest"), Taxonomy.built_in()).values == ()


@pytest.fixture(scope="module")
def vispa(llama: LoadedModel, small_taxonomy: Taxonomy) -> Vispa:
    recipe = Recipe("one_versus_others", (1, 2), magnitude="coefficient", amount=3.0, minimal_quality=0.0)
    bank = fit_bank(llama, small_taxonomy, recipe=recipe)
    return Vispa(llama, bank, EmbeddingSelector(small_taxonomy), taxonomy=small_taxonomy)


def test_all_modes_in_one_batch_equal_each_alone(vispa: Vispa) -> None:
    requests = [
        Request("Feeding ducks", k=2),
        Request("Feeding ducks", k=3, mode="steerable", toward="right to rest"),
        Request(QUESTION, k=3, mode="distributional", options=("Yes", "No"), country="Chile"),
        Request(QUESTION, k=2, mode="distributional", options=("Yes", "No"), passages=False),
        Request("Is one option enough?", mode="distributional", k=1, options=("Yes",)),
    ]
    together = vispa.respond_many(requests, max_new_tokens=8)
    for request, answer in zip(requests, together, strict=True):
        alone = vispa.respond_many([request], max_new_tokens=8)[0]
        one, two = (a.model_dump(exclude={"provenance"}) for a in (answer, alone))  # type: ignore[union-attr]
        for key in one:
            if key in ("by_value", "distribution", "weights", "fit"):
                np.testing.assert_allclose(np.array(one[key]), np.array(two[key]), atol=1e-4)
            elif key != "comments":
                assert one[key] == two[key], key
    distributional = together[2]
    assert not isinstance(distributional, Failure) and distributional.mode == "distributional"
    assert sum(distributional.distribution) == pytest.approx(1)
    assert np.array(distributional.distribution) == pytest.approx(np.mean(distributional.by_value, axis=0))
    assert all("Chile" in prompt for prompt in distributional.prompts.values())
    own = together[3]
    assert not isinstance(own, Failure) and own.comments == () and len(own.values) == 2
    single = together[4]
    assert not isinstance(single, Failure) and single.mode == "distributional" and single.distribution == (1.0,)


def test_order_of_requests_changes_no_answer(vispa: Vispa) -> None:
    requests = [
        Request(f"Lending {n} coins to a friend", mode="steerable", toward="thrift" if n % 2 else "a good name", k=2)
        for n in range(6)
    ]
    forward = vispa.respond_many(requests, max_new_tokens=6)
    backward = vispa.respond_many(requests[::-1], max_new_tokens=6)[::-1]
    for one, two in zip(forward, backward, strict=True):
        assert not isinstance(one, Failure) and not isinstance(two, Failure)
        assert one.text == two.text and one.answer == two.answer  # type: ignore[union-attr]
        assert [c.text for c in one.comments] == [c.text for c in two.comments]


def test_own_option_probabilities_are_the_steered_models(vispa: Vispa) -> None:
    """Without passages: one slow steered forward pass a value."""
    import torch

    from vispa.generation.rows import Row
    from vispa.steering.recipe import Steer

    answer = vispa.respond(QUESTION, mode="distributional", options=("Yes", "No"), passages=False, k=3)
    assert answer.mode == "distributional"
    for chosen, found in zip(answer.values, answer.by_value, strict=True):
        row = Row(vispa.engine.raw_prompt(QUESTION), (Steer(chosen.value),))
        with torch.no_grad():
            masses = vispa.engine.options([row], [2])[0]
        assert found == pytest.approx(tuple(masses / masses.sum()), abs=1e-5)


def test_a_failing_reader_is_reported_by_item(vispa: Vispa) -> None:
    reader = FakeReader(lambda prompt, count: Failure("gone.") if "ducks" in prompt else np.full(count, 1 / count))
    failing = Vispa(vispa.model, vispa.bank, vispa.selector, taxonomy=vispa.taxonomy, reader=reader)
    texts = ("Feeding ducks", "Feeding cats")
    requests = [Request(text, mode="distributional", k=2) for text in texts]
    found = failing.respond_many(requests, max_new_tokens=4)
    assert found[0] == Failure("gone.") and not isinstance(found[1], Failure)
    with pytest.raises(VispaError, match="gone"):
        failing.respond(texts[0], mode="distributional", k=2, max_new_tokens=4)


# ---------------------------------------------------------------- a mode more


class LongestResponse(Record):
    text: str
    mode: Literal["longest"] = "longest"
    values: tuple[Selection, ...]
    comments: tuple[Comment, ...]
    silent: tuple[str, ...]
    response: str
    provenance: Provenance | None = None


class LongestMode:
    """Answers with the longest comment; needs a country."""

    name = "longest"

    def __init__(self, parts: Parts) -> None:
        self.reader = parts.reader

    @staticmethod
    def check(request: Request, taxonomy: Taxonomy, weighted: Sequence[str] = ()) -> Request:
        if request.country is None:
            raise InputError("country", "is missing.", "Name one.")
        return with_values(request, taxonomy, ("karma",) if "karma" in taxonomy else ("calm", "thrift"))

    def answer(self, cases: Sequence[Case]) -> list[LongestResponse | Failure]:
        return [
            LongestResponse(**case.recorded, response=max((one.text for one in case.comments), key=len))
            if case.country != "nowhere"
            else Failure("no such place.")
            for case in cases
        ]

    def parts_of(self, case: Case) -> dict[str, Any]:
        return {"reader": self.reader.name}


def test_a_mode_more_is_a_file_and_a_line(vispa: Vispa, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipeline and evaluation ask the registry alone: no other file knows which modes there are."""
    monkeypatch.setitem(modes.MODES, "longest", LongestMode)
    monkeypatch.setattr(vispa_request, "MODES", (*vispa_request.MODES, "longest"))
    monkeypatch.setitem(vispa_request.MODES_OF, "country", ("distributional", "longest"))
    asked = [Request("Feeding ducks", mode="longest", country=place) for place in ("Peru", "nowhere")]  # type: ignore[arg-type]
    found, failed, plain = vispa.respond_many([*asked, Request("Feeding ducks", k=1)], max_new_tokens=6)
    assert isinstance(found, LongestResponse) and found.response == max((c.text for c in found.comments), key=len)
    assert {one.value for one in found.values} == {"calm", "thrift"} and found.provenance is not None
    assert (found.provenance.reader, found.provenance.aggregator) == (vispa.reader.name, None)
    assert found.provenance.choosing.named == ("calm", "thrift") and found.provenance.timings["aggregate"] >= 0
    assert failed == Failure("no such place.") and isinstance(plain, OvertonResponse)
    with pytest.raises(InputError, match="country: is missing"):
        vispa.respond("Feeding ducks", mode="longest")  # type: ignore[call-overload]
    item = Item(id=1, text="Feeding ducks").model_copy(update={"mode": "longest"})
    (answer,) = answer_from_voices(Bench(vispa), [item], [[Voice("one", "Yes.", "a"), Voice("two", "Surely.", "b")]])
    assert (answer.response, answer.error, len(answer.comments)) == ("Surely.", None, 2)
