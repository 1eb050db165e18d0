"""Selectors that read English alone: what they refuse to guess about."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache

from vispa.errors import InputError, LanguageError
from vispa.models.languages import foreign
from vispa.selection.selector import MonolingualSelector, Selector
from vispa.taxonomy.languages import ENGLISH

_logger = logging.getLogger(__name__)

_ENCODER = (
    "Name a multilingual encoder with --selector embedding --selector-model NAME (in Python, "
    "EmbeddingSelector(taxonomy, NAME))"
)
# Not every command that selects values takes named ones.
_ADVICE = f"{_ENCODER}, or name the values where they can be; for a text that is in English, say --language en."


def check_readable(selector: Selector, texts: Iterable[str]) -> None:
    """Refuse texts that a selector does not know the language of, rather than guess.

    A text that may or may not be English is taken, with one warning in a process.

    Args:
        selector: that is to read the texts.
        texts: any number.

    Raises:
        InputError: the taxonomy is in another language than English, and the selector reads English alone.
        LanguageError: one of the texts is in another language; none is where the taxonomy's is said to be English.
    """
    if isinstance(selector, MonolingualSelector) and selector.english_only:
        check_english(texts, selector.taxonomy.language)


def check_english(texts: Iterable[str], language: str | None) -> None:
    """Refuse texts that an English selector cannot read; see `check_readable`.

    Args:
        texts: any number.
        language: that the caller says they are in.
    """
    if language == ENGLISH:
        return
    if language is not None:
        raise InputError(
            "language",
            f"is {language}, but the selector reads English alone.",
            f"{_ENCODER}, or name the values where they can be.",
        )
    for text in texts:
        found = foreign(text)
        if found is not None and found.sure:
            problem = f"is not in English (but {found.language}, it seems), and the selector reads English alone."
            raise LanguageError("text", problem, _ADVICE)
        if found is not None:
            _warn_once()


@cache
def _warn_once() -> None:
    _logger.warning("a text may not be in English, which is all that the selector reads; its values may be wrong")
