"""Intervals and p values where items share a text, held against slow references written out here."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vispa.errors import InputError
from vispa.evaluation import intervals
from vispa.evaluation.clusters import Clusters, texts_of
from vispa.evaluation.intervals import bootstrap_mean, bootstrap_statistic, paired_difference
from vispa.items.item import Item

EXACT = 1e-12
quick = settings(max_examples=40, deadline=None)
labelled = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(-3, 3)), min_size=1, max_size=14)


def places_by_label(labels: list[str]) -> list[list[int]]:
    """The items of each label, labels by their first item."""
    return [[i for i, one in enumerate(labels) if one == label] for label in dict.fromkeys(labels)]


def resampled(labels: list[str], seed: int, resamples: int) -> list[list[int]]:
    """Items of each resample: as many labels as there are, drawn with replacement, each with all its items."""
    groups = places_by_label(labels)
    drawn = np.random.default_rng(seed).integers(len(groups), size=(resamples, len(groups)))
    return [[i for k in row for i in groups[k]] for row in drawn]


def before(values: np.ndarray, seed: int) -> tuple[float, float]:
    """The interval over items, as it was made before items could belong together."""
    rows = np.random.default_rng(seed).integers(len(values), size=(2000, len(values)))
    low, high = np.quantile(values[rows].mean(1), [(1 - 0.95) / 2, 1 - (1 - 0.95) / 2])
    return float(low), float(high)


# ---------------------------------------------------------------- intervals


@quick
@given(labelled, st.integers(0, 5))
def test_intervals_are_those_of_the_slow_reference(items: list[tuple[str, int]], seed: int) -> None:
    labels, values = [label for label, _ in items], np.array([value / 7 for _, value in items])
    rows = resampled(labels, seed, 60)
    found = bootstrap_mean(values, clusters=labels, seed=seed, resamples=60)
    expected = np.percentile([np.mean([values[i] for i in row]) for row in rows], [2.5, 97.5])
    assert [found.low, found.high] == pytest.approx(expected, abs=EXACT)
    assert found.estimate == pytest.approx(sum(values) / len(values), abs=EXACT)
    assert (found.n, found.clusters, found.drawn) == (len(items), len(set(labels)), len(set(labels)))
    # Of any statistic, here one that is no ratio of sums, of two arrays.
    other = np.arange(len(values)) % 3
    spread = bootstrap_statistic(
        lambda x, y: float(np.std(x * y)), values, other, clusters=labels, seed=seed, resamples=60
    )
    expected = np.percentile([np.std([values[i] * other[i] for i in row]) for row in rows], [2.5, 97.5])
    assert [spread.low, spread.high] == pytest.approx(expected, abs=EXACT)
    assert spread.clusters == found.clusters


@pytest.mark.parametrize("count", [1, 2, 13, 14, 301])
@pytest.mark.parametrize("seed", [0, 3])
def test_items_of_texts_of_their_own_have_the_intervals_they_had_to_the_bit(count: int, seed: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    labels = [f"text {number}" for number in np.random.default_rng(1).permutation(count)]
    alone, own = bootstrap_mean(values, seed=seed), bootstrap_mean(values, clusters=labels, seed=seed)
    assert (own.low, own.high) == (alone.low, alone.high) == before(values, seed)
    assert alone.clusters is None and own.clusters == count
    assert own.model_copy(update={"clusters": None}) == alone
    every = [bootstrap_statistic(np.median, values, clusters=one, seed=seed, resamples=50) for one in (None, labels)]
    assert every[1].model_copy(update={"clusters": None}) == every[0]
    first, second = dict(enumerate(values)), dict(enumerate(values[::-1]))
    differences = [paired_difference(first, second, clusters=one, seed=seed) for one in (None, dict(enumerate(labels)))]
    assert differences[1].model_copy(update={"clusters": None}) == differences[0]


@pytest.mark.parametrize("copies", [2, 5, 40])
def test_copies_of_items_are_worth_no_more_than_one(copies: int) -> None:
    values = np.random.default_rng(copies).random(30)
    once = bootstrap_mean(values, seed=1)
    many = bootstrap_mean(np.repeat(values, copies), clusters=list(np.repeat(np.arange(30), copies)), seed=1)
    assert (many.low, many.high) == pytest.approx((once.low, once.high), abs=1e-9)
    assert many.n == 30 * copies and many.clusters == 30
    alone = bootstrap_mean(np.repeat(values, copies), seed=1)
    assert alone.high - alone.low < (once.high - once.low) / copies**0.5 * 1.2
    first = dict(enumerate(np.repeat(values - 0.45, copies)))
    labels = {place: place // copies for place in first}
    p_value = paired_difference(dict(enumerate(values - 0.45)), dict.fromkeys(range(30), 0.0)).p_value
    assert paired_difference(first, dict.fromkeys(first, 0.0), clusters=labels).p_value == p_value


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """200 items on 40 questions, which move all their items: by item the intervals miss far too often."""
    labels = [place % 40 for place in range(200)]
    held = {"together": 0, "alone": 0}
    for seed in range(200):
        random = np.random.default_rng(seed)
        values = random.normal(size=40)[labels] + random.normal(size=200)
        for name, clusters in (("together", labels), ("alone", None)):
            found = bootstrap_mean(values, clusters=clusters, seed=seed, resamples=400)
            held[name] += found.low <= 0 <= found.high
    assert held["together"] >= 180 and held["alone"] < 160


def test_one_text_has_an_interval_without_width() -> None:
    found = bootstrap_mean([0.1, 0.2, 0.9], clusters=["same"] * 3)
    assert found.low == found.high == pytest.approx(found.estimate) and found.drawn == 1
    first = {1: 0.4, 2: 0.5}
    assert paired_difference(first, {1: 0.1, 2: 0.1}, clusters=dict.fromkeys(first, "same")).p_value == 1


def test_many_clusters_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values, labels = np.random.default_rng(3).random(100), [place // 3 for place in range(100)]
    whole = bootstrap_mean(values, clusters=labels, resamples=50)
    monkeypatch.setattr(intervals, "_CHUNK", 70)
    assert bootstrap_mean(values, clusters=labels, resamples=50) == whole


# ---------------------------------------------------------------- p values


@quick
@given(labelled)
def test_signs_change_by_cluster(items: list[tuple[str, int]]) -> None:
    labels, values = [label for label, _ in items], [value for _, value in items]
    sums = [sum(values[i] for i in places) for places in places_by_label(labels)]
    patterns = [
        abs(sum(s * d for s, d in zip(signs, sums, strict=True)))
        for signs in itertools.product([1, -1], repeat=len(sums))
    ]
    found = paired_difference(
        dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.0), clusters=dict(enumerate(labels)), resamples=10
    )
    assert found.p_value == pytest.approx(sum(p >= abs(sum(values)) for p in patterns) / len(patterns), abs=EXACT)
    assert (found.n, found.clusters) == (len(values), len(sums))


def test_drawn_p_values_are_near_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    labels = {place: int(place % 11) for place in range(60)}
    first = {place: float(value) for place, value in enumerate(random.normal(0.2, 1, 60))}
    second = dict.fromkeys(first, 0.0)
    exact = paired_difference(first, second, clusters=labels).p_value
    monkeypatch.setattr(intervals, "_EXACT_ITEMS", 0)
    assert paired_difference(first, second, clusters=labels).p_value == pytest.approx(exact, abs=0.02)


def test_labels_are_joined_by_identifier_and_may_be_of_more_items() -> None:
    first, second = {"b": 0.9, "a": 0.1, 3: 0.5}, {3: 0.4, "a": 0.4, "b": 0.2}
    labels = {3: "x", "a": "y", "b": "x", "other": "z"}
    found = paired_difference(first, second, clusters=labels)
    assert found == paired_difference(first, second, clusters=dict(reversed(labels.items())))
    assert found.clusters == 2


# ---------------------------------------------------------------- the clusters themselves


@quick
@given(st.lists(st.sampled_from(["q", "r", 1, "1", ("q",)]), min_size=1, max_size=12), st.data())
def test_clusters_hold_all_items_of_a_label(labels: list[object], data: st.DataObject) -> None:
    found, groups = Clusters(len(labels), labels), places_by_label(labels)  # type: ignore[arg-type]
    assert found.sizes.tolist() == [len(places) for places in groups]
    values = np.arange(len(labels)) ** 2.0
    assert found.sums(values).tolist() == [sum(values[i] for i in places) for places in groups]
    drawn = data.draw(st.lists(st.integers(0, len(groups) - 1), min_size=1, max_size=6))
    assert found.items(np.array(drawn)).tolist() == [i for k in drawn for i in groups[k]]


def test_items_belong_together_by_their_text() -> None:
    items = [Item(id=1, text="Why?", attribute="Chile"), Item(id=2, text=" Why? ", prompt="Otherwise asked")]
    assert texts_of(items) == ["Why?", "Why?"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_mean([1.0, 0.0], clusters=["a"]), "1 labels for 2 items"),
        (lambda: bootstrap_mean([1.0], clusters=[]), "0 labels for 1 items"),
        (lambda: bootstrap_statistic(np.mean, np.zeros(2), clusters=["a"] * 3), "3 labels for 2 items"),
        (lambda: paired_difference({1: 0.0}, {1: 0.0}, clusters={2: "a"}), "lacks item 1"),
        (lambda: paired_difference({1: 0.0, "1": 0.0}, {1: 0.0, "1": 0.0}, clusters={1: "a"}), "lacks item '1'"),
    ],
)
def test_labels_that_do_not_fit_are_refused(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]
