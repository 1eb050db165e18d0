"""Questions with options, and targets in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from vispa.files.reading import read_toml
from vispa.modes.case import Case
from vispa.modes.prompts import Prompts
from vispa.modes.templates import filled
from vispa.readers.option_readings.base import MARK, list_pattern
from vispa.request import LETTERS, STANCE_OPTIONS, Request, check_different

# What a text ends in after which a letter is due.
_ANSWER = "Answer:"
# What looks like a list of options: its heading, where a line or sentence begins (no `Stock Options:`) …
_HEADING = re.compile(r"(?:^[^\S\n]*|[.?!][\"'”’)]*\s+)[*_#]*[^\S\n]?O(?:ptions|PTIONS):", re.MULTILINE)
# … or marks: `a)` anywhere and `a.` where a line begins, but not `A:`, as speakers have it.
_LISTED = re.compile(r"(?P<begun>^[^\S\n]*)?(?<!\w)\(?(?P<letter>[A-Za-z])(?(begun)[.)]|\))\s", re.MULTILINE)
# Where a sentence ends and another one begins.
_SENTENCE_END = re.compile(r"[.?!][\"'”’)]*\s+\S")
_GROUPS = Path(__file__).parent / "groups.toml"


def lettered(options: Sequence[str]) -> str:
    """`A. … B. …` in one line."""
    return " ".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))


def option_prompt(case: Case, prompts: Prompts, passage: str | None) -> str:
    """The text after which a letter is due, with a comment as a passage or without one."""
    listed = lettered(case.options)
    if case.question is None and case.options == STANCE_OPTIONS:
        fields = {"text": case.text, "options": listed}
        if passage is None:
            return filled(prompts.stance_alone, **fields)
        return filled(prompts.stance, passage=passage, **fields)
    if case.question is not None and asks_for_letter(case.question, case.options):
        question = case.question
    else:
        stem = case.text if case.question is None else question_stem(case.question, case.options)
        question = filled(prompts.question, question=stem, options=listed)
    if case.country:
        question = f"{filled(prompts.country, country=case.country)}\n{question}"
    return question if passage is None else filled(prompts.answer, passage=passage, question=question)


def with_options(request: Request) -> Request:
    """A request that holds its options, the text without them, and a wording of the question if the text is one.

    Raises:
        InputError: options that repeat each other, where no wording tells them apart.
    """
    options = tuple(request.options) or listed_options(request.question or request.text) or STANCE_OPTIONS
    question = request.question
    if question is None and asks_for_letter(request.text, options):
        question = request.text.strip()
    if not (question and asks_for_letter(question, options)):
        # A data set's own wording may list a text twice: its letters tell the two apart.
        check_different(options)
    return replace(request, text=question_stem(request.text, options), options=options, question=question)


def target_in_words(target: str) -> str:
    """`POLPARTY_Democrat` as a phrase; any other target as it is."""
    prefix, _, name = target.partition("_")
    groups = _groups()
    return filled(groups[prefix], name=name) if name and prefix in groups else target


def question_stem(question: str, options: Sequence[str] = ()) -> str:
    """What a question with options asks: without its label, its list of options and `Answer:`.

    Only a list at the end is cut off, and only if it is one: see `listed_options`.

    Args:
        question: a question as data sets write it, or any other text.
        options: that may be answered; a list of exactly these needs no label.
    """
    text = question.strip()
    body, _ = _without_label(text)
    found = _list_of(body, options) if options else None
    start = found if found is not None else _list(text)[0]
    stem = body if start is None else text[:start]
    return stem.strip().removeprefix("Question:").strip() or text


def listed_options(text: str) -> tuple[str, ...]:
    """The options that a text lists at its end; none where it does not.

    A list is consecutive letters from A, after `Options:` or, before `Answer:`, one a line.
    """
    return _list(text.strip())[1]


def hides_options(text: str) -> bool:
    r"""Whether a text seems to list options, none of which `listed_options` reads.

    Example:
        >>> hides_options("Lying?\nOptions: yes, no"), hides_options("Lying?\nOptions: A. yes B. no")
        (True, False)
    """
    return bool(_HEADING.search(text) or _ends_in_marks(text)) and not listed_options(text)


def _ends_in_marks(text: str) -> bool:
    """Whether a text ends in two or more marked parts: no question follows, and no sentence outside the last line."""
    body, _ = _without_label(text.strip())
    marks: list[re.Match[str]] = []
    for mark in _LISTED.finditer(body):
        if mark["letter"].upper() == LETTERS[len(marks) : len(marks) + 1]:
            marks.append(mark)
    if len(marks) < 2:
        return False
    last = body[marks[-1].end() :].strip()
    in_line = marks[-1]["begun"] is not None and "\n" not in last
    return not last.endswith("?") and (in_line or not _SENTENCE_END.search(last))


def asks_for_letter(text: str, options: Sequence[str]) -> bool:
    """Whether a text lists exactly these options at its end, and then asks for a letter (`Answer:`)."""
    body, labelled = _without_label(text.strip())
    return labelled and _list_of(body, options) is not None


def _without_label(text: str) -> tuple[str, bool]:
    """The text without `Answer:` at its end, and whether it has that."""
    body = text.removesuffix(_ANSWER)
    labelled = body != text and (not body or body[-1].isspace())
    return (body.rstrip(), True) if labelled else (text, False)


def _list_of(body: str, options: Sequence[str]) -> int | None:
    """Where a text's last part begins, if that lists exactly these options, however spaced."""
    found = re.search(list_pattern(options) + r"$", body)
    return found.start() if found else None


def _list(text: str) -> tuple[int | None, tuple[str, ...]]:
    """Where a text's last part begins, if that is a list of options, and the options; see `listed_options`."""
    body, labelled = _without_label(text)
    for heading in re.finditer(r"^[^\S\n]*Options:", body, re.MULTILINE):
        options = _consecutive(body[heading.end() :], r"\s")
        if len(options) > 1 or (options and labelled):
            return heading.start(), options
    if labelled:
        for line in re.finditer(r"^[^\S\n]*" + MARK.format("A") + r"\s", body, re.MULTILINE):
            options = _consecutive(body[line.start() :], r"\n[^\S\n]*")
            if len(options) > 1 and all("\n" not in option for option in options):
                return line.start(), options
    return None, ()


def _consecutive(text: str, before: str) -> tuple[str, ...]:
    """The texts after A., B. and so on, up to the end; none where the text begins otherwise or one is empty.

    Args:
        text: begins with the mark of A.
        before: pattern of what stands before the marks of the letters that follow.
    """
    options: list[str] = []
    mark = re.match(r"\s*" + MARK.format("A") + r"\s", text)
    rest = text[mark.end() :] if mark else ""
    for letter in LETTERS[1:]:
        following = re.search(before + MARK.format(letter) + r"\s", rest)
        if following is None:
            break
        options.append(rest[: following.start()].strip())
        rest = rest[following.end() :]
    options.append(rest.strip())
    return tuple(options) if all(options) else ()


def group_prefixes() -> tuple[str, ...]:
    """What the name of a group of people begins with, before an underscore: `POLPARTY` of `POLPARTY_Democrat`."""
    return tuple(_groups())


@cache
def _groups() -> dict[str, str]:
    return read_toml(_GROUPS)
