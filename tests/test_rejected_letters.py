"""A letter that an answer rejects is not the one it chooses."""

from __future__ import annotations

import time

import pytest

from vispa.modes.answers import read_letter

STANCES = ("Support", "Oppose", "Either")


@pytest.mark.parametrize("apostrophe", ["'", "’", "‘"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I can't choose A.", None),
        ("I don't pick B", None),
        ("I won't select (c).", None),
        ("I can't choose A. I choose B.", 1),
        ("I can't help but choose B", 1),
        ("I can't lie, so I choose B.", 1),
        ("I don't think I would choose B.", None),
        ("I don't believe the correct answer is A.", None),
        ("Option B isn't the best choice.", None),
        ("Option B doesn't fit here.", None),
        ("Option B can't be right.", None),
        ("It isn't easy, but the answer is B.", 1),
        ("This isn't right.\nAnswer: C", 2),
    ],
)
def test_every_apostrophe_denies(text: str, expected: int | None, apostrophe: str) -> None:
    assert read_letter(text.replace("'", apostrophe), 3, STANCES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I refuse to select A", None),
        ("I decline to pick (b).", None),
        ("I am unable to choose A.", None),
        ("I cannot in good conscience choose A.", None),
        ("I would never, ever choose A", None),
        ("I choose neither, nor would I pick A.", None),
        ("The wrong answer is A.", None),
        ("The worst option: C", None),
        ("Why would anyone choose A? B is better.", None),
        ("I refuse to select A. I choose B.", 1),
        ("You should not choose A; choose B.", 1),
        ("Since I cannot lie I choose B.", 1),
        ("Not lying is the right choice: B", 1),
        ("I would not hesitate to choose B.", 1),
    ],
)
def test_a_lead_in_that_refuses_names_no_choice(text: str, expected: int | None) -> None:
    assert read_letter(text, 3, STANCES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Option A is wrong. B is right.", None),
        ("Option A is not correct; option B is.", None),
        ("Answer B is incorrect.", None),
        ("Answer: B is clearly wrong", None),
        ("(A) is wrong.", None),
        ("Option A should be avoided", None),
        ("Option A cannot be the answer", None),
        ("Option A is wrong.\nOption B is right.", 1),
        ("B. Oppose, because (A) is bad", 1),
        ("The answer is A because B is wrong.", 0),
        ("Option A is not wrong.", 0),
        ("Option A is not very harmful.", 0),
        ("Option A does not hurt anyone.", 0),
        ("Option A is not only right but kind.", 0),
        ("I choose A, which is not wrong.", 0),
    ],
)
def test_a_letter_that_is_called_wrong_is_not_chosen(text: str, expected: int | None) -> None:
    assert read_letter(text, 3, STANCES) == expected


@pytest.mark.parametrize("text", ["(A) is wrong", "Answer: (A) is wrong", "A. is wrong"])
def test_an_option_s_own_text_does_not_reject_its_letter(text: str) -> None:
    assert read_letter(text, 2, ("is wrong", "is right")) == 0


@pytest.mark.parametrize(("answer", "option"), [("Don’t lie", "Don't lie"), ("don't lie.", "Don’t lie")])
def test_an_option_s_own_text_is_read_with_any_apostrophe(answer: str, option: str) -> None:
    assert read_letter(answer, 2, ("Lie", option)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "not choose " * 2_000,
        "not " * 5_000 + "choose A",
        "nor " * 5_000 + "choose A",
        "choose A is " * 1_700,
        "option A is" + " very" * 4_000,
        "(A) is\n" * 2_900,
        "Option A is " + "clearly " * 2_500,
    ],
)
def test_long_denials_are_read_in_no_time(text: str) -> None:
    started = time.process_time()
    read_letter(text, 3, STANCES)
    assert time.process_time() - started < 1
