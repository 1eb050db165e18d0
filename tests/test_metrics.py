"""Metrics against scikit-learn, scipy, worked examples and slow loops; reading of free answers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from vispa.errors import InputError, NumericalError
from vispa.evaluation.groups import group_positions
from vispa.evaluation.intervals import bootstrap_mean, bootstrap_statistic, paired_difference, scores_by_id
from vispa.evaluation.metrics.agreement import UNREADABLE, agreement_figures, stance_figures
from vispa.evaluation.metrics.distribution import distribution_figures, jensen_shannon_distances, most_likely_agreements
from vispa.modes.answers import read_letter
from vispa.request import LETTERS

EXACT = 1e-9
STANCES = ("Support", "Oppose", "Either")
#: A busy machine must not fail a property.
quick = settings(max_examples=40, deadline=None)

# ---------------------------------------------------------------- agreement

answers = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 1, 2, None])), min_size=1, max_size=40)


@quick
@given(answers)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_agreement_is_that_of_scikit_learn(pairs):
    gold = [g for g, _ in pairs]
    predicted = [p for _, p in pairs]
    as_labels = [3 if p is None else p for p in predicted]
    figures = agreement_figures(gold, predicted)
    assert figures.n == len(pairs)
    assert figures.unreadable == predicted.count(None)
    assert figures.accuracy == pytest.approx(accuracy_score(gold, as_labels), abs=EXACT)
    assert figures.balanced_accuracy == pytest.approx(balanced_accuracy_score(gold, as_labels), abs=EXACT)
    for average, value in (("macro", figures.macro_f1), ("micro", figures.micro_f1)):
        # As the published script calls it.
        expected = f1_score(gold, as_labels, average=average, zero_division=0)
        assert value == pytest.approx(expected, abs=EXACT)


def test_agreement_by_hand():
    # Support: 2 gold, 1 hit, 2 said. Oppose: 2 gold, 1 hit, 1 said. Either: 1 gold, 0 hit, 1 said; 1 unreadable.
    gold, predicted = [0, 0, 1, 1, 2], [0, 2, 1, 0, None]
    figures = agreement_figures(gold, predicted)
    assert figures.accuracy == pytest.approx(2 / 5, abs=EXACT)
    assert figures.balanced_accuracy == pytest.approx((1 / 2 + 1 / 2 + 0) / 3, abs=EXACT)
    assert figures.macro_f1 == pytest.approx((2 / 4 + 2 / 3 + 0 + 0) / 4, abs=EXACT)
    assert figures.micro_f1 == figures.accuracy
    # A label that occurs nowhere does not count.
    assert agreement_figures([0, 0], [0, 1]).macro_f1 == pytest.approx((2 / 3 + 0) / 2, abs=EXACT)


@quick
@given(answers)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_binary_figures_are_those_of_the_published_script(pairs):
    # It keeps what is neither gold nor answered Either, unreadable answers (3) included.
    kept = [(g, 3 if p is None else p) for g, p in pairs if g != 2 and p != 2]
    figures = stance_figures([g for g, _ in pairs], [p for _, p in pairs]).binary
    if not kept:
        assert figures is None
        return
    gold, predicted = zip(*kept, strict=True)
    assert figures.accuracy == pytest.approx(accuracy_score(gold, predicted), abs=EXACT)
    assert figures.balanced_accuracy == pytest.approx(balanced_accuracy_score(gold, predicted), abs=EXACT)
    assert figures.macro_f1 == pytest.approx(f1_score(gold, predicted, average="macro", zero_division=0), abs=EXACT)
    assert figures.micro_f1 == pytest.approx(f1_score(gold, predicted, average="micro"), abs=EXACT)


def test_binary_figures_drop_either_on_both_sides_and_keep_the_unreadable():
    gold, predicted = [0, 0, 1, 2, 1, 0], [0, 2, 0, 1, None, None]
    figures = stance_figures(gold, predicted)
    assert figures.three_way == agreement_figures(gold, predicted)
    assert figures.binary == agreement_figures([0, 1, 1, 0], [0, 0, None, None], labels=2)
    assert figures.binary.accuracy == pytest.approx(1 / 4, abs=EXACT)
    assert figures.binary.unreadable == 2
    assert stance_figures([2, 0], [0, 2]).binary is None


def test_unreadable_answers_are_wrong_and_never_dropped():
    all_read = agreement_figures([0, 1], [0, 1])
    half_read = agreement_figures([0, 1, 0, 1], [0, 1, None, None])
    assert (all_read.accuracy, half_read.accuracy) == (1.0, 0.5)
    assert half_read == agreement_figures(np.array([0, 1, 0, 1]), np.array([0, 1, UNREADABLE, UNREADABLE]))
    assert agreement_figures([0, 1], [None, None]).macro_f1 == 0


@pytest.mark.parametrize(
    ("gold", "predicted", "field"),
    [([], [], "gold"), ([0], [0, 1], "predicted"), ([3], [0], "gold[0]"), ([0, 0], [0, 3], "predicted[1]")],
)
def test_unusable_labels_are_refused(gold, predicted, field):
    with pytest.raises(InputError) as error:
        agreement_figures(gold, predicted)
    assert error.value.field == field


# ---------------------------------------------------------------- distributions

weights = st.floats(0, 1, allow_subnormal=False).map(lambda x: round(x, 6))


@st.composite
def distribution_pairs(draw):
    size = draw(st.integers(1, 5))
    some_mass = st.lists(weights, min_size=size, max_size=size).filter(lambda values: sum(values) > 0)
    return draw(some_mass), draw(some_mass)


@quick
@given(st.lists(distribution_pairs(), min_size=1, max_size=8))
def test_distance_is_that_of_scipy(pairs):
    gold, predicted = [p for p, _ in pairs], [q for _, q in pairs]
    found = jensen_shannon_distances(gold, predicted)
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num([jensenshannon(p, q) for p, q in pairs])
    np.testing.assert_allclose(found, expected, atol=EXACT, rtol=0)
    assert (found >= 0).all()
    assert (found <= math.sqrt(math.log(2)) + EXACT).all()
    figures = distribution_figures(gold, predicted)
    assert figures.n == len(pairs)
    assert figures.jensen_shannon == pytest.approx(sum(expected) / len(expected), abs=EXACT)
    agreed = [p.index(max(p)) == q.index(max(q)) for p, q in pairs]
    assert figures.most_likely == pytest.approx(sum(agreed) / len(agreed), abs=EXACT)


def test_distance_by_hand():
    # Half of 1·ln(1 / 0.75) + 0.5·ln(0.5 / 0.75) + 0.5·ln(0.5 / 0.25).
    divergence = (math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * math.log(2)) / 2
    found = jensen_shannon_distances([[1, 0], [1, 0], [2, 2], [1]], [[0.5, 0.5], [0, 1], [0.1, 0.1], [0.3]])
    np.testing.assert_allclose(found, [math.sqrt(divergence), math.sqrt(math.log(2)), 0, 0], atol=EXACT)


def test_nearly_equal_distributions_have_a_distance():
    generator = np.random.default_rng(0)
    gold = generator.random((2000, 4))
    near = gold * (1 + generator.normal(0, 1e-16, gold.shape))
    found = jensen_shannon_distances(list(gold), list(near))
    assert np.isfinite(found).all()
    assert found.max() < 1e-7


def test_no_mass_counts_as_uniform():
    gold = [[0.7, 0.1, 0.2], [0.1, 0.7, 0.2], [1.0]]
    empty = [[0, 0, 0], [0, 0, 0], [0]]
    uniform = [[1 / 3] * 3, [1 / 3] * 3, [1]]
    assert distribution_figures(gold, empty) == distribution_figures(gold, uniform)
    assert most_likely_agreements(gold, empty).tolist() == [True, False, True]


def test_first_maximum_counts_on_ties():
    gold = [[0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [0.4, 0.4, 0.2]]
    predicted = [[0.5, 0.2, 0.3], [0.0, 0.5, 0.5], [0.2, 0.4, 0.4]]
    assert most_likely_agreements(gold, predicted).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("gold", "predicted", "field"),
    [
        ([], [], "gold"),
        ([[1.0]], [], "predicted"),
        ([[0.5, 0.5]], [[1.0]], "predicted[0]"),
        ([[0.0, 0.0]], [[0.5, 0.5]], "gold[0]"),
        ([[0.5, 0.5]], [[float("nan"), 1.0]], "predicted[0]"),
        ([[1.5, -0.5]], [[0.5, 0.5]], "gold[0]"),
        ([[]], [[]], "gold[0]"),
    ],
)
def test_unusable_distributions_are_refused(gold, predicted, field):
    with pytest.raises(InputError) as error:
        distribution_figures(gold, predicted)
    assert error.value.field == field


def test_groups_by_part_of_the_attribute():
    attributes = ["RELIG_Hindu", "SEX_Female", "RELIG_Jewish", None]
    assert group_positions(attributes, ["RELIG", "RACE", "SEX"]) == {"RELIG": [0, 2], "SEX": [1]}
    assert group_positions(attributes) == {"RELIG_Hindu": [0], "RELIG_Jewish": [2], "SEX_Female": [1]}


# ---------------------------------------------------------------- intervals


def test_bootstrap_of_a_mean_is_near_theory_and_repeatable():
    values = np.random.default_rng(1).normal(3, 2, 400)
    interval = bootstrap_mean(values, seed=5)
    half = 1.96 * values.std() / math.sqrt(400)
    assert interval.estimate == pytest.approx(values.mean(), abs=EXACT)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert interval == bootstrap_mean(values, seed=5)
    assert interval != bootstrap_mean(values, seed=6)
    assert (interval.n, interval.resamples, interval.confidence) == (400, 2000, 0.95)


def test_bootstrap_of_any_statistic_agrees_with_that_of_the_mean():
    values = np.random.default_rng(2).random(30)
    assert bootstrap_statistic(lambda x: x.mean(), values, seed=3, resamples=200) == bootstrap_mean(
        values, seed=3, resamples=200
    )
    gold, chosen = np.array([0, 1, 0, 1] * 10), np.array([0, 1, 1, 1] * 10)
    interval = bootstrap_statistic(lambda g, c: agreement_figures(g, c).accuracy, gold, chosen, resamples=200)
    assert interval.low < interval.estimate == 0.75 < interval.high


def test_bootstrap_is_the_slow_one():
    values = np.array([0.0, 0.2, 0.9, 0.4, 0.5])
    rows = np.random.default_rng(7).integers(5, size=(50, 5))
    means = sorted(sum(values[i] for i in row) / 5 for row in rows)
    interval = bootstrap_mean(values, seed=7, resamples=50, confidence=0.9)
    assert interval.low == pytest.approx(np.percentile(means, 5), abs=EXACT)
    assert interval.high == pytest.approx(np.percentile(means, 95), abs=EXACT)


def test_one_item_has_an_interval_without_width():
    interval = bootstrap_mean([0.25])
    assert (interval.low, interval.estimate, interval.high) == (0.25, 0.25, 0.25)


def test_large_samples_are_drawn_in_parts(monkeypatch):
    import vispa.evaluation.intervals as intervals

    values = np.random.default_rng(3).random(100)
    monkeypatch.setattr(intervals, "_CHUNK", 700)
    interval = bootstrap_mean(values, resamples=50)
    assert interval.resamples == 50
    assert interval.low < interval.estimate < interval.high


@quick
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8))
def test_small_p_values_are_counted_exactly(differences):
    first = dict(enumerate(differences))
    found = paired_difference(first, dict.fromkeys(first, 0.0), resamples=10).p_value
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in _signs(len(differences))]
    assert found == pytest.approx(sum(s >= abs(sum(differences)) for s in sums) / len(sums), abs=EXACT)


def _signs(n):
    return itertools.product([1, -1], repeat=n)


def test_drawn_p_values_are_near_the_exact_ones(monkeypatch):
    import vispa.evaluation.intervals as intervals

    first = dict(enumerate(np.random.default_rng(4).normal(0.4, 1, 12)))
    second = dict.fromkeys(first, 0.0)
    exact = paired_difference(first, second).p_value
    monkeypatch.setattr(intervals, "_EXACT_ITEMS", 0)
    assert paired_difference(first, second).p_value == pytest.approx(exact, abs=0.02)
    assert paired_difference(dict.fromkeys(range(40), 1.0), dict.fromkeys(range(40), 0.0)).p_value == 1 / 10_001
    assert paired_difference(first, first).p_value == 1


def test_methods_are_joined_by_identifier_and_not_by_position():
    ids = ["b", "a", 3, "c"]
    first = scores_by_id(ids, [0.9, 0.1, 0.5, 0.7])
    second = scores_by_id(ids, [0.8, 0.0, 0.4, 0.9])
    shuffled = {i: second[i] for i in (3, "c", "a", "b")}
    found = paired_difference(first, second)
    assert found == paired_difference(first, shuffled)
    assert found.difference == pytest.approx(0.025, abs=EXACT)
    assert found.n == 4
    mirrored = paired_difference(second, first)
    assert mirrored.difference == -found.difference
    assert mirrored.p_value == found.p_value


@pytest.mark.parametrize(
    "call",
    [
        lambda: paired_difference({1: 0.5}, {"1": 0.5}),
        lambda: paired_difference({1: 0.5, 2: 1.0}, {1: 0.5}),
        lambda: paired_difference({}, {}),
        lambda: paired_difference({1: math.nan}, {1: 0.0}),
        lambda: paired_difference({1: 1.0}, {1: 0.0}, permutations=0),
        lambda: scores_by_id([1, 1], [0.0, 0.1]),
        lambda: scores_by_id([1], [0.0, 0.1]),
        lambda: bootstrap_mean([]),
        lambda: bootstrap_mean([1.0], resamples=0),
        lambda: bootstrap_mean([1.0], confidence=1.0),
        lambda: bootstrap_mean([1.0, math.inf]),
        lambda: bootstrap_statistic(np.mean),
        lambda: bootstrap_statistic(lambda a, b: 0.0, np.zeros(2), np.zeros(3)),
    ],
)
def test_unusable_scores_are_refused(call):
    with pytest.raises(InputError):
        call()


def test_an_undefined_statistic_is_reported():
    with pytest.raises(NumericalError, match="finite"):
        bootstrap_statistic(lambda x: math.nan, np.zeros(3), resamples=2)


# ---------------------------------------------------------------- free answers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", 0),
        (" b\n", 1),
        ("(b)", 1),
        ("[C]", 2),
        ("**B**", 1),
        ("“B”.", 1),
        ("Answer: C", 2),
        ("answer: c", 2),
        ("Answer:\nB", 1),
        ("**Answer:** B", 1),
        ("Answer: **B. Oppose**", 1),
        ("The answer is (B)", 1),
        ("The answer is A because it helps.", 0),
        ("The correct answer is: B. Oppose", 1),
        ("My choice would be C", 2),
        ("I would choose option B.", 1),
        ("I choose A and I mean it", 0),
        ("Option B is right", 1),
        ("The best option: B", 1),
        ("A. Support", 0),
        ("b) oppose", 1),
        ("(A) Support", 0),
        ("A: Support", 0),
        ("A - Support", 0),
        ("A. The U.S. and vitamin C", 0),
        ("Answer: B. I choose B.", 1),
        ("A\n\nQuestion: another one\nAnswer: B", 0),
        ("A. Support\nB. Oppose\nC. Either\nAnswer: C", 2),
        ("support", 0),
        ("Supports.", 0),
        ("Oppose\n\nIt would do harm.", 1),
        ("Answer: Oppose", 1),
        ("The answer is oppose.", 1),
        ("", None),
        ("D", None),
        ("Answer: D", None),
        ("A or B", None),
        ("A, B", None),
        ("A/B", None),
        ("Answer: A or B", None),
        ("The answer is A, B", None),
        ("Option A or option B", None),
        ("Answer: A. Answer: B.", None),
        ("A. Support\n\nAnswer: B", None),
        ("A. Support B. Oppose C. Either", None),
        ("Support, Oppose", None),
        ("A person should help.", None),
        ("Answer: A person should help.", None),
        ("The answer is a matter of taste.", None),
        ("The answer is not A", None),
        ("I would not choose A.", None),
        ("It depends.", None),
        ("I think so.", None),
    ],
)
def test_answers_are_read(text, expected):
    assert read_letter(text, 3, STANCES) == expected


FORMS = ("{0}", "{0}.", "({0})", "**{0}**", "Answer: {0}", "The answer is ({0}).", "I choose option {0}.", "{0}. Yes")


@quick
@given(st.integers(1, 26), st.sampled_from(LETTERS), st.sampled_from(FORMS), st.text(" \n", max_size=4))
def test_every_form_is_read_with_every_letter(count, letter, form, space):
    position = LETTERS.index(letter)
    expected = position if position < count else None
    assert read_letter(space + form.format(letter) + space, count) == expected


@quick
@given(st.text(max_size=200), st.integers(1, 26))
def test_any_text_gives_an_option_or_none(text, count):
    found = read_letter(text, count)
    assert found is None or 0 <= found < count


WORDS = (
    "A",
    "B",
    "c",
    "(b)",
    "A.",
    ".",
    ":",
    ",",
    "or",
    "and",
    "not",
    "answer",
    "is",
    "choose",
    "option",
    "Support",
    "\n",
)
words = st.lists(st.sampled_from(WORDS), max_size=25)


@quick
@given(words.map(" ".join))
def test_texts_of_likely_words_give_an_option_or_none(text):
    assert read_letter(text, 3, STANCES) in {0, 1, 2, None}


@quick
@given(
    st.permutations(LETTERS[:5]), st.sampled_from(["{0} or {1}", "Answer: {0}/{1}", "{0}. x\n{1}. y", "{0} and {1}"])
)
def test_two_letters_are_ambiguous(letters, form):
    assert read_letter(form.format(*letters), 5) is None


option_texts = st.lists(st.text("abcdefgh ", min_size=2, max_size=12).map(str.strip), min_size=1, max_size=5)


@quick
@given(option_texts.filter(lambda texts: all(len(text) > 1 for text in texts)))
def test_an_option_s_own_text_is_read_unless_it_occurs_twice(options):
    plain = [" ".join(option.split()) for option in options]
    for position, option in enumerate(options):
        expected = position if plain.count(plain[position]) == 1 else None
        assert read_letter(f'"{option.upper()}."', len(options), options) == expected


def test_long_answers_are_read_in_no_time():
    for text in ("answer:" + " " * 20_000 + "x", "\n" * 20_000 + "x" + "\n" * 20_000 + "y", "choose " * 2_800):
        assert read_letter(text, 3, STANCES) is None


@pytest.mark.parametrize(("count", "options"), [(0, ()), (27, ()), (2, ("Yes",))])
def test_unusable_options_are_refused(count, options):
    with pytest.raises(InputError):
        read_letter("A", count, options)
