"""Splitting texts into sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vispa.files.reading import read_toml

if TYPE_CHECKING:
    from nupunkt import PunktSentenceTokenizer

# The splitter's time grows with the square of some texts (a run of exclamation marks), so it never sees more at once.
_WINDOW = 1024
_ABBREVIATIONS = Path(__file__).parent / "abbreviations.toml"
_LINES = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
#: Ends of sentences which the splitter, an English one, does not know: Chinese and Japanese (no space behind them),
#: Indian, Arabic and Urdu, Ethiopian, Armenian, Burmese, Khmer.
OTHER_ENDS = "。！？｡।॥؟۔።፧։။។៕"
# With closing marks and the space behind them; what could open as well as close does so before a word.
_OTHER_ENDS = re.compile(rf"[{OTHER_ENDS}][{OTHER_ENDS}.!?…]*(?:[」』）”’»)\]]|[\"'*_](?!\w))*\s*")
_WORD = re.compile(r"[^\W_]")
# What numbers an entry of a list, after which the splitter ends a sentence: "2.", "**3.", "ii.", "Reasons: 1.".
_LIST_NUMBER = re.compile(r"(?:\A|:\s)[\W_]{0,9}(?:\d{1,2}|[a-z]|[ivx]{2,4})[.)][\W_]{0,9}\Z")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, stripped, without empty ones."""
    return [sentence for piece in sentence_pieces(text) if (sentence := piece.strip())]


def sentence_pieces(text: str) -> list[str]:
    """The sentences of a text with the space around them: joined, they are the text.

    Sentences end where lines end, where the Punkt algorithm (Kiss and Strunk 2006) says so, and after the marks of
    other scripts. In its line, what holds no letter or digit (a closing quote, an emoji) belongs to the sentence before
    it, and the number of a list to the one after it.

    Example:
        >>> sentence_pieces("Ask Dr. Osei. He knows!")
        ['Ask Dr. Osei. ', 'He knows!']
    """
    return [piece for line in _LINES.findall(text) for piece in _joined(_line_pieces(line))]


def _joined(pieces: Iterator[str]) -> Iterator[str]:
    """The pieces of a line; those without a word put to the one before, those that number a list to the one after."""
    parts: list[str] = []
    numbers = False
    for piece in pieces:
        if parts and not numbers and _WORD.search(piece):
            yield "".join(parts)
            parts = []
        parts.append(piece)
        numbers = _LIST_NUMBER.search(piece.strip()) is not None
    yield "".join(parts)


def _line_pieces(line: str) -> Iterator[str]:
    """The sentences of one line, in time that grows with its length alone.

    The line is read in windows. The last sentence of a window is read again with what follows it, unless it fills
    half of the window: such a sentence goes on into the next window.
    """
    first = start = 0
    while start < len(line):
        ends = [start + end for end in _ends(line[start : start + _WINDOW])]
        if ends[-1] < len(line):
            read = ends.pop()
            start = ends[-1] if ends and read - ends[-1] < _WINDOW // 2 else read
        else:
            start = len(line)
        for end in ends:
            yield line[first:end]
            first = end


def _ends(text: str) -> list[int]:
    """Where sentences end, the text's own end among them."""
    if not _WORD.search(text):
        return [len(text)]
    spans = _splitter().span_tokenize(text)
    inner = {start for start, _ in spans} | {match.end() for match in _OTHER_ENDS.finditer(text)}
    return [*sorted(inner - {0, len(text)}), len(text)]


@cache
def _splitter() -> PunktSentenceTokenizer:
    """The splitter with the abbreviations of ordinary English, beside those with a sign or figure within ("u.s")."""
    from nupunkt import PunktSentenceTokenizer, load

    # A copy: other users of the library in this process share what it loads.
    known = deepcopy(load("default").parameters)
    words = {word for word in known.abbrev_types if word.isalpha() and len(word) > 1}
    ours = read_toml(_ABBREVIATIONS)
    known.abbrev_types = (known.abbrev_types - words) | {*ours["known"].split()}
    often = PunktSentenceTokenizer.BREAK_RATE_MIN_COUNT
    known.abbrev_break_rates.update(dict.fromkeys(ours["ending"].split(), (often, often)))
    return PunktSentenceTokenizer(known, include_common_abbrevs=False)
