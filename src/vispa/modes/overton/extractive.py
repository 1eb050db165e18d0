"""A response made of the comments' own sentences; needs no language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from vispa.modes.case import NOTHING_SAID, Case
from vispa.modes.overton.lead import capital, lead, listed
from vispa.modes.overton.salient import Bearing, adds_something, distinctness, salient_sentences
from vispa.modes.repeats import Encode, alike, bundled_encode, differs, in_order, opposed
from vispa.readers.base import Failure
from vispa.records import Claim, Comment, OvertonResponse
from vispa.taxonomy import Taxonomy


@dataclass
class _Group:
    """Sentences that say the same, and the positions of the comments that say it."""

    text: str
    comments: list[int]


class ExtractiveAggregator:
    """Leads with where the values agree and part, then gives each value's own sentences.

    Of every comment it keeps the one or two sentences that bear most on its value rather than on the
    others'; comments, and sentences of several comments, that say nearly the same are merged into
    one, unless one denies the other or their comments take opposite sides. The lead also says for which
    values the model gave nothing, or nothing of its own; where stances can hardly be read it says nothing
    of agreement.

    Args:
        taxonomy: the values.
        encode: sentence embeddings; by default of the bundled encoder, loaded when they are first needed.
    """

    name = "extractive"

    def __init__(self, taxonomy: Taxonomy, encode: Encode = bundled_encode) -> None:
        self.taxonomy = taxonomy
        self._bearing = Bearing(taxonomy, encode)

    def aggregate(self, cases: Sequence[Case]) -> list[OvertonResponse | Failure]:
        """See `vispa.modes.overton.aggregator.Aggregator`."""
        return [self._aggregate(case) if case.spoken else NOTHING_SAID for case in cases]

    def _aggregate(self, case: Case) -> OvertonResponse:
        comments, quotable = case.comments, _quotable(case)
        opening = [self._claim(text, places, comments) for text, places in self._opening(case, quotable)]
        groups = _merge(case, self._sentences(case, quotable))
        said = [self._claim(group.text, group.comments, comments) for group in groups]
        paragraphs = [" ".join(claim.text for claim in opening)] if opening else []
        for values, claims in groupby(said, key=lambda claim: claim.values):
            names = listed([self.taxonomy[value].label for value in values])
            paragraphs.append(f"{capital(names)}: {' '.join(claim.text for claim in claims)}")
        return OvertonResponse(**case.recorded, response="\n".join(paragraphs), claims=(*opening, *said))

    def _opening(self, case: Case, quotable: Sequence[int]) -> Iterator[tuple[str, Sequence[int]]]:
        """Sentences about the comments, of which some can be quoted, and the positions of those that each is about."""
        names = [self.taxonomy[comment.value].label for comment in case.comments]
        heard = [names[i] for i in case.spoken]
        if len(case.spoken) > 1 and len(case.distinct) == 1:
            # Agreement of comments that are all the same is the model's, not the values'.
            yield f"The model says the same for {listed(heard)}.", case.spoken
        elif first := lead(heard, [case.comments[i].leaning for i in case.spoken]):
            yield first, case.spoken
        refused = [i for i in case.silent if case.comments[i].refused]
        empty = [i for i in case.silent if not case.comments[i].refused]
        ended = _ended(case)
        for places, what in (
            (empty, "gave nothing"),
            (refused, "declined to speak"),
            ([i for i in case.spoken if i not in ended], "came to the end of no sentence"),
            ([i for i in ended if i not in quotable], "says nothing of its own"),
        ):
            if places:
                yield f"The model {what} for {listed([names[i] for i in places])}.", places

    def _sentences(self, case: Case, quotable: Sequence[int]) -> Iterator[tuple[list[int], str]]:
        """What the comments are quoted by: positions of the comments that say it, and the sentence."""
        texts = [comment.text for comment in case.comments]
        values = [comment.value for comment in case.comments]
        # Voices that are no values of the taxonomy's own have no examples.
        known = all(self.taxonomy.has_pairs(value) for value in values)
        worth = self._bearing.worth(values) if known else distinctness(texts)
        for first in case.distinct:
            same = [first, *(i for i in case.spoken if case.comments[i].repeats == first)]
            # Of comments that say the same one may be quotable and another not: an ended one beside one that is cut.
            if quoted := [i for i in same if i in quotable]:
                for sentence in salient_sentences(quoted[0], texts[quoted[0]], worth, case.text):
                    yield quoted, sentence

    @staticmethod
    def _claim(text: str, numbers: Sequence[int], comments: Sequence[Comment]) -> Claim:
        values = tuple(dict.fromkeys(comments[number].value for number in numbers))
        return Claim(text=text, values=values, comments=tuple(numbers), support=1.0, supported=True)


def _ended(case: Case) -> Sequence[int]:
    """Positions of the comments that hold a full sentence; of all that say something, where none does."""
    return [i for i in case.spoken if case.comments[i].ending != "unfinished"] or case.spoken


def _quotable(case: Case) -> Sequence[int]:
    """Of those the ones that say something of their own; all, where none does."""
    ended = _ended(case)
    return [i for i in ended if adds_something(case.comments[i].text, case.text)] or ended


def _merge(case: Case, spoken: Iterator[tuple[list[int], str]]) -> list[_Group]:
    """Merge sentences that say nearly the same; the first wording stays."""
    groups: list[_Group] = []
    for numbers, sentence in spoken:
        same = next((group for group in groups if _say_the_same(case, group, numbers, sentence)), None)
        if same is None:
            groups.append(_Group(sentence, list(numbers)))
        else:
            same.comments += [number for number in numbers if number not in same.comments]
    return groups


def _say_the_same(case: Case, group: _Group, numbers: Sequence[int], sentence: str) -> bool:
    """Whether a sentence of these comments is a group's own: word for word, or nearly so, on no opposite side."""
    if in_order(group.text) == in_order(sentence):
        return True
    if opposed(case.comments[number].leaning for number in (*group.comments, *numbers)):
        return False
    return alike(group.text, sentence) and not differs(group.text, sentence)
