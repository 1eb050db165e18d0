"""What the prompts of a batch begin with alike, so that it is read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from vispa.models.batching import DECODING, Budget
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

    At least one token of each row follows its beginning: its logits are to be read.
    """

    groups: Groups
    lengths: list[int]

    def rest(self, prompts: Sequence[Sequence[int]]) -> int:
        """The most tokens of a row that follow its beginning."""
        return max(len(ids) - self.lengths[group] for ids, group in zip(prompts, self.groups.members, strict=True))

    def widest(self, prompts: Sequence[Sequence[int]]) -> int:
        """Places of a row, with the padding between its beginning and what follows."""
        return max(self.lengths) + self.rest(prompts)

    def saved(self, prompts: Sequence[Sequence[int]], rows: float) -> float:
        """Tokens that are not read again, padding included; 0 where a row has no beginning.

        Args:
            prompts: of all rows.
            rows: that a pass over them reads, as a mean over the blocks: some may read equal rows once.
        """
        if not all(self.lengths):
            return 0
        # A pass over the beginnings, and one over what follows them, instead of one over all.
        read = len(self.lengths) * max(self.lengths) + rows * self.rest(prompts)
        return rows * max(map(len, prompts)) - read


def beginnings(prompts: Sequence[Sequence[int]], kinds: Sequence[Hashable], rows: float) -> Beginnings:
    """The beginnings by which most is saved: what all rows have in common, or what rows side by side do.

    Args:
        prompts: tokens of N rows, at least one each.
        kinds: of each row; only those of one kind are read together.
        rows: see `Beginnings.saved`.
    """
    groups = Groups.of(kinds)
    least = min(common(prompts[0][:-1], one[:-1]) for one in prompts)
    found = [Beginnings(groups, [least] * len(groups.firsts)), _side_by_side(prompts, kinds)]
    return max(found, key=lambda one: one.saved(prompts, rows))


def runs(prompts: Sequence[Sequence[int]], kinds: Sequence[Hashable]) -> list[int]:
    """For each of N rows the number of its run: rows side by side, of one kind, with most of a prompt in common."""
    numbers = [0] * len(prompts)
    for place, (before, after) in enumerate(pairwise(range(len(prompts))), start=1):
        shared = common(prompts[before][:-1], prompts[after][:-1])
        goes_on = kinds[before] == kinds[after] and shared >= _LEAST_SHARED * len(prompts[after])
        numbers[place] = numbers[place - 1] + (not goes_on)
    return numbers


def reading_batches(prompts: Sequence[Sequence[int]], kinds: Sequence[Hashable], budget: Budget) -> Iterator[list[int]]:
    """Places of N rows in batches of whole runs of similar length, where runs read their beginnings once.

    Args:
        prompts: tokens of the rows, which are read and not continued.
        kinds: of each row.
        budget: of what is read, padding included. A run that is more is a batch of its own, as a long row is, as long
            as its rows' keys and values are no more than those of a batch that writes (`DECODING`).
    """
    batch: list[_Run] = []
    for run in sorted(_runs_to_hold(prompts, kinds), key=lambda one: one.longest):
        if batch and not _fits([*batch, run], budget):
            yield [place for one in batch for place in one.places]
            batch = []
        batch.append(run)
    if batch:
        yield [place for one in batch for place in one.places]


def reading_tokens(prompts: Sequence[Sequence[int]], kinds: Sequence[Hashable]) -> int:
    """How many tokens of N rows are read where each run reads its beginning once, padding within a run included."""
    return sum(run.shared + len(run.places) * run.rest for run in _runs_to_hold(prompts, kinds))


class _Run(NamedTuple):
    """A run's rows, the tokens that they share and read once, the most that follow, and those of the longest prompt."""

    places: list[int]
    shared: int
    rest: int
    longest: int


def _runs_to_hold(prompts: Sequence[Sequence[int]], kinds: Sequence[Hashable]) -> Iterator[_Run]:
    """The runs, cut where one has more rows than a batch may hold."""
    members: dict[int, list[int]] = {}
    for place, number in enumerate(runs(prompts, kinds)):
        members.setdefault(number, []).append(place)
    for run in members.values():
        most = max(len(prompts[place]) for place in run)
        held = next(count for count in range(len(run), 0, -1) if count == 1 or DECODING.holds(count, most))
        for start in range(0, len(run), held):
            places = run[start : start + held]
            own = [prompts[place] for place in places]
            # A row alone shares nothing.
            shared = _shared(own, Groups.of([0] * len(own)))[0] if len(own) > 1 else 0
            longest = max(map(len, own))
            yield _Run(places, shared, longest - shared, longest)


def _fits(batch: Sequence[_Run], budget: Budget) -> bool:
    """Whether runs can be read together, each of several rows reading its beginning once."""
    rows = sum(len(run.places) for run in batch)
    begun = sum(run.shared > 0 for run in batch) * max(run.shared for run in batch)
    read = begun + rows * max(run.rest for run in batch)
    return budget.holds(1, read) and DECODING.holds(rows, max(run.longest for run in batch))


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
