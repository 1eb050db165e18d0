"""Sentences that two sets of texts share word for word."""

from __future__ import annotations

import json

import pytest

from training import near_copies
from training.shared_sentences import LEAST_OF_OPTION, sentences, shared, suite_sentences

OTHERS = [
    "The heron stands in the brook. Nobody feeds it!",
    "QUESTION: May a heron fish in my pond?\nA long walk by the sea helps",
    "it is never wrong",
]


@pytest.mark.parametrize(
    ("ours", "found"),
    [
        # As it stands, among other sentences, and in other letters.
        ("The heron stands in the brook", ["the heron stands in the brook"]),
        ("It rains. “The HERON stands, in the brook”: so what", ["the heron stands in the brook"]),
        ("May a heron fish in my pond?", ["may a heron fish in my pond"]),
        # Theirs stands in a longer one of ours, and ours in a longer one of theirs.
        ("They say that a long walk by the sea helps old dogs.", ["a long walk by the sea helps"]),
        ("A heron fish in my", ["a heron fish in my"]),
        # Too short, other words, words of two sentences, nothing at all.
        ("Nobody feeds it. It is never wrong.", []),
        ("The heron stands in a brook", []),
        ("In the brook nobody feeds it", []),
        ("", []),
    ],
)
def test_sentences_that_stand_in_another_text_are_found(ours, found):
    assert shared({"ours": ours}, OTHERS) == [("ours", words) for words in found]


def test_every_sentence_of_every_text_is_told_by_the_name_of_its_text():
    ours = {
        "first": "A quiet pond. A long walk by the sea helps! The heron stands in the brook.",
        "second": "A long walk by the sea helps",
    }
    assert [(name, words.split()[0]) for name, words in shared(ours, OTHERS)] == [
        ("first", "a"), ("first", "the"), ("second", "a")
    ]  # fmt: skip


def test_options_count_from_fewer_words_on():
    ours = {"option": "It is never wrong"}
    assert not shared(ours, OTHERS)
    assert shared(ours, OTHERS, LEAST_OF_OPTION) == [("option", "it is never wrong")]


def test_apostrophes_and_forms_of_letters_make_no_difference():
    forms = ["The cook’s café is closed", "the cook's cafe\u0301 is CLOSED.", "The cooks café, is closed…"]
    assert {tuple(sentences(one)) for one in forms} == {(("the", "cooks", "café", "is", "closed"),)}


SUITE = """S\ts1\tA heron fishes in a pond
G\ts1\tright\tRight to a full pond\t-\tThe fish are gone by the evening.
T\ts1\tA long walk by the sea\tEither
Q\tq1\tWho feeds it?\tNobody\tThe one who owns the pond\tThe town\tAll
V\tq1\tsec\tA
"""


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "herons.tsv").write_text(SUITE)
    return suite_sentences(["herons"], tmp_path)


def test_all_texts_of_a_suite_are_compared_but_names(suite):
    texts, options = suite
    assert set(texts.values()) == {
        "A heron fishes in a pond", "The fish are gone by the evening.", "A long walk by the sea", "Who feeds it?"
    }  # fmt: skip
    assert options == {
        f"herons q1 {letter}": text
        for letter, text in zip("ABCD", ["Nobody", "The one who owns the pond", "The town", "All"], strict=True)
    }


@pytest.mark.parametrize(
    ("field", "text", "found"),
    [
        ("situation", "Look: a heron fishes in a pond!", "s1: word for word: a heron fishes in a pond"),
        ("question", "Question: who owns it? The fish are gone by the evening.\nOptions: A. Yes", "the fish are gone"),
        ("explanation", ["a heron", "For some a long walk by the sea is a joy"], "s1 target A long walk by the sea: "),
        ("options", ["Yes", "the one who owns the pond"], "herons q1 B: word for word: the one who owns the pond"),
        ("vrd", "A long walk by the sea", "s1 target A long walk by the sea: word for word: a long walk"),
        ("vrd", "Right to a full pond", None),
    ],
)
def test_the_command_compares_with_every_field_of_a_folder(tmp_path, monkeypatch, capsys, suite, field, text, found):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "others.json").write_text(json.dumps([{field: text, "id": 1}]))
    monkeypatch.setattr(near_copies, "own_situations", lambda: {"A stork nests on the chimney"})
    monkeypatch.setattr(near_copies, "own_sentences", lambda: {"Storks bring luck to a house"})
    monkeypatch.setattr(near_copies, "suite_texts", lambda domains: ({"herons s9": "Rain"}, {"herons s9 Joy": "Wet"}))
    monkeypatch.setattr(near_copies, "suite_sentences", lambda domains: suite)
    monkeypatch.setattr("sys.argv", ["near_copies", "--data", str(tmp_path / "data"), "--domains", "herons"])
    near_copies.main()
    printed = [line for line in capsys.readouterr().out.splitlines() if "word for word" in line]
    assert [found in line for line in printed] == [True] if found else not printed


def test_what_the_encoder_learned_as_names_and_definitions_counts(tmp_path):
    (tmp_path / "told.csv").write_text("situation,values\nab,patience: waiting for herons ; calm: sitting still\ncd,\n")
    assert near_copies.told_texts(tmp_path / "told.csv") >= {"patience: waiting for herons", "calm: sitting still"}
    assert near_copies.told_texts() <= near_copies.own_sentences()
