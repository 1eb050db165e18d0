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

# What leads in to an answer: `Answer: `, `the answer is `, `I would choose option `; or a label that begins a line.
_LEAD = re.compile(
    r"(?:\b(?:answer|choice|option)\b[*_]*\s*(?P<colon>[:=])"
    r"|\b(?:answer|choice|option)\s+(?:is|would\s+be)\b:?"
    r"|\b(?P<verb>choose|chose|pick|select)\b"
    r"|(?P<begun>^[ \t\"'`*_]*(?=(?:option|answer)\s)))"
    r"[\s*_\"'`]*(?:(?:option|answer|letter)\s+)?[\s*_\"'`]*",
    re.IGNORECASE | re.MULTILINE,
)
# Between two words of one line: a lead-in in a line of its own begins afresh, whatever the line before it ends in.
_GAP = r"[^\S\r\n]+"
_BESIDE = _GAP + r"[*_\"'`]*\Z"
# What denies, but not `whether or not` and `more often than not`.
_NOT = (
    r"(?:n't|(?<!\bor )(?<!\bthan )\bnot|\b(?:never|cannot|unable|unwilling|reluctant|refus(?:e[sd]?|ing)"
    r"|declin(?:e[sd]?|ing)|rather\s+than))"
)
_NOR = rf"\bnor{_GAP}\w+{_GAP}(?:i|we)"
# What stands before a verb that chooses nothing: `I can't choose `, `I refuse to select `. A new clause (`I cannot lie,
# so I choose `) takes it back, and so do words that turn it round (`I can't help but choose `).
_UNCHOSEN = re.compile(
    rf"(?:{_NOT}"
    rf"(?:{_GAP}(?:think|believe|feel|say|sure|certain)(?:{_GAP}that)?{_GAP}(?:i|we)\b(?:'d)?"
    rf"|(?:,?{_GAP}ever\b|{_GAP}(?!(?:i|we|but|so|and|then|yet|is|are|means|only|hesitate)\b)[\w']+))*"
    rf"|{_NOR}){_BESIDE}",
    re.IGNORECASE,
)
# What stands before a label that names no choice: `the wrong `, `I do not think that the `. A sentence that just ends
# there (`lying is wrong `, `it does not hurt anyone the best `) says nothing of the label.
_SAY = r"(?:think|believe|feel|say|claim|know|agree|accept|see|sure|certain|convinced|true|choose|pick|select|give)"
_OF_LABEL = rf"(?:{_GAP}(?:the|an?|my|our|your|any)(?:{_GAP}(?!(?:is|are|the|an?)\b)[\w'-]+){{0,2}})?"
_UNSAID = re.compile(
    r"(?:(?:(?:^|[.,;:!?()–—-])[\s*_\"'`]*|\b(?:the|an?|one|another|any)[^\S\r\n]+(?:\w+ly[^\S\r\n]+)?[*_\"'`]*)"
    r"(?:wrong|incorrect|false|bad|worse|worst)[*_\"'`]*"
    rf"|(?:{_NOT}|{_NOR})(?:{_GAP}(?:to|be|even|ever|in\s+good\s+conscience|\w+ly)){{0,3}}"
    rf"{_GAP}{_SAY}(?:(?:{_GAP}that)?{_GAP}(?:i|we)(?:'d|{_GAP}\w+)?{_GAP}{_SAY})?"
    rf"(?:{_GAP}(?:that|if|whether|why))?{_OF_LABEL}){_BESIDE}",
    re.IGNORECASE | re.MULTILINE,
)
# What denies a label that a colon follows: `not the right answer: `.
_DENIED = re.compile(rf"(?:n't|(?<!\bor )(?<!\bthan )\b(?:not|never|cannot)){_OF_LABEL}{_BESIDE}", re.IGNORECASE)
# So many characters before a lead-in are looked at.
_BEFORE = 80
# What stands after a letter that is not chosen: `A is wrong`, `(B) isn't right`, `A cannot be the answer`; but not
# `A is not wrong`, `A does not hurt anyone` or `A is worse`, as a question may ask which is worse.
_WRONG = (
    r"(?:wrong|incorrect|false|untrue|bad|worst|mistaken|unacceptable|inappropriate|unsuitable|unethical|immoral"
    r"|unfair|dishonest|harmful|cruel|selfish|invalid|inferior|rejected|excluded|avoided|ruled\s+out|out)\b"
)
_DISMISSED = re.compile(
    r"[)\]*_\"'`]*(?P<which>,?\s+which)?\s+(?:"
    r"(?:(?:is|was)(?:n't|\s+not|\s+never)"
    r"|(?:(?:would|could|should|must|may|might|ca|can|wo|will)(?:n't|\s+not|\s+never)|cannot)\s+be"
    r"|does(?:n't|\s+not)\s+(?:seem|look|sound|feel|appear|apply|fit|hold|work))\b"
    rf"(?!(?:\s+\w+){{0,2}}\s+(?:only|{_WRONG}))"
    r"|(?:(?:is|was|(?:would|should|must|can|will)\s+be)\b|seems|looks|sounds|feels|appears)"
    rf"(?:\s+(?:to\s+be|also|just|simply|\w+ly|an?|the|very|too|even))*\s+{_WRONG})",
    re.IGNORECASE,
)
# A letter that is only asked about: `Why would anyone choose A?`
_ASKED = re.compile(r"[)\]*_\"'`]*\?")
_APOSTROPHES = str.maketrans("’‘", "''")
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
    An answer that marks several letters is read only if a lead-in names one of them. A letter that
    is rejected (`I can't choose A`, `option A is wrong`) is not chosen, however it is marked.

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
    text = text.strip().translate(_APOSTROPHES)
    first_line = text.split("\n", 1)[0]
    if first_line.strip(_WRAPPING).upper() in tuple(LETTERS):
        return _position(first_line.strip(_WRAPPING), count)
    if (option := _option(first_line, options)) is not None:
        return option
    marked = _marked(text, first_line, LETTERS[:count], options)
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


