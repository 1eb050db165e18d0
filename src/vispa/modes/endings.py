"""How texts end that a limit of tokens has stopped."""

from __future__ import annotations

import re

from vispa.models.sentences import OTHER_ENDS, sentence_pieces
from vispa.records import Ending

# A full stop or its like, closing marks behind it.
_END = re.compile(rf"[.!?…{OTHER_ENDS}][\"'”’»)\]*_」』）]*$")
# Two letters, or one with a vowel sign (Arabic, Indian, Burmese, Khmer): the number of a list ("2.") has a full stop,
# but no word.
_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|[\u064b-\u0652\u0900-\u109f\u17b4-\u17d3])")
# Something that could follow, by which the splitter tells "He saw Dr." from "He saw it."
_NEXT = "Then"


def ended(text: str, limited: bool) -> tuple[str, Ending]:
    """A text that ends with a sentence, as far as that is possible, and how it came to its end.

    Args:
        text: what a model wrote.
        limited: the limit of tokens stopped it.

    Returns:
        The text as it is where the model ended it (`own`); up to its last full sentence where the limit came first
        (`cut`, also where that is all of it); as it is where not even one sentence is full (`unfinished`).

    Example:
        >>> ended("Ask Dr. Osei. He kno", True)
        ('Ask Dr. Osei.', 'cut')
        >>> ended("Ask Dr.", True)
        ('Ask Dr.', 'unfinished')
    """
    if not limited:
        return text, "own"
    pieces = sentence_pieces(f"{text.rstrip()} {_NEXT}")
    while pieces:
        pieces.pop()
        if pieces and _END.search(pieces[-1].rstrip()) and _WORD.search(pieces[-1]):
            return "".join(pieces).strip(), "cut"
    return text, "unfinished"
