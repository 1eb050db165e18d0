"""What differs between two versions of a taxonomy, and what that leaves valid."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

from vispa.taxonomy.pairs import ContrastivePair
from vispa.taxonomy.taxonomy import Taxonomy

#: How two values of different slugs were found to be the same one.
By = Literal["alias", "pairs", "definition"]
Kind = Literal["added", "removed", "changed", "same"]

#: Share of their pairs that two values have in common, of those that either has, from which on they are the same one.
SAME_PAIRS = 0.5
#: Likeness of two definitions (Ratcliff and Obershelp's, of characters) from which on they are the same one.
SAME_DEFINITION = 0.8


@dataclass(frozen=True)
class ValueDifference:
    """What became of a value.

    Attributes:
        value: slug now; of a value that was removed, its slug before.
        kind: `changed` where anything below is.
        was: slug before, of a value that has another one now.
        by: what told that it is the same value: one's name is an alias of the other's, most pairs are the same, or the
            definition is nearly the same.
        fields: what else is said of it otherwise, such as `label` or `definition`.
        pairs_added: pairs that it did not have.
        pairs_dropped: pairs that it no longer has.
        reordered: it has the same pairs in another order, which a split into fitted and held-out ones goes by.
        directions_stay: directions fitted on the value's own pairs are valid.
        scores_stay: relevance scores are valid. They depend on label and definition, and on the sentences, whatever
            their order and sides, of a value that is not built in (by slug, label and definition).
        labels_stay: relevance scores of the selector `nli` are valid, which depend on the label alone.
    """

    value: str
    kind: Kind
    was: str | None = None
    by: By | None = None
    fields: tuple[str, ...] = ()
    pairs_added: int = 0
    pairs_dropped: int = 0
    reordered: bool = False
    directions_stay: bool = False
    scores_stay: bool = False
    labels_stay: bool = False


@dataclass(frozen=True)
class TaxonomyDifference:
    """What differs between two versions of a taxonomy.

    Attributes:
        before: fingerprint of the first.
        after: fingerprint of the second.
        values: in the order of the second, then those that were removed.
        reordered: the values that both have come in another order, which the fingerprint tells and nothing else.
        comparisons_stay: directions of one value against the others are valid. They depend on the expressing
            sentences of every value.
    """

    before: str
    after: str
    values: tuple[ValueDifference, ...]
    reordered: bool
    comparisons_stay: bool

    @property
    def is_none(self) -> bool:
        """Whether the two are the same."""
        return self.before == self.after

    def of_kind(self, kind: Kind) -> tuple[ValueDifference, ...]:
        """The values of a kind."""
        return tuple(one for one in self.values if one.kind == kind)


def difference(before: Taxonomy, after: Taxonomy) -> TaxonomyDifference:
    """Compare two versions of a taxonomy.

    A value with the same slug is the same value. Of the others, each new one is the same as the old one that shares a
    name with it, else the one that shares most pairs, else the one with the nearest definition, if that is near enough.
    """
    partners: dict[str, tuple[str, By | None]] = {slug: (slug, None) for slug in after if _has(before, slug)}
    for by, likeness, least in _RULES:
        free = [slug for slug in after if slug not in partners]
        taken = {was for was, _ in partners.values()}
        left = [slug for slug in before if slug not in taken]
        for slug, was in _matched(free, left, partial(likeness, before, after), least):
            partners[slug] = (was, by)
    kept = [partners[slug][0] for slug in after if slug in partners]
    gone = [slug for slug in before if slug not in kept]
    found = [
        _difference(before, after, slug, *partners[slug])
        if slug in partners
        else ValueDifference(slug, "added", pairs_added=len(after.pairs(slug)))
        for slug in after
    ] + [ValueDifference(slug, "removed", pairs_dropped=len(before.pairs(slug))) for slug in gone]
    reordered = kept != [slug for slug in before if slug in kept]
    same = len(kept) == len(before) == len(after) and all(
        before.sentences(was)[0] == after.sentences(slug)[0] for slug, (was, _) in partners.items()
    )
    return TaxonomyDifference(before.fingerprint, after.fingerprint, tuple(found), reordered, same)


def _difference(before: Taxonomy, after: Taxonomy, slug: str, was: str, by: By | None) -> ValueDifference:
    old, new = before[was], after[slug]
    fields = tuple(name for name, part in asdict(new).items() if name != "slug" and part != asdict(old)[name])
    mine, theirs = (Counter(_sides(one.pairs(name))) for one, name in ((after, slug), (before, was)))
    added, dropped = (mine - theirs).total(), (theirs - mine).total()
    directions_stay = before.sentences(was) == after.sentences(slug)
    reordered = not (added or dropped) and _sides(before.pairs(was)) != _sides(after.pairs(slug))
    told = (new.label, new.definition) == (old.label, old.definition)
    learned = (_is_built_in(before, was), _is_built_in(after, slug))
    same_sentences = _unsided(before, was) == _unsided(after, slug)
    changed = bool(fields or added or dropped or reordered or slug != was)
    return ValueDifference(
        slug, "changed" if changed else "same", was if slug != was else None, by, fields, added, dropped, reordered,
        directions_stay, told and (all(learned) or (not any(learned) and same_sentences)), new.label == old.label,
    )  # fmt: skip


def _sides(pairs: Iterable[ContrastivePair]) -> list[tuple[str, str]]:
    return [(pair.positive, pair.negative) for pair in pairs]


def _unsided(taxonomy: Taxonomy, slug: str) -> list[str]:
    """All sentences of a value: selectors take their mean, in which neither side nor order has a part."""
    return sorted(sentence for side in taxonomy.sentences(slug) for sentence in side)


def _is_built_in(taxonomy: Taxonomy, slug: str) -> bool:
    """Whether selectors know the value from labelled situations."""
    built_in, value = Taxonomy.built_in(), taxonomy[slug]
    if not _has(built_in, slug):
        return False
    return (value.label, value.definition) == (built_in[slug].label, built_in[slug].definition)


def _has(taxonomy: Taxonomy, slug: str) -> bool:
    return any(slug == other for other in taxonomy)


Likeness = Callable[[Taxonomy, Taxonomy, str, str], float]


def _shared_name(before: Taxonomy, after: Taxonomy, new: str, old: str) -> float:
    value = after[new]
    return float(any(name in before and before[name].slug == old for name in (value.slug, value.label, *value.aliases)))


def _shared_pairs(before: Taxonomy, after: Taxonomy, new: str, old: str) -> float:
    one, other = set(_sides(before.pairs(old))), set(_sides(after.pairs(new)))
    return len(one & other) / len(one | other)


def _near_definition(before: Taxonomy, after: Taxonomy, new: str, old: str) -> float:
    one, other = before[old].definition, after[new].definition
    # What both have in common in order is no less than the blocks that the likeness counts, and found far sooner.
    if 2 * _common(one, other) < SAME_DEFINITION * (len(one) + len(other)):
        return 0.0
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def _common(one: str, other: str) -> int:
    """Length of the longest common subsequence, by a row of bits for each sign (Hyyrö 2004).

    A bit of the row turns to 0 where another sign of `one` has found its place in `other`.
    """
    places: dict[str, int] = {}
    for place, sign in enumerate(one):
        places[sign] = places.get(sign, 0) | 1 << place
    every = row = (1 << len(one)) - 1
    for sign in other:
        same = row & places.get(sign, 0)
        row = (row + same | row - same) & every
    return len(one) - row.bit_count()


_RULES: tuple[tuple[By, Likeness, float], ...] = (
    ("alias", _shared_name, 1.0),
    ("pairs", _shared_pairs, SAME_PAIRS),
    ("definition", _near_definition, SAME_DEFINITION),
)


def _matched(
    new: Iterable[str], old: Iterable[str], likeness: Callable[[str, str], float], least: float
) -> list[tuple[str, str]]:
    """New and old values that are like each other, the likest first, each once."""
    old = list(old)
    ranked = sorted(((likeness(one, other), one, other) for one in new for other in old), key=lambda pair: -pair[0])
    found: dict[str, str] = {}
    for degree, one, other in ranked:
        if degree >= least and one not in found and other not in found.values():
            found[one] = other
    return list(found.items())