def _marked(text: str, first_line: str, letters: str, options: Sequence[str]) -> set[str]:
    """Which letters are marked as options and not dismissed: at line starts, and anywhere in the first line."""
    found = [*_LINE_MARK.finditer(text), *_INNER_MARK.finditer(first_line)]
    marks = [((mark[1] or mark[2]).upper(), mark) for mark in found]
    return {
        letter
        for letter, mark in marks
        if letter in letters and not _dismissed(mark.string, mark.end(), letter, options)
    }


def _led(text: str, letters: str, options: Sequence[str]) -> set[str] | None:
    """Letters after lead-ins and not rejected; None if one of these names two at once."""
    led: set[str] = set()
    for lead in _LEAD.finditer(text):
        if _turned(lead):
            continue
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
        asked = not lead["colon"] and _ASKED.match(text, letter.end())
        chosen = next(group for group in letter.groups() if group).upper()
        if not asked and not _dismissed(text, letter.end(), chosen, options, named=lead["begun"] is None):
            led.add(chosen)
    return led


def _turned(lead: re.Match[str]) -> bool:
    """Whether what stands before a lead-in, in its line, says that no choice follows."""
    before = lead.string[max(0, lead.start() - _BEFORE) : lead.start()]
    if lead["verb"]:
        return bool(_UNCHOSEN.search(before))
    return bool(_UNSAID.search(before) or (lead["colon"] and _DENIED.search(before)))


def _dismissed(text: str, end: int, letter: str, options: Sequence[str], *, named: bool = False) -> bool:
    """Whether what follows a letter says that it is wrong, and is not just its option's own text (`is wrong`).

    Args:
        text: the answer.
        end: where the letter ends in it.
        letter: the letter, a capital.
        options: the options' texts, if known.
        named: whether the letter is named as the choice, which a clause on it (`A, which is bad for her`) keeps.
    """
    found = _DISMISSED.match(text, end)
    if not found or (named and found["which"]):
        return False
    position = LETTERS.index(letter)
    own = plain(options[position]) if position < len(options) else ""
    return not (own and plain(text[end : end + 2 * len(own) + _BEFORE]).startswith(own))


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
    return " ".join(text.translate(_APOSTROPHES).strip(_WRAPPING).casefold().split())
