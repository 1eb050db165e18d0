"""Labelled situations: what ships, how it came from the readings, and files of users' own."""

from __future__ import annotations

import csv
import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from benchmarks.agreement import agreement, matrices
from training.readings import (
    CODES,
    SPLITS,
    Readings,
    codes,
    key,
    load_readings,
    relabelled,
    split_of,
    write,
)
from vispa.errors import InputError
from vispa.selection.labelled import (
    Labelled,
    Stake,
    label_matrix,
    load_situations,
    scale_matrix,
    side_matrix,
)
from vispa.taxonomy import Taxonomy

VALUES = tuple(Taxonomy.built_in())


@pytest.fixture(scope="module")
def splits() -> dict[str, Labelled]:
    return {split: load_situations(path, VALUES) for split, path in SPLITS.items()}


# ---------------------------------------------------------------- what ships


def test_there_are_many_situations_and_a_third_is_about_health(splits: dict[str, Labelled]) -> None:
    domains = Counter(domain for split in splits.values() for domain in split.domains)
    assert domains.total() >= 4000 and len(domains) >= 12
    assert 1 / 3 <= domains["health"] / domains.total() <= 0.45
    lengths = np.array([len(text.split()) for split in splits.values() for text in split.texts])
    assert (lengths <= 12).mean() > 0.2 and (lengths >= 60).mean() > 0.05


def test_every_value_can_be_learned_and_tested(splits: dict[str, Labelled]) -> None:
    for split, least in (("training", 50), ("development", 5), ("test", 10)):
        labels = label_matrix(splits[split], VALUES)
        assert labels.sum(0).min() >= least, (split, dict(zip(VALUES, labels.sum(0), strict=True)))


def words(text: str) -> frozenset[str]:
    return frozenset("".join(c for c in text.lower() if c.isalnum() or c == " ").split())


def test_no_split_repeats_another(splits: dict[str, Labelled]) -> None:
    known = [words(text) for text in splits["training"].texts]
    for split in ("development", "test"):
        for text in splits[split].texts:
            own = words(text)
            # Short texts may share most of their few words and still be about something else.
            assert not any(len(own & other) / len(own | other) > 0.75 for other in known), text
    assert len({words(text) for one in splits.values() for text in one.texts}) == sum(
        len(one.texts) for one in splits.values()
    )


def test_the_text_alone_says_the_split(splits: dict[str, Labelled]) -> None:
    told = Counter((split, split_of(text)) for split, one in splits.items() for text in one.texts)
    assert {pair for pair in told if pair[0] != pair[1]} == {("training", "test"), ("training", "development")}
    assert told["training", "test"] + told["training", "development"] < 50


def test_labels_are_what_the_readings_come_to(splits: dict[str, Labelled]) -> None:
    readings = load_readings()
    assert set(readings) == {key(text) for split in splits.values() for text in split.texts}
    for split in splits.values():
        assert relabelled(split, readings) == split


def test_the_third_reader_settled_every_difference_and_nothing_else() -> None:
    for name, one in load_readings().items():
        for slug in VALUES:
            pair = [reading.get(slug, Stake(0, "~")) for reading in (one.first, one.second)]
            differ = pair[0].scale != pair[1].scale or {stake.side for stake in pair} == {"+", "-"}
            assert differ == (slug in one.third), (name, slug)


def test_codes_are_the_taxonomys() -> None:
    assert tuple(codes().values()) == VALUES, CODES


@pytest.mark.parametrize(
    ("first", "second", "third", "expected"),
    [
        ("2+", "2+", None, "2+"),
        ("2+", "2~", None, "2~"),
        ("0", "2-", "1-", "1-"),
        ("0", "2-", "0", None),
        ("1-", "0", "2+", "1~"),
        ("1+", "1-", "1-", "1-"),
        ("1+", "1-", "0", "1~"),
        ("1+", "2~", "2+", "2+"),
    ],
)
def test_how_readings_are_settled(first: str, second: str, third: str | None, expected: str | None) -> None:
    def reading(label: str | None) -> dict[str, Stake]:
        return {} if label is None else {"karma": Stake(int(label[0]), label[1:] or "~")}  # type: ignore[arg-type]

    merged = Readings(
        *(reading(None if label == "0" and label is not third else label) for label in (first, second, third))
    )
    assert merged.merged() == reading(expected)


# ---------------------------------------------------------------- files

GOOD = "situation,domain,values\nFeeding ducks,nature,karma:1+ honor:2~\nA quiet day,home,\n"


