"""Reading the chosen option out of a free answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vispa.errors import InputError
from vispa.request import LETTERS

# What may stand around an answer without changing it: quotes, markup, brackets, end punctuation.
_WRAPPING = " \t\"'`*_“”‘’()[]{}<>.,:;!"

# A letter that is marked as an option: `B.`, `(b)`, `B:` at the start of a line …
_LINE_MARK = re.compile(
    r"^[ \t\"'`*_]*(?:[(\[]([A-Za-z])[)\]]|([A-Za-z])[*_]*(?:[.):](?!\w)|\s+[-–—]\s))", re.MULTILINE
)
# … or, as a capital, within one.
_INNER_MARK = re.compile(r"(?<![\w.])(?:\(([A-Z])\)|([A-Z])[.)](?=\s|$))")

# What leads in to an answer: `Answer: `, `the answer is `, `I would choose option `.
_LEAD = re.compile(
    r"(?:\b(?:answer|choice|option)\b[*_]*\s*(?P<colon>[:=])"
    r"|\b(?:answer|choice|option)\s+(?:is|would\s+be)\b:?"
    r"|(?<!not )(?<!n't )(?<!never )\b(?:choose|chose|pick|select)\b"
    r"|^[ \t\"'`*_]*(?=(?:option|answer)\s))"
    r"[\s*_\"'`]*(?:(?:option|answer|letter)\s+)?[\s*_\"'`]*",
    re.IGNORECASE | re.MULTILINE,
)
# The letter after it: in brackets, before punctuation or the end, or a capital on its own. After
# a colon a lone capital may start a sentence (`Answer: A person …`).
_LED = re.compile(r"[(\[]([A-Za-z])[)\]]|([A-Za-z])(?=[*_\"'`]*(?:[.,;:!)\]]|\s*$|\s*\n))")
_LED_CAPITAL = re.compile(r"([A-Z])(?!\w)")
# A second letter beside the first: `A or B`, `A/B`, `A and option C`.
_SECOND = re.compile(r"[\s*_)\]]*(?:,|/|&|\bor\b|\band\b)\s*(?:option\s+)?[(\[*_]*([A-Za-z])(?![\w'])", re.IGNORECASE)


def read_letter(text: str, count: int, options: Sequence[str] = ()) -> int | None:
    """The option that an answer chooses, from 0, or None if it chooses none or several.

    Read are, in this order: a first line that is a letter alone (`B`, `(b)`, `**B.**`) or, where
    the options are given, an option's own text, whatever its case, closing punctuation or
    third-person s (`supports`); a letter or option after a lead-in (`Answer: C`, `the answer is
    (b)`, `I would choose option A`); a letter marked as an option at the start (`A. Support`).
    An answer that marks several letters is read only if a lead-in names one of them.

    Args:
        text: the answer.
        count: number of options, 1 to 26.
        options: the options' texts, if they may be given as an answer.

    Raises:
        InputError: an unusable number of options.
    """
    if not 1 <= count <= len(LETTERS):
        raise InputError("count", f"is {count}.", f"Give 1 to {len(LETTERS)} options.")
    if options and len(options) != count:
        raise InputError("options", f"has {len(options)} texts for {count} options.", "Give one for each option.")
    text = text.strip()
    first_line = text.split("\n", 1)[0]
    if first_line.strip(_WRAPPING).upper() in tuple(LETTERS):
        return _position(first_line.strip(_WRAPPING), count)
    if (option := _option(first_line, options)) is not None:
        return option
    marked = _marked(text, first_line, LETTERS[:count])
    led = _led(text, LETTERS[:count], options)
    if led is None:
        return None
    if led:
        # A single mark that says otherwise makes the answer ambiguous; several are the options repeated.
        chosen = led if len(marked) > 1 else led | marked
        return _position(chosen.pop(), count) if len(chosen) == 1 else None
    return _position(marked.pop(), count) if len(marked) == 1 and _LINE_MARK.match(text) else None


def _position(letter: str, count: int) -> int | None:
    position = LETTERS.index(letter.upper())
    return position if position < count else None


def _marked(text: str, first_line: str, letters: str) -> set[str]:
    """Which letters are marked as options: at line starts, and anywhere in the first line."""
    found = [*_LINE_MARK.findall(text), *_INNER_MARK.findall(first_line)]
    return {(bracketed or plain).upper() for bracketed, plain in found} & set(letters)


def _led(text: str, letters: str, options: Sequence[str]) -> set[str] | None:
    """Letters after lead-ins; None if one of these names two at once."""
    led: set[str] = set()
    for lead in _LEAD.finditer(text):
        letter = _LED.match(text, lead.end())
        if letter is None and not lead["colon"]:
            letter = _LED_CAPITAL.match(text, lead.end())
        if letter is None:
            option = _option(text[lead.end() :].split("\n", 1)[0], options)
            led |= {LETTERS[option]} if option is not None else set()
            continue
        second = _SECOND.match(text, letter.end())
        if second and second[1].upper() in letters:
            return None
        led.add(next(group for group in letter.groups() if group).upper())
    return led


def _option(text: str, options: Sequence[str]) -> int | None:
    """The one option whose text this is."""
    given = plain(text)
    for same in (lambda option: option == given, lambda option: f"{option}s" == given):
        found = [position for position, option in enumerate(options) if same(plain(option))]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def plain(text: str) -> str:
    """An answer or option without what may stand around it, in one case."""
    return " ".join(text.strip(_WRAPPING).casefold().split())
