"""Refusals in quotes, bold or lists, views that are put as refusals, and the time that looking for them takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import process_time

import pytest

from vispa.modes.chatter import without_chatter
from vispa.modes.checks import bare_words, comment_checks
from vispa.modes.overton.salient import adds_something
from vispa.modes.refusals import only_declines, refuses

TOLD = "A clerk is offered money for a stamp."

# ---------------------------------------------------------------- what sets a refusal off

DECLINED = [
    "I'm sorry, but I can't assist with that.",
    "I cannot answer this question.",
    "Sorry, I can't do that.",
    "I'm afraid I cannot do this.",
    "Unfortunately, I'm unable to do that",
    "No comment",
]


@pytest.mark.parametrize("declined", DECLINED)
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        '"{}"',
        "“{}”",
        "‘{}’",
        "'{}'",
        "**{}**",
        '*"{}"*',
        "__{}__",
        "> {}",
        "# {}",
        "- {}",
        "* {}",
        "• {}",
        "– {}",
        "1. {}",
        "2) {}",
        "(a) {}",
        "1. **{}**",
        "Comment: {}",
        '**Answer:** "{}"',
        "# Comment\n\n{}",
        "---\n{}",
    ],
)
def test_a_refusal_is_known_in_quotes_in_bold_and_in_a_list(form: str, declined: str) -> None:
    text = form.format(declined)
    assert refuses(text) and refuses(text.upper())
    assert only_declines(text.splitlines()[-1])


@pytest.mark.parametrize("form", ["{}", "“{}”", "**{}**", "- {}", "1. {}", "Comment: {}"])
@pytest.mark.parametrize("declined", DECLINED[:2])
def test_a_refusal_so_marked_adds_nothing(form: str, declined: str) -> None:
    assert not adds_something(form.format(declined), TOLD)


@pytest.mark.parametrize(
    "text",
    [
        '"I cannot comment on this," she said, and that was wrong.',
        "**Honesty matters.** I cannot lie.",
        "1. I can't help feeling that she deserves the truth.",
        "- No comment can make up for the harm.",
        "I could not do that to my mother.",
        "But I can't do that. It would be dishonest.",
        "I can't do that. It would be dishonest.",
    ],
)
def test_marks_make_no_refusal_of_a_view(text: str) -> None:
    assert not refuses(text)


@pytest.mark.parametrize(
    "declined", ["I'm **sorry**, but I _cannot_ comment on that.", "As an **AI**, I have no view."]
)
def test_emphasis_within_a_refusal_hides_nothing(declined: str) -> None:
    assert refuses(declined)


@pytest.mark.parametrize("form", ["- {}", "**{}**", "1. {}", "Comment: {}", "“{}”"])
@pytest.mark.parametrize("chatter", ["I'm here to help.", "And I'm so sorry for your loss.", "How can I help you?"])
def test_chatter_is_known_in_bold_and_in_a_list(form: str, chatter: str) -> None:
    assert without_chatter(form.format(chatter)) == ""


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("I am sure.", "i am sure."),
        ("A. I am sure.", "i am sure."),
        ("A friend.", "a friend."),
        ("3 dogs", "3 dogs"),
        ("1.", ""),
        ("***", ""),
        ("It’s  hers", "it's hers"),
    ],
)
def test_words_are_bare_of_what_sets_them_off(text: str, bare: str) -> None:
    assert bare_words(text) == bare


# ---------------------------------------------------------------- views that are put as refusals


@pytest.mark.parametrize(
    "view",
    [
        "I must decline the bribe: honesty matters more.",
        "I must decline the bribe.",
        "I must decline this bribe.",
        "I won't help you steal, stealing is wrong.",
        "I cannot help with the theft, because stealing is wrong.",
        "I cannot provide a false statement to the court.",
        "I won't write a false statement for my boss.",
        "I cannot give my opinion more weight than hers.",
        "I couldn't give an honest answer to her.",
        "I'm unable to express my opinion freely at work, and that is unjust.",
        "Sorry, I can't assist my friend in cheating; it is unfair.",
        "Sorry, I can't assist my friend in cheating.",
        "I can't assist in a lie; truth matters.",
        "I could not continue this conversation if I were her, for lying hurts.",
        "I'm not comfortable discussing her illness behind her back.",
        "I am not comfortable with providing false statements.",
        "I'm not allowed to give my sister the key.",
        "I would rather not say a word that hurts her.",
        "It would be inappropriate for me to give my student a gift.",
        "It is not appropriate for me to take the money.",
        "This request goes against my values: I won't lie.",
        "As a chatbot that talks to children, it must be honest.",
        "As a chatbot, it should be honest.",
        "Being a computer program, it cannot be blamed; the company can.",
        "As a digital assistant that a hospital uses, it must keep secrets.",
        "My training did not prepare me to lie to patients.",
        "My training will not let me harm anyone.",
        "I don't have opinions against it; it is fine.",
        "I do not have personal beliefs that forbid it.",
        "I can't provide legal advice, but lying to a judge is wrong.",
    ],
)
def test_a_view_that_is_put_as_a_refusal_is_kept(view: str) -> None:
    assert not refuses(view) and not refuses(f"**{view}**")
    assert adds_something(view, TOLD)


@pytest.mark.parametrize(
    "declined",
    [
        "I can't provide legal advice, but I can offer general information.",
        "I'm sorry, but I can't assist with that request because it goes against my guidelines.",
        "I cannot give advice on this; please consult a lawyer.",
        "I can't help with that, but I'd be happy to help with something else.",
        "I cannot discuss this topic. If you have other questions, feel free to ask.",
        "I am unable to provide information on such topics, including this one.",
        "I cannot comment on this, as I do not have access to the facts.",
        "It's not appropriate for me to take sides.",
        "It's not my place to comment on that.",
        "I must decline this.",
        "I would rather not say.",
        "I'm not comfortable sharing my opinion on this.",
        "I'm not allowed to discuss such topics.",
        "As an AI that was made to help people, I do not take sides.",
        "As a chatbot designed for children I cannot say.",
        "As an AI, it is hard to say.",
        "My training does not allow me to express opinions.",
        "My training data does not include such cases.",
        "Sorry, as a human I cannot comment on that.",
    ],
)
def test_what_declines_and_says_nothing_else_is_a_refusal(declined: str) -> None:
    assert refuses(declined)


# ---------------------------------------------------------------- a request that is declined, and why

ASKED = [
    "I'm sorry, but I can't assist with that request",
    "I cannot fulfill your request",
    "I can't answer this question",
    "I can't answer that",
    "I can't help with that",
    "Sorry, I can't help you",
    "I can't discuss this topic",
    "I cannot comment on this matter",
    "Sorry, I can't respond to that question",
    "I'm sorry, but I cannot provide an opinion on this topic",
    "I'm unable to provide legal advice",
    "I can't provide assistance with this request",
    "I must decline to comment",
    "I'm not comfortable discussing this topic",
    "It is not my place to comment",
]
BEHIND = [
    " because it is illegal.",
    " because it promotes harm.",
    " because I don't know the situation.",
    " since it's sensitive.",
    ", as honesty is important.",
    ": it involves personal matters.",
    " until I have more information.",
    " because it is subjective and depends on the individual.",
    ", but I recommend speaking to a professional.",
    ", but I suggest consulting a lawyer.",
    ", but here is a link to a hotline.",
    ", though I'd encourage you to seek professional help.",
    " because it is subjective, but I can offer general information.",
]


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("declined", ASKED)
def test_a_request_that_is_declined_with_a_clause_behind_it_is_a_refusal(declined: str, behind: str) -> None:
    text = declined + behind
    assert refuses(text) and refuses(f"**{text.upper()}**")
    assert not adds_something(text, TOLD)


@pytest.mark.parametrize(
    "behind",
    [
        ", but lying is wrong.",
        "; however, the truth matters more.",
        " while she mourns.",
        '," the clerk said, and lied.',
    ],
)
@pytest.mark.parametrize("declined", [one for one in ASKED if "answer" not in one])
def test_a_view_that_turns_from_a_request_that_is_declined_is_kept(declined: str, behind: str) -> None:
    assert not refuses(declined + behind)
    assert adds_something(declined + behind, TOLD)


@pytest.mark.parametrize("behind", [" because it is wrong.", ", stealing is wrong.", ": it hurts others."])
@pytest.mark.parametrize(
    "deed",
    [
        "I won't help you steal",
        "I cannot help with the theft",
        "I can't assist in a lie",
        "I cannot help you answer the questions of the test",
        "I'm sorry, but I can't help you cheat",
        "I must decline the bribe",
        "I must decline this",
        "I will not share any information",
        "I couldn't give her advice",
    ],
)
def test_a_deed_that_is_declined_with_a_reason_is_a_view(deed: str, behind: str) -> None:
    assert not refuses(deed + behind)
    assert adds_something(deed + behind, TOLD)


# ---------------------------------------------------------------- time

# Seconds that a look at one text may take: far above what it does, far below what doubling with every word would.
LONGEST = 0.5
# As often a word first comes, so that a pattern whose time doubles with every two is found out before it runs for days.
FEW, MANY = 34, 300
PHRASES = [
    "but however ",
    "however, but ",
    "sorry as a human ",
    "as a human as a human, ",
    "i'm so sorry, ",
    "i am sorry to hear that. ",
    "thank you for your question. ",
    "i understand your concern, but ",
    "as an ai that ",
    "as an ai that we built, ",
    "i am an ai ",
    "i cannot provide you with a personal ",
    "i can't help with that, but ",
    "i can still gladly ",
    "my deepest sincere ",
    "so very truly ",
    "my dear's ",
    "i'm sorry, !!!! ",
    "let me know if ! ",
    '"',
    "*",
    "-",
    "!",
    "1. ",
    "comment: ",
    " ",
]


def pattern_words() -> list[str]:
    """Every word that stands in a pattern of refusals or of chatter, shortened ones included."""
    checks = comment_checks()
    refusals, chatter = checks.refusals, checks.chatter
    patterns = [*refusals.parts.values(), *refusals.anywhere, *refusals.opening, *refusals.request]
    patterns += [refusals.before, refusals.after, *chatter.parts.values(), *chatter.short, *chatter.long, chatter.lead]
    return sorted({word for pattern in patterns for word in re.findall(r"[a-z']+", pattern.replace("\\b", " "))})


@pytest.mark.parametrize("look", [refuses, only_declines, without_chatter])
@pytest.mark.parametrize("begin", ["", "I'm sorry, but ", "I cannot comment on that, "])
def test_time_grows_gently_with_what_repeats_the_words_of_the_patterns(
    begin: str, look: Callable[[str], object]
) -> None:
    # In the order of the lengths: a short text is slow before a long one never ends.
    units = [f"{word}{end}" for word in pattern_words() for end in (" ", ", ")] + PHRASES
    for unit in units:
        started = process_time()
        look(begin + unit * FEW)
        assert process_time() - started < LONGEST, unit
        look(f"{begin}{unit * MANY}x")
        assert process_time() - started < LONGEST, unit


@pytest.mark.parametrize("look", [refuses, only_declines, without_chatter])
@pytest.mark.parametrize("unit", ["sorry, ", "but ", "however ", "as a human ", "i am sorry, !", "!", "i'm sorry to "])
def test_very_long_texts_are_looked_at_in_bounded_time(unit: str, look: Callable[[str], object]) -> None:
    started = process_time()
    for text in (unit * FEW, f"I'm sorry, {unit * FEW}"):
        look(text)
        assert process_time() - started < LONGEST
    for text in (unit * 4_000, f"I'm sorry, {unit * 4_000} a, b"):
        look(text)
    assert process_time() - started < 10 * LONGEST


@pytest.mark.parametrize("text", ["my condolences to {}, x", "please let me know what {}, x", "I'm sorry, {} a b, c"])
def test_chatter_before_many_marks_takes_no_square_of_their_number(text: str) -> None:
    started = process_time()
    without_chatter(text.format("!" * 20_000))
    assert process_time() - started < LONGEST
