"""How many values are chosen from scores, and which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vispa.errors import InputError
from vispa.request import resolved_count
from vispa.selection.choosing import Chooser, check_diversity, choose
from vispa.selection.covering import AUTO_MOST, LEAST_GAIN, REDUNDANCY
from vispa.selection.diversity import definition_similarity
from vispa.selection.embedding import EmbeddingSelector
from vispa.taxonomy import Taxonomy, Value

VALUES = 16
SLUGS = [f"value-{number:02d}" for number in range(VALUES)]
TAXONOMY = Taxonomy([Value(slug, slug, "test", f"About {slug}.") for slug in SLUGS], {})

rows = st.lists(st.floats(0, 1, width=32), min_size=VALUES, max_size=VALUES)
numbers = st.integers(1, VALUES)
shares = st.floats(0, 1)


def chosen(row: Sequence[float], **options: object) -> list[str]:
    return [one.value for one in choose(np.array([row], dtype=np.float32), TAXONOMY, **options)[0]]


def random_similarity(seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(VALUES, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


def slow_marginal_relevance(row, k, threshold, diversity, similarity) -> list[int]:
    """Carbonell and Goldstein's formula, candidate by candidate."""
    row = np.array(row, dtype=np.float32)
    ranked = sorted(range(VALUES), key=lambda i: (-row[i], i))
    left = [i for i in ranked if i == ranked[0] or row[i] >= threshold]
    picked: list[int] = []
    while left and len(picked) < k:
        best, best_gain = None, None
        for i in left:
            gain = (1 - diversity) * float(row[i])
            if picked:
                gain -= diversity * max(float(similarity[i, j]) for j in picked)
            if best is None or gain > best_gain:
                best, best_gain = i, gain
        left.remove(best)
        picked.append(best)
    return sorted(picked, key=lambda i: (-row[i], i))


@given(rows, numbers, shares)
def test_fixed_k_is_the_head_of_the_ranking(row: list[float], k: int, threshold: float) -> None:
    scores = np.array(row, dtype=np.float32)
    ranked = sorted(range(VALUES), key=lambda i: (-scores[i], i))[:k]
    expected = [SLUGS[i] for rank, i in enumerate(ranked) if rank == 0 or scores[i] >= threshold]
    assert chosen(row, k=k, threshold=threshold) == expected


def slow_covering(row: Sequence[float], similarity: np.ndarray) -> list[int]:
    """Set by set: the one with another value whose expected F1 is highest, while that is well above the last."""

    def expected(chosen: tuple[int, ...]) -> float:
        worth = 0.0
        for place, i in enumerate(chosen):
            covered = max([0.0, *(float(similarity[i, j]) for j in chosen[:place])])
            worth += row[i] * (1 - REDUNDANCY * covered)
        return 2 * worth / (len(chosen) + sum(row))

    chosen: tuple[int, ...] = (min(range(VALUES), key=lambda i: (-row[i], i)),)
    while len(chosen) < AUTO_MOST:
        more = [(*chosen, i) for i in range(VALUES) if i not in chosen and row[i] > 0]
        best = max(more, key=lambda one: (expected(one), row[one[-1]], -one[-1]), default=chosen)
        if expected(best) < (1 + LEAST_GAIN) * expected(chosen) or best == chosen:
            break
        chosen = best
    return sorted(chosen, key=lambda i: (-row[i], i))


@pytest.mark.parametrize("seed", range(40))
def test_auto_stops_where_another_value_adds_little(seed: int) -> None:
    row = np.random.default_rng(seed).beta(0.4 + seed / 20, 1.0, VALUES).astype(np.float32)
    similarity = random_similarity(seed)
    expected = slow_covering([float(score) for score in row], similarity)
    assert chosen(list(row), k="auto", similarity=similarity) == [SLUGS[i] for i in expected]


@given(rows, st.integers(0, VALUES - 1), shares, st.integers(0, 5))
@settings(deadline=None)
def test_auto_never_loses_a_value_whose_score_rises(row: list[float], which: int, rise: float, seed: int) -> None:
    higher = list(row)
    higher[which] = float(np.float32(row[which] + rise * (1 - row[which])))
    higher[which] = max(higher[which], row[which])
    similarity = random_similarity(seed)
    if SLUGS[which] in chosen(row, k="auto", similarity=similarity):
        assert SLUGS[which] in chosen(higher, k="auto", similarity=similarity)


def test_auto_at_its_ends() -> None:
    assert chosen([0.0] * VALUES, k="auto") == SLUGS[:1]
    slugs = [f"value-{number}" for number in range(200)]
    many = Taxonomy([Value(slug, slug, "test", f"About {slug}.") for slug in slugs], {})
    assert len(choose(np.full((1, 200), 0.9, dtype=np.float32), many, k="auto")[0]) == AUTO_MOST
    assert chosen([0.0] * 5 + [1.0] + [0.01] * 10, k="auto") == [SLUGS[5]]
    assert chosen([1.0, 0.9, 0.8] + [0.0] * 13, k="auto", threshold=0.85) == SLUGS[:2]


