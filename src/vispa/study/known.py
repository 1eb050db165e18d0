"""Texts whose value is known: what a judge of comments learns from, and what it is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vispa.files.tables import read_table
from vispa.taxonomy import Taxonomy

_COMMENTS = Path(__file__).with_name("known_comments.csv")


@dataclass(frozen=True)
class KnownTexts:
    """Texts for and against values.

    Attributes:
        promoting: value slug → texts that speak for the value.
        opposing: value slug → texts that speak against it.
    """

    promoting: Mapping[str, tuple[str, ...]]
    opposing: Mapping[str, tuple[str, ...]]

    def half(self, odd: bool) -> KnownTexts:
        """Every second text: one half to learn from, the other to be measured on."""

        def halves(texts: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
            return {value: own[int(odd) :: 2] for value, own in texts.items()}

        return KnownTexts(halves(self.promoting), halves(self.opposing))


def pair_sentences(taxonomy: Taxonomy) -> KnownTexts:
    """The contrastive pairs of a taxonomy; vectors are fitted on the same sentences."""
    sides = {value: taxonomy.sentences(value) for value in taxonomy}
    return KnownTexts(
        {value: tuple(positive) for value, (positive, _) in sides.items()},
        {value: tuple(negative) for value, (_, negative) in sides.items()},
    )


def tuning_pairs(taxonomy: Taxonomy) -> KnownTexts:
    """The half of the pairs that judges of tuning and of rewards learn from."""
    return pair_sentences(taxonomy).half(odd=False)


def judging_pairs(taxonomy: Taxonomy) -> KnownTexts:
    """The other half, from which the built-in values' judge of results learns sides (`taxonomy_judge.judge_of`)."""
    return pair_sentences(taxonomy).half(odd=True)


@cache
def known_comments() -> KnownTexts:
    """Comments on everyday situations that were written for judges alone: no vector is fitted on them."""
    found: dict[str, dict[str, list[str]]] = {"for": {}, "against": {}}
    for row in read_table(_COMMENTS, ("value", "side", "text")).rows:
        found[row.fields["side"]].setdefault(row.fields["value"], []).append(row.fields["text"])
    promoting, opposing = ({value: tuple(texts) for value, texts in found[side].items()} for side in ("for", "against"))
    return KnownTexts(promoting, opposing)