def test_a_table_and_json_lines_say_the_same(tmp_path: Path) -> None:
    table, lines = tmp_path / "a.csv", tmp_path / "a.jsonl"
    table.write_text(GOOD)
    rows = list(csv.DictReader(GOOD.splitlines()))
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = load_situations(table)
    assert found == load_situations(lines)
    assert found.stakes == ({"karma": Stake(1, "+"), "honor": Stake(2, "~")}, {})
    again = tmp_path / "b.csv"
    write(found, again)
    assert again.read_text() == GOOD


def test_matrices() -> None:
    stakes = ({"karma": Stake(1, "+"), "honor": Stake(2, "-")}, {}, {"honor": Stake(1, "~")})
    labelled = Labelled(("a", "b", "c"), ("", "", ""), stakes)
    order = ("honor", "power", "karma")
    np.testing.assert_array_equal(scale_matrix(labelled, order), [[2, 0, 1], [0, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(label_matrix(labelled, order), [[1, 0, 1], [0, 0, 0], [1, 0, 0]])
    nan = np.nan
    np.testing.assert_array_equal(side_matrix(labelled, order), [[-1, nan, 1], [nan, nan, nan], [0, nan, nan]])


def test_a_domain_can_be_picked(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(GOOD)
    found = load_situations(tmp_path / "a.csv")
    assert found.of_domain("home").texts == ("A quiet day",)
    with pytest.raises(InputError, match="home, nature"):
        found.of_domain("sea")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "situation,domain,stances\nDucks,nature,karma:+\n", "older release"),
        ("a.csv", "text,values\nDucks,karma:1+\n", "lacks situation"),
        ("a.csv", "situation,values\n", "holds no situation"),
        ("a.csv", "situation,values\nDucks,karma:1+\n ,karma:1+\n", "line 3: situation"),
        ("a.csv", "situation,values\nDucks,karma:3+\n", "line 2.*'karma:3.'"),
        ("a.csv", "situation,values\nDucks,karma\n", "line 2.*slug:scale side"),
        ("a.csv", "situation,values\nDucks,karma:1+ karma:2+\n", "line 2.*karma twice"),
        ("a.csv", "situation,values\nDucks,karms:1+\n", "line 2.*unknown value 'karms'"),
        ("a.csv", "situation,values\nDucks,\nDucks,\n", "line 3.*line 2 again"),
        ("a.jsonl", '{"situation": "Ducks", "values": ""}\n{"situation": "Geese"}\n', "line 2.*lacks values"),
        ("a.jsonl", '{"situation": "Ducks", "values": {"karma": 1}}\n', "line 1.*no text"),
        ("a.jsonl", '{"situation": 4, "values": ""}\n', "line 1.*no text"),
        ("a.jsonl", '"Ducks"\n', "line 1.*no JSON object|line 1.*not a JSON object"),
    ],
)
def test_unusable_files_are_refused_with_their_line(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        load_situations(tmp_path / name, VALUES)


# ---------------------------------------------------------------- agreement


def test_agreement_equals_other_computations() -> None:
    from sklearn.metrics import cohen_kappa_score

    draw = np.random.default_rng(0)
    first = draw.choice(3, p=[0.6, 0.3, 0.1], size=(40, 5))
    second = np.where(draw.random(first.shape) < 0.7, first, draw.choice(3, size=first.shape))
    found = agreement(first, second)
    one, other = first.ravel(), second.ravel()
    assert found["kappa, at stake"] == pytest.approx(cohen_kappa_score(one > 0, other > 0))
    assert found["kappa, clearly"] == pytest.approx(cohen_kappa_score(one > 1, other > 1))
    assert found["kappa, quadratic"] == pytest.approx(cohen_kappa_score(one, other, weights="quadratic"))
    # Krippendorff's alpha: disagreement within a cell against that of any two of all that was said.
    pooled = np.concatenate([one, other])
    counts = np.bincount(pooled)

    def distance(a: int, b: int) -> float:
        low, high = sorted((int(a), int(b)))
        return float((counts[low : high + 1].sum() - (counts[low] + counts[high]) / 2) ** 2)

    within = np.mean([distance(a, b) for a, b in zip(one, other, strict=True)])
    anywhere = np.mean([distance(pooled[i], pooled[j]) for i, j in combinations(range(len(pooled)), 2)])
    assert found["alpha, ordinal"] == pytest.approx(1 - within / anywhere)


def test_readers_of_the_situations_agree() -> None:
    first, second = matrices(list(load_readings().values()), VALUES)
    found = agreement(first, second)
    assert first.shape == (len(load_readings()), len(VALUES)) and min(found.values()) > 0.7
