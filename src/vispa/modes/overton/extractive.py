"""A response made of the comments' own sentences; needs no language model."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from vispa.modes.case import NOTHING_SAID, Case
from vispa.modes.sentences import split_sentences
from vispa.readers.base import Failure
from vispa.records import Claim, Comment, OvertonResponse, Stance
from vispa.taxonomy import Taxonomy

_SENTENCES_PER_VALUE = 2
# Share of common words from which on two sentences count as saying the same.
_SAME = 0.75

_CLAUSES: tuple[tuple[Stance | None, str, str], ...] = (
    ("support", "speaks for it", "speak for it"),
    ("oppose", "speaks against it", "speak against it"),
    ("either", "sees two sides", "see two sides"),
    (None, "takes no side that can be read", "take no side that can be read"),
)


@dataclass
class _Group:
    """Sentences that say the same, and the positions of the comments that say it."""

    text: str
    words: frozenset[str]
    comments: list[int]


class ExtractiveAggregator:
    """Leads with where the values agree and part, then gives each value's own sentences.

    Of every comment it keeps the one or two sentences that set it apart most from the other
    comments; sentences of several comments that say nearly the same are merged into one. The lead
    also says for which values the model gave nothing.
    """

    name = "extractive"

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy

    def aggregate(self, cases: Sequence[Case]) -> list[OvertonResponse | Failure]:
        """See `vispa.modes.overton.aggregator.Aggregator`."""
        return [self._aggregate(case) if case.spoken else NOTHING_SAID for case in cases]

    def _aggregate(self, case: Case) -> OvertonResponse:
        comments = case.comments
        lead = [self._claim(self._lead([comments[i] for i in case.spoken]), case.spoken, comments)]
        if case.silent:
            names = _list([self.taxonomy[comments[i].value].label for i in case.silent])
            lead.append(self._claim(f"The model gave nothing for {names}.", case.silent, comments))
        spoken = [(i, s) for i in case.spoken for s in _salient_sentences(comments[i], comments)]
        said = [self._claim(group.text, group.comments, comments) for group in _merge(spoken)]
        paragraphs = [" ".join(claim.text for claim in lead)]
        for values, claims in groupby(said, key=lambda claim: claim.values):
            names = _list([self.taxonomy[value].label for value in values])
            paragraphs.append(f"{_capital(names)}: {' '.join(claim.text for claim in claims)}")
        return OvertonResponse(**case.recorded, response="\n".join(paragraphs), claims=(*lead, *said))

    @staticmethod
    def _claim(text: str, numbers: Sequence[int], comments: Sequence[Comment]) -> Claim:
        values = tuple(dict.fromkeys(comments[number].value for number in numbers))
        return Claim(text=text, values=values, comments=tuple(numbers), support=1.0, supported=True)

    def _lead(self, comments: Sequence[Comment]) -> str:
        by_stance: dict[Stance | None, list[str]] = {}
        for comment in comments:
            by_stance.setdefault(comment.leaning, []).append(self.taxonomy[comment.value].label)
        stance = next(iter(by_stance))
        if len(by_stance) == 1 and len(comments) > 1 and stance is not None:
            agreement = {"support": "speak for it", "oppose": "speak against it", "either": "see two sides"}[stance]
            return _capital(f"the values agree: {_list(by_stance[stance])} all {agreement}.")
        clauses = []
        for kind, one, many in _CLAUSES:
            if kind in by_stance:
                names = by_stance[kind]
                clauses.append(f"{_list(names)} {one if len(names) == 1 else many}")
        text = "; ".join(clauses)
        part = len(by_stance.keys() - {None}) > 1
        return _capital(f"the values part here: {text}." if part else f"{text}.")


def _salient_sentences(comment: Comment, comments: Sequence[Comment]) -> list[str]:
    """Up to two sentences, in their order, whose words occur in the fewest other comments."""
    sentences = split_sentences(comment.text)
    spread = Counter(word for other in comments for word in _words(other.text))

    def distinctness(sentence: str) -> float:
        words = _words(sentence)
        return sum(math.log(len(comments) / spread[word]) for word in words if spread[word]) / max(1, len(words))

    best = sorted(range(len(sentences)), key=lambda i: (-distinctness(sentences[i]), i))[:_SENTENCES_PER_VALUE]
    return [sentences[i] for i in sorted(best)]


def _merge(spoken: Sequence[tuple[int, str]]) -> list[_Group]:
    """Merge sentences that say nearly the same; the first wording stays."""
    groups: list[_Group] = []
    for number, sentence in spoken:
        words = _words(sentence)
        same = next((g for g in groups if len(g.words & words) >= _SAME * max(1, len(g.words | words))), None)
        if same is None:
            groups.append(_Group(sentence, words, [number]))
        elif number not in same.comments:
            same.comments.append(number)
    return groups


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W\d_]+", text.lower()))


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
