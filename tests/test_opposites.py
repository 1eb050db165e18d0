"""Texts in nearly the same words that say the opposite are no repetitions, and count for their own values alone."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from mode_parts import Reader

from vispa.modes.case import Case
from vispa.modes.overton.extractive import ExtractiveAggregator
from vispa.modes.overton.written import WrittenAggregator
from vispa.modes.prompts import built_in_prompts
from vispa.modes.repeats import differs
from vispa.records import Comment, OvertonResponse, Stance
from vispa.taxonomy import Taxonomy

OPPOSITES = [
    ("Comfort is more important than honesty.", "Honesty is more important than comfort."),
    ("You should tell her the comforting lie.", "You should never tell her the comforting lie."),
    ("It is right to tell her a comforting lie.", "It is not right to tell her a comforting lie."),
    ("It is wrong to eat meat.", "It isn’t wrong to eat meat."),
    ("This is fair to everyone at the table.", "This is unfair to everyone at the table."),
    ("It is moral to lie in this situation.", "It is immoral to lie in this situation."),
    ("It is responsible to sell the old car.", "It is irresponsible to sell the old car."),
    ("An honest answer is what she wants.", "A dishonest answer is what she wants."),
    ("It is unacceptable to lie to her now.", "It is not unacceptable to lie to her now."),
    ("It is right to lie to her about it.", "It is wrong to lie to her about it."),
    ("Honesty is more important than comfort.", "Honesty is less important than comfort."),
    ("You should keep the promise that you made.", "You should break the promise that you made."),
    ("Pay him with a contract for a whole year.", "Pay him without a contract for a whole year."),
    ("Nobody in the house should be told of it.", "Everybody in the house should be told of it."),
    ("Loyalty to family comes before loyalty to work.", "Loyalty to work comes before loyalty to family."),
    ("He should work for 5 hours in a day.", "He should work for 8 hours in a day."),
]
SAME = [
    ("It is wrong to fire him to save money.", "It's wrong to fire him just to save money."),
    ("It is not fair to all of us here.", "It is unfair to all of us here."),
    ("It is not right to lie to her now.", "It is wrong to lie to her now."),
    ("In this case, wait for her.", "Wait for her in this case."),
    ("1. Honesty matters most.", "3) Honesty matters most!"),
    ("I can’t lie to my own mother.", "I can't lie to my own mother."),
    ("She does not owe him a word.", "She doesn't owe him a word."),
]


def comment(value: str, text: str, stance: Stance | None = None) -> Comment:
    stances = {} if stance is None else {stance: 1.0}
    return Comment(value=value, text=text, shift={}, prompt="", tokens=1, stance=stances)


def never(texts: Sequence[str]) -> np.ndarray:
    raise AssertionError(f"embedded without need: {texts}")


def quoted(taxonomy: Taxonomy, *comments: Comment) -> list[tuple[str, tuple[str, ...]]]:
    (answer,) = ExtractiveAggregator(taxonomy, never).aggregate([Case("Paying a debt late", comments)])
    assert isinstance(answer, OvertonResponse)
    return [(claim.text, claim.values) for claim in answer.claims if claim.text in {one.text for one in comments}]


class Alike:
    """An encoder to which all texts are the same."""

    name = "alike"

    def encode(self, texts: Sequence[str], progress: object = None) -> np.ndarray:
        return np.ones((len(texts), 1), dtype=np.float32)


@pytest.mark.parametrize(("first", "second"), OPPOSITES)
def test_opposites_in_the_same_words_are_told_apart(first: str, second: str, small_taxonomy: Taxonomy) -> None:
    assert differs(first, second) and differs(second, first)
    found = quoted(small_taxonomy, comment("calm", first), comment("thrift", second))
    assert found == [(first, ("calm",)), (second, ("thrift",))]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_what_is_the_same_is_merged(first: str, second: str, small_taxonomy: Taxonomy) -> None:
    assert not differs(first, second) and not differs(second, first)
    assert not differs(first, first)


@pytest.mark.parametrize(("first", "second"), SAME[3:6])
def test_what_is_the_same_is_quoted_once(first: str, second: str, small_taxonomy: Taxonomy) -> None:
    found = quoted(small_taxonomy, comment("calm", first), comment("thrift", second))
    assert found == [(first, ("calm", "thrift"))]


@pytest.mark.parametrize(
    ("first", "second", "text", "merged"),
    [
        ("support", "oppose", "Debts are owed to all of them here.", False),
        ("oppose", "support", "Debts are owed to all of them here.", False),
        ("support", "either", "Debts are owed to all of them here.", True),
        ("support", None, "Debts are owed to all of them here.", True),
        ("oppose", "oppose", "Debts are owed to all of them here.", True),
        ("support", "oppose", "Debts are owed to all of them now.", True),
    ],
)
def test_sentences_of_opposite_sides_are_merged_only_word_for_word(
    first: Stance, second: Stance | None, text: str, merged: bool, small_taxonomy: Taxonomy
) -> None:
    told = "Debts are owed to all of them now."
    found = quoted(small_taxonomy, comment("calm", told, first), comment("thrift", text, second))
    assert found == ([(told, ("calm", "thrift"))] if merged else [(told, ("calm",)), (text, ("thrift",))])


@pytest.mark.parametrize(("first", "second"), OPPOSITES)
def test_a_written_sentence_is_not_traced_to_its_opposite(first: str, second: str) -> None:
    aggregator = WrittenAggregator(Reader(second), built_in_prompts().overton, Alike())
    comments = [comment("calm", first), comment("thrift", second)]
    (answer,) = aggregator.aggregate([Case("Paying a debt late", comments)])
    assert isinstance(answer, OvertonResponse)
    assert [claim.values for claim in answer.claims] == [("thrift",)]


@pytest.mark.parametrize("scrap", ["right ", "not ", "un", "1. ", "a b ", "unun ", "wrong right ", "n't"])
def test_long_texts_are_compared_in_linear_time(scrap: str) -> None:
    start = time.process_time()
    text = scrap * (500_000 // len(scrap))
    differs(text, f"{text} x")
    differs(text, f"wrong {text}")
    numbered = " ".join(f"un{number}" for number in range(50_000))
    differs(numbered, numbered.replace("un", ""))
    assert time.process_time() - start < 10
