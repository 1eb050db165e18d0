"""Splitting texts into sentences."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pysbd


@cache
def _segmenter() -> pysbd.Segmenter:
    import pysbd

    return pysbd.Segmenter(language="en", clean=False)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, stripped, without empty ones."""
    return [sentence.strip() for sentence in _segmenter().segment(text) if sentence.strip()]
