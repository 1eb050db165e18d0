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


REASONS = (
    "Lying is wrong",
    "It's bad",
    "I would not lie",
    "Not acceptable",
    "You should not do it",
    "It does not cause harm",
    "He refused",
    "I do not know",
    "It is what I would never do",
)


@pytest.mark.parametrize("label", ["Answer: B", "Option B", "The answer is B", "**Answer:** (B)", "I choose B"])
@pytest.mark.parametrize("gap", ["\n", "\n\n", " \n ", "\r\n", "\n- "])
@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_in_the_line_before_rejects_nothing(reason: str, gap: str, label: str) -> None:
    # `Option B` is a label only where it begins a line.
    if gap != "\n- " or label != "Option B":
        assert read_letter(f"{reason}{gap}{label}", 3, STANCES) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The action is not wrong Answer: A", 0),
        ("Lying is clearly wrong Answer: B", 1),
        ("It does not cause harm Answer: (A)", 0),
        ("Since it does not hurt anyone the best option is A.", 0),
        ("As honesty cannot be compromised the answer is B.", 1),
        ("If you are not able to pay the right choice is B.", 1),
        ("Because she declined the best option is A", 0),
        ("As you do not see the risk the answer is B", 1),
        ("Whether or not he agrees the answer is A", 0),
        ("Whether or not he agrees choose A", 0),
        ("More often than not the answer is B", 1),
        ("Like it or not, my answer: B", 1),
        ("I would not say that the answer is A.", None),
        ("I am not sure whether the right option is A", None),
        ("I can't honestly claim the answer is A", None),
        ("I refuse to say the answer is A", None),
        ("I do not think I would say the answer is A", None),
        ("Nor do I believe that the best choice is A", None),
        ("That is not the right answer: A", None),
        ("Lying helps. Wrong answer: A", None),
        ("The clearly wrong choice is A", None),
        ("The **wrong** answer is A", None),
        ("I do not **choose** A", None),
    ],
)
def test_only_words_on_a_label_reject_it(text: str, expected: int | None) -> None:
    assert read_letter(text, 3, STANCES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer is A, which is bad for her but right.", 0),
        ("Answer: A, which is not ideal.", 0),
        ("I choose (A), which seems harmful at first.", 0),
        ("Option A is worse.", 0),
        ("(A) is worse", 0),
        ("Option A, which is wrong, hurts her.", None),
        ("(A), which is bad.", None),
    ],
)
def test_a_drawback_of_a_choice_does_not_reject_it(text: str, expected: int | None) -> None:
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
        "not say the wrong answer is " * 700,
        "not the answer: " * 1_200,
        "not say to the\n" * 1_300 + "answer: A",
        "option A is" + " very" * 4_000,
        "(A) is\n" * 2_900,
        "Option A is " + "clearly " * 2_500,
    ],
)
def test_long_denials_are_read_in_no_time(text: str) -> None:
    started = time.process_time()
    read_letter(text, 3, STANCES)
    assert time.process_time() - started < 1
