"""What the prompts of a batch begin with alike, so that it is read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import NamedTuple

from vispa.models.encoding import common

# Rows side by side share a beginning of their own where it is at least that share of the later one's prompt.
_LEAST_SHARED = 0.5


class Groups(NamedTuple):
    """Rows that are the same in some way: for each row the number of its group, and the first row of each group."""

    members: list[int]
    firsts: list[int]

    @classmethod
    def of(cls, keys: Sequence[Hashable]) -> Groups:
        """The groups of N rows with equal keys, in the order of their first rows."""
        firsts: dict[Hashable, int] = {}
        for place, key in enumerate(keys):
            firsts.setdefault(key, place)
        numbers = {key: number for number, key in enumerate(firsts)}
        return cls([numbers[key] for key in keys], list(firsts.values()))


class Beginnings(NamedTuple):
    """Groups of rows whose prompts begin alike, and how many tokens each group begins with.

    At least one token of each row is part of its beginning, and one is not: its logits are to be read.
    """

    groups: Groups
    lengths: list[int]

    def rest(self, prompts: Sequence[Sequence[int]]) -> int:
        """The most tokens of a row that follow its beginning."""
        return max(len(ids) - self.lengths[group] for ids, group in zip(prompts, self.groups.members, strict=True))

    def saved(self, prompts: Sequence[Sequence[int]]) -> int:
        """Tokens that are not read again, padding included; 0 where a row has no beginning."""
        if not all(self.lengths):
            return 0
        # A pass over the beginnings, and one over what follows them, instead of one over all.
        read = len(self.lengths) * max(self.lengths) + len(prompts) * self.rest(prompts)
        return len(prompts) * max(map(len, prompts)) - read


def beginnings(prompts: Sequence[Sequence[int]], kinds: Sequence[Hashable]) -> Beginnings:
    """The beginnings by which most is saved: what all rows have in common, or what rows side by side do.

    Args:
        prompts: tokens of N rows, at least one each.
        kinds: of each row; only those of one kind are read together.
    """
    groups = Groups.of(kinds)
    least = min(common(prompts[0][:-1], one[:-1]) for one in prompts)
    found = [Beginnings(groups, [least] * len(groups.firsts)), _side_by_side(prompts, kinds)]
    return max(found, key=lambda one: one.saved(prompts))


def runs(prompts: Sequence[Sequence[int]], kinds: Sequence[Hashable]) -> list[int]:
    """For each of N rows the number of its run: rows side by side, of one kind, with most of a prompt in common."""
    numbers = [0] * len(prompts)
    for place, (before, after) in enumerate(pairwise(range(len(prompts))), start=1):
        shared = common(prompts[before][:-1], prompts[after][:-1])
        goes_on = kinds[before] == kinds[after] and shared >= _LEAST_SHARED * len(prompts[after])
        numbers[place] = numbers[place - 1] + (not goes_on)
    return numbers


def reading_costs(prompts: Sequence[Sequence[int]], kinds: Sequence[Hashable]) -> list[int]:
    """Tokens that are read for each of N rows where runs read their beginning once; alike within a run, rounded up."""
    numbers = runs(prompts, kinds)
    shared = _shared(prompts, Groups.of(numbers))
    rows, read = Counter(numbers), Counter(dict(enumerate(shared)))
    for number, ids in zip(numbers, prompts, strict=True):
        read[number] += len(ids) - shared[number]
    return [-(-read[number] // rows[number]) for number in numbers]


def _side_by_side(prompts: Sequence[Sequence[int]], kinds: Sequence[Hashable]) -> Beginnings:
    groups = Groups.of(runs(prompts, kinds))
    rows = Counter(groups.members)
    lengths = _shared(prompts, groups)
    # A row alone shares nothing: of it as much follows as of the others, so that none is padded for it.
    rest = max(
        (len(ids) - lengths[group] for ids, group in zip(prompts, groups.members, strict=True) if rows[group] > 1),
        default=1,
    )
    return Beginnings(
        groups,
        [length if rows[group] > 1 else max(min(1, length), length + 1 - rest) for group, length in enumerate(lengths)],
    )


def _shared(prompts: Sequence[Sequence[int]], groups: Groups) -> list[int]:
    """Of each group the tokens that all of its rows begin with, but for the last token of a row."""
    lengths = [len(prompts[first]) - 1 for first in groups.firsts]
    for place, group in enumerate(groups.members):
        lengths[group] = min(lengths[group], common(prompts[groups.firsts[group]][:-1], prompts[place][:-1]))
    return lengths
