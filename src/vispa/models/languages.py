"""In which language a text is, as far as it takes to tell whether an English encoder can read it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

#: How much likelier another language must be than English, in nats of the detector's naive Bayes score, that a text
#: is refused, and that a warning is due. Of 13,874 English texts none comes to the first: `benchmarks/languages`.
SURE, DOUBTFUL = 30.0, 12.0
#: Fewest words by which the language of a text in Latin letters is judged: names and set phrases are international.
LEAST_WORDS = 4
# So much of a text tells its language.
_READ = 2_000
# English words that are rare in other languages. A text in which one word of so many is one of them needs no detector,
# which takes half a second to load.
_ENGLISH_WORDS = frozenset({
    "the", "and", "with", "from", "that", "this", "these", "their", "they", "you", "your", "what", "when", "where",
    "which", "who", "would", "should", "could", "about", "because", "of", "my",
})  # fmt: skip
_SPACING = 8
# Labels of the detector for English, what is near to it (Nigerian Pidgin, Scots), and what is no language.
_NEAR_ENGLISH = ("en", "pcm", "sco", "zxx")


@dataclass(frozen=True)
class Foreign:
    """What tells that a text is not in English.

    Attributes:
        language: code of the likeliest one (ISO 639).
        sure: whether there is hardly a doubt that it is not English.
    """

    language: str
    sure: bool


def foreign(text: str) -> Foreign | None:
    """Whether a text is recognisably in another language than English.

    A text whose letters are mostly of another script than Latin is none in English. One in Latin letters is judged by
    `py3langid` where it has at least `LEAST_WORDS` different words and few that are English; what is short or mixed
    counts as English.

    Example:
        >>> foreign("Darf ich meine Oma anlügen, damit sie nicht traurig ist?")
        Foreign(language='de', sure=True)
        >>> foreign("Telling my grandmother a comforting lie") is None
        True
    """
    text = unicodedata.normalize("NFKC", text[:_READ])
    letters = [sign for sign in text if sign.isalpha()]
    latin = sum(sign.isascii() or unicodedata.name(sign, "").startswith("LATIN") for sign in letters)
    if latin < len(letters) / 2:
        return Foreign(_likeliest(text)[0], sure=True)
    words = [word for word in text.lower().split() if any(map(str.isalpha, word))]
    english = sum(word.strip(".,;:!?\"'()") in _ENGLISH_WORDS for word in words)
    if len(set(words)) < LEAST_WORDS or english * _SPACING >= len(words):
        return None
    language, margin = _likeliest(text)
    return Foreign(language, margin >= SURE) if margin >= DOUBTFUL else None


def _likeliest(text: str) -> tuple[str, float]:
    """The likeliest other language, and how much likelier it is than English, in nats."""
    scores = dict(_identifier().rank(text))
    english = max(scores.pop(code) for code in _NEAR_ENGLISH if code in scores)
    language = max(scores, key=lambda code: scores[code])
    return language, float(scores[language] - english)


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)
