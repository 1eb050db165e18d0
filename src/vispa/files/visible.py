"""Text as data: what cannot be seen is written out, so that no text moves a cursor, restyles or hides anything."""

from __future__ import annotations

import unicodedata

from vispa.errors import cut

# Letters, numbers, punctuation, symbols.
_DRAWN = ("L", "N", "P", "S")
# Letters and symbols by their category, which are drawn as nothing: Hangul fillers and the empty Braille cell.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# Format characters that turn or isolate the direction of what follows; marks of a direction belong to many scripts.
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_HIDDEN_CATEGORIES = frozenset(("Cc", "Cs", "Zl", "Zp"))


def is_blank(text: str) -> bool:
    r"""Whether a text has no character that can be seen.

    White space, control and format characters (`\u200b`), lone marks and blank letters are none.
    """
    return not any(_is_drawn(character) for character in text)


def visible_line(text: str) -> str:
    r"""A text as one line of plain characters.

    Control characters, line ends, lone surrogates and marks that turn the direction of writing
    become escapes as in Python (`\x1b`, `\n`, `\u202e`).
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(one) if _is_hidden(one) else one for one in text)


def first_line(error: BaseException | str) -> str:
    """The first line of what another library's error says, fit for a message or a log; its kind where it says nothing.

    It is one line in which nothing is hidden, without its full stop, and short: a long one loses its middle.
    """
    line = next(iter(str(error).strip().splitlines()), "").rstrip(".")
    if is_blank(line):
        return type(error).__name__
    # What is cut first need not be looked through, and escapes are longer than what they stand for.
    return cut(visible_line(cut(line)))


def visible_text(text: str) -> str:
    """The same, but line ends and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(_escaped(one) if one not in "\n\t" and _is_hidden(one) else one for one in text)


def _is_drawn(character: str) -> bool:
    category = unicodedata.category(character)
    # Characters of private use may be drawn by a font.
    return (category[0] in _DRAWN and character not in _BLANK) or category == "Co"


def _is_hidden(character: str) -> bool:
    return character in _DIRECTIONS or unicodedata.category(character) in _HIDDEN_CATEGORIES


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