def test_auto_keeps_more_where_more_is_at_stake() -> None:
    few, many = [0.9, 0.8, 0.7] + [0.05] * 13, [0.9, 0.8, 0.7] + [0.6] * 13
    assert len(chosen(few, k="auto")) < len(chosen(many, k="auto"))


def test_auto_passes_over_a_value_that_is_covered() -> None:
    row = [0.9, 0.55] + [0.01] * 14
    twins = np.eye(VALUES)
    twins[0, 1] = twins[1, 0] = 1.0
    assert chosen(row, k="auto", similarity=np.eye(VALUES)) == SLUGS[:2]
    assert chosen(row, k="auto", similarity=-np.eye(VALUES)) == SLUGS[:2]
    assert chosen(row, k="auto", similarity=twins) == SLUGS[:1]


@given(rows, numbers, shares, st.integers(0, 5))
def test_diversity_of_zero_is_the_plain_choice(row: list[float], k: int, threshold: float, seed: int) -> None:
    with_similarity = chosen(row, k=k, threshold=threshold, diversity=0.0, similarity=random_similarity(seed))
    assert with_similarity == chosen(row, k=k, threshold=threshold)
    nearly_zero = chosen(row, k=1, threshold=threshold, diversity=1e-9, similarity=random_similarity(seed))
    assert nearly_zero == chosen(row, k=1, threshold=threshold)


@given(rows, numbers, shares, shares, st.integers(0, 5))
def test_marginal_relevance_equals_the_formula(
    row: list[float], k: int, threshold: float, diversity: float, seed: int
) -> None:
    similarity = random_similarity(seed)
    found = chosen(row, k=k, threshold=threshold, diversity=diversity, similarity=similarity)
    expected = slow_marginal_relevance(row, k, threshold, diversity, similarity)
    if diversity > 0:
        assert found == [SLUGS[i] for i in expected]
    assert len(found) == len(chosen(row, k=k, threshold=threshold))


