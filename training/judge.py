"""A strict judge of comments: whose voice it is, and whether the grammar could have said it.

The corpus grammar builds comments from authored sentences, each of which belongs to one value.
A comment can therefore be parsed: it is *broken* if any of its sentences is none of the
grammar's, if a sentence occurs twice, or if it is empty; it *hits* a value if it is not broken
and all of its sentences belong to that value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from training.sources import Sources

_SENTENCE = re.compile(r"(?<=[.?!])\s+")


@dataclass(frozen=True)
class Verdict:
    """What the judge found in a comment.

    Attributes:
        values: values whose sentences it holds.
        against: values that its sentences argue against.
        broken: a sentence outside the grammar, a repetition, or nothing at all.
    """

    values: frozenset[str]
    against: frozenset[str]
    broken: bool

    def hits(self, value: str) -> bool:
        """Whether the comment is whole and speaks for this value alone."""
        return not self.broken and not self.against and self.values == {value}


class Judge:
    """Parses comments by the authored sentences."""

    def __init__(self, sources: Sources) -> None:
        self._owner = {s: slug for slug, voice in sources.voices.items() for s in voice.comment_sentences()}
        self._against = {s: slug for slug, voice in sources.voices.items() for s in voice.anti_comments}

    def judge(self, comment: str) -> Verdict:
        """The verdict on a comment."""
        sentences = [sentence for sentence in _SENTENCE.split(comment.strip()) if sentence]
        known = all(s in self._owner or s in self._against for s in sentences)
        return Verdict(
            values=frozenset(self._owner[s] for s in sentences if s in self._owner),
            against=frozenset(self._against[s] for s in sentences if s in self._against),
            broken=not sentences or not known or len(set(sentences)) < len(sentences),
        )