@given(rows, shares, st.integers(0, 5))
def test_diverse_choices_are_sorted_distinct_and_hold_the_highest(
    row: list[float], diversity: float, seed: int
) -> None:
    similarity = random_similarity(seed)
    found = choose(np.array([row], dtype=np.float32), TAXONOMY, k="auto", diversity=diversity, similarity=similarity)[0]
    slugs, scores = [one.value for one in found], [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert len(set(slugs)) == len(slugs) == len(chosen(row, k="auto", similarity=similarity))
    assert slugs[0] == chosen(row, k=1)[0]


def test_diversity_passes_over_a_twin() -> None:
    similarity = np.eye(VALUES)
    similarity[0, 1] = similarity[1, 0] = 1.0
    row = [0.9, 0.8, 0.7] + [0.1] * 13
    assert chosen(row, k=2, diversity=0.5, similarity=similarity) == [SLUGS[0], SLUGS[2]]


def test_every_row_is_chosen_by_itself() -> None:
    scores = np.random.default_rng(0).random((7, VALUES)).astype(np.float32)
    alone = [choose(row[None], TAXONOMY, k="auto")[0] for row in scores]
    assert choose(scores, TAXONOMY, k="auto") == alone
    assert choose(scores[:0], TAXONOMY) == []


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"k": 0}, "k"),
        ({"k": VALUES + 1}, "k"),
        ({"k": "many"}, "k"),
        ({"k": 2.5}, "k"),
        ({"threshold": -0.1}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"diversity": 1.1, "similarity": np.eye(VALUES)}, "diversity"),
        ({"diversity": -0.1}, "diversity"),
        ({"diversity": float("nan")}, "diversity"),
        ({"diversity": 0.5}, "diversity"),
        ({"diversity": 0.5, "similarity": np.eye(3)}, "similarity"),
        ({"diversity": 0.5, "similarity": np.full((VALUES, VALUES), np.nan)}, "similarity"),
    ],
)
def test_bad_requests_name_what_is_wrong(options: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as caught:
        chosen([0.5] * VALUES, **options)
    assert caught.value.field == field


def test_checks_take_what_is_allowed() -> None:
    assert resolved_count("auto", 3) == "auto"
    assert resolved_count(3, 3) == 3
    check_diversity(0)
    check_diversity(1.0)


class LetterEncoder:
    """Counts of letters as vectors: enough for a cosine."""

    name = "letters"

    def encode(self, texts, progress=None) -> np.ndarray:
        counts = np.array([[1 + text.lower().count(chr(c)) for c in range(97, 123)] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_similarity_of_definitions_is_a_cosine(small_taxonomy: Taxonomy) -> None:
    found = definition_similarity(LetterEncoder(), small_taxonomy)
    assert found.shape == (3, 3)
    assert (found <= 1).all()
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-6)
    np.testing.assert_allclose(found, found.T)
    described = [f"{value.label}: {value.definition}" for value in small_taxonomy.values]
    first, second, _ = (LetterEncoder().encode([text])[0] for text in described)
    assert found[0, 1] == pytest.approx(sum(float(a) * float(b) for a, b in zip(first, second, strict=True)), abs=1e-5)
    scores = np.array([[0.9, 0.8, 0.7]], dtype=np.float32)
    assert len(choose(scores, small_taxonomy, k=2, diversity=0.5, similarity=found)[0]) == 2


# ---------------------------------------------------------------- the default, and one way to choose


@pytest.mark.parametrize(("values", "expected"), [(1, 1), (2, 2), (5, 5), (6, 6), (31, 6)])
def test_the_default_falls_to_what_there_is(values: int, expected: int) -> None:
    assert resolved_count(None, values) == expected
    slugs = [f"value-{number}" for number in range(values)]
    taxonomy = Taxonomy([Value(slug, slug, "test", f"About {slug}.") for slug in slugs], {})
    scores = np.linspace(0.1, 0.9, values, dtype=np.float32)[None]
    assert len(choose(scores, taxonomy)[0]) == expected


@pytest.mark.parametrize("k", [0, -1, 3, 6, 2.0, True, "many"])
def test_a_number_that_was_asked_for_is_not_changed(k: object) -> None:
    with pytest.raises(InputError, match="Choose from 1 to 2 values"):
        resolved_count(k, 2)  # type: ignore[arg-type]


class OtherEncoder:
    """Texts that share a first letter point the same way, the earlier letters more to the front."""

    name = "other"

    def encode(self, texts, progress=None):
        turn = np.array([ord(text[0].lower()) % 13 for text in texts], dtype=np.float32)[:, None]
        vectors = np.cos(turn * np.arange(1, 9, dtype=np.float32))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_diversity_goes_by_the_selectors_own_encoder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path))
    monkeypatch.setattr("vispa.selection.choosing.load_encoder", lambda: pytest.fail("another encoder was asked"))
    taxonomy = Taxonomy.built_in()
    chooser = Chooser(EmbeddingSelector(taxonomy, OtherEncoder()))
    row = np.linspace(0.2, 0.8, 31, dtype=np.float32)
    found = chooser.choose(row, k=5, diversity=0.7)
    likeness = definition_similarity(OtherEncoder(), taxonomy)
    assert found == choose(row[None], taxonomy, k=5, diversity=0.7, similarity=likeness)[0]
    assert found != chooser.choose(row, k=5)


def test_a_selector_without_an_encoder_goes_by_the_bundled_one(monkeypatch) -> None:
    class Fixed:
        name, taxonomy = "fixed", TAXONOMY

        def scores(self, texts, progress=None):
            return np.tile(np.linspace(0.2, 0.8, VALUES, dtype=np.float32), (len(texts), 1))

    monkeypatch.setattr("vispa.selection.choosing.load_encoder", OtherEncoder)
    chooser = Chooser(Fixed())
    row = chooser.scores(["Feeding ducks"])[0]
    likeness = definition_similarity(OtherEncoder(), TAXONOMY)
    assert (
        chooser.choose(row, k=4, diversity=0.5)
        == choose(row[None], TAXONOMY, k=4, diversity=0.5, similarity=likeness)[0]
    )


# ---------------------------------------------------------------- what chosen sets are worth


def test_figures_of_sets_and_sides() -> None:
    from benchmarks.choosing import set_figures, side_figures, swept_gain

    scale = np.array([[2, 1, 0, 0], [0, 2, 2, 0]])
    found = set_figures([[0, 2], [1, 2, 3]], scale)
    # One of two and two of three are at stake, of four that are; three clear ones, all found.
    assert found["values"] == 2.5 and found["precision"] == 3 / 5 and found["recall"] == 3 / 4
    assert found["F1"] == pytest.approx((2 / 4 + 4 / 5) / 2) and found["clear found"] == 1.0
    promotes, sides = np.array([[0.9, 0.1, 0.6, np.nan, 0.8]]), np.array([[1.0, 1.0, 1.0, 1.0, 0.0]])
    figures = side_figures(promotes, sides)
    assert figures["cases"] == 3 and figures["right"] == pytest.approx(2 / 3)
    assert figures["told"] == pytest.approx(2 / 3) and figures["right where told"] == 0.5
    scores = np.random.default_rng(0).random((30, VALUES))
    assert swept_gain(scores, np.eye(VALUES), 3) > swept_gain(scores, np.eye(VALUES), 6)
